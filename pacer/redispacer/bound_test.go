package redispacer

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// What is foretold of a wait is never more than it is, and all that is sure.
func TestWhenAStartIsPossibleAtTheEarliest(t *testing.T) {
	const s = time.Second
	window, even := rule{kind: window, amount: 5, period: s}, rule{kind: even, amount: 5, period: s}
	costs := rule{kind: cost, unit: 1, amount: 100, period: s}
	flowing := rule{kind: bucket, unit: 1, amount: 100, period: s, rate: 10}
	drops := rule{kind: bucket, amount: 10, period: s, rate: 10}
	for _, tt := range []struct {
		name     string
		rule     rule
		room     time.Duration // now is 10s
		knownFor []int
		ahead    []int
		costs    []int
		want     time.Duration
	}{
		{"a window, nobody ahead", window, 12 * s, nil, []int{0, 0}, []int{1, 0}, 12 * s},
		{"a window, one less than it holds ahead", window, 12 * s, nil, []int{4, 0}, []int{1, 0}, 12 * s},
		{"a window, as many as it holds ahead", window, 12 * s, nil, []int{5, 0}, []int{1, 0}, 13 * s},
		{"a window that has room, as many ahead", window, 3 * s, nil, []int{11, 0}, []int{1, 0}, 12 * s},
		{"a window that has room", window, 3 * s, nil, []int{0, 0}, []int{1, 0}, 3 * s},
		{"even starts", even, 12 * s, nil, []int{3, 0}, []int{1, 0}, 12600 * ms},
		{"even starts that have room", even, 3 * s, nil, []int{3, 0}, []int{1, 0}, 10600 * ms},
		{"what costs as much as there is room for later", costs, 12 * s, []int{50}, []int{0, 0}, []int{1, 50}, 12 * s},
		{"what costs less", costs, 12 * s, []int{50}, []int{0, 0}, []int{1, 49}, 10 * s},
		{"what costs something, with no more known than the room for all", costs, 12 * s, nil, []int{0, 0}, []int{1, 50}, 10 * s},
		{"what costs nothing", costs, 12 * s, []int{0}, []int{0, 900}, []int{1, 0}, 10 * s},
		{"costs that fit with those ahead", costs, longAgo, []int{1}, []int{3, 50}, []int{1, 50}, 10 * s},
		{"costs that do not", costs, longAgo, []int{1}, []int{3, 51}, []int{1, 50}, 11 * s},
		{"costs that fill two windows", costs, longAgo, []int{1}, []int{3, 150}, []int{1, 50}, 11 * s},
		{"costs that fill more", costs, longAgo, []int{1}, []int{3, 151}, []int{1, 50}, 12 * s},
		{"costs that do not fit, where room comes later", costs, 14 * s, []int{1}, []int{3, 51}, []int{1, 50}, 14 * s},
		{"a bucket that those ahead leave enough", flowing, longAgo, []int{1}, []int{3, 60}, []int{1, 40}, 10 * s},
		{"a bucket that they do not", flowing, longAgo, []int{1}, []int{3, 65}, []int{1, 40}, 10500 * ms},
		{"a bucket that has room later", flowing, 14 * s, []int{1}, []int{3, 65}, []int{1, 40}, 14 * s},
		{"a bucket of starts", drops, 12 * s, nil, []int{0, 0}, []int{1, 0}, 12 * s},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rule.bound(10*s, tt.room, tt.knownFor, tt.ahead, tt.costs); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestTimesThatDoNotFitAreForever(t *testing.T) {
	for _, tt := range []struct{ got, want time.Duration }{
		{add(1, forever-1), forever}, {add(2, forever-1), forever}, {add(1, 2), 3}, {add(longAgo, 1), longAgo + 1},
		{times(2, math.MaxInt64/2), forever - 1}, {times(2, math.MaxInt64/2+1), forever}, {times(4, math.MaxInt64/2+1), forever},
		{times(1<<40, 1<<40), forever}, {portion(1<<40, 1<<40, 1<<20), 1 << 60}, {portion(1<<40, 1<<40, 1<<16), forever}, {portion(7, 10, 4), 17},
		{micros(math.MaxInt64 / 1000), math.MaxInt64 / 1000 * time.Microsecond}, {micros(math.MaxInt64/1000 + 1), forever},
	} {
		if tt.got != tt.want {
			t.Errorf("%d, want %d", tt.got, tt.want)
		}
	}
	for d, want := range map[time.Duration]int64{0: 0, 1: 1, 1000: 1, 1001: 2, -1: 0, -1000: -1, -1001: -1} {
		if got := microsUp(d); got != want {
			t.Errorf("%v is %d µs, want %d", d, got, want)
		}
	}
}

// The longest that any limit looks back.
func TestTheSpanOfLimits(t *testing.T) {
	for _, tt := range []struct {
		limits []gate.Limit
		want   time.Duration
	}{
		{[]gate.Limit{{Calls: 1, Period: time.Hour}, {Calls: 2, Period: time.Second}}, time.Hour + ms},
		{[]gate.Limit{{Calls: 1, Period: time.Second}, {Calls: 1, Period: time.Second, Bucket: 60}, {Calls: 1, Period: time.Second}}, time.Minute},
		{[]gate.Limit{{Calls: 1, Period: time.Hour}, {Calls: 1, Period: time.Second, Bucket: 60}}, time.Hour + ms},
		{[]gate.Limit{{Calls: 100, Period: time.Second, Bucket: 1}}, time.Second},
		{[]gate.Limit{{Calls: 1, Period: maxPeriod, Bucket: 60}}, maxPeriod},
	} {
		if got := newRules(tt.limits, unitsOf(tt.limits), ms).span; got != tt.want {
			t.Errorf("%v for %+v, want %v", got, tt.limits, tt.want)
		}
	}
}

// Other limits, and what goes with them, are other rules; numbers that Lua keeps exactly.
func TestRulesAreToldApart(t *testing.T) {
	seen := make(map[any]bool)
	for _, limits := range [][]gate.Limit{
		{{Calls: 1, Period: time.Second}}, {{Calls: 2, Period: time.Second}}, {{Calls: 1, Period: time.Minute}}, {{Cost: 1, Unit: "a", Period: time.Second}},
		{{Calls: 1, Period: time.Second}, {Calls: 2, Period: time.Minute}}, {{Calls: 1, Period: time.Second, Even: true}},
	} {
		for _, margin := range []time.Duration{0, ms} {
			rs := newRules(limits, unitsOf(limits), margin)
			ident, id := rs.args[0], rs.args[len(rs.args)-1]
			if seen[ident] || len(limits) == 1 && seen[id] {
				t.Errorf("%+v with a margin of %v is called as another", limits, margin)
			}
			seen[ident], seen[id] = true, true
			if max(ident.(int64), id.(int64)) >= 1<<53 || min(ident.(int64), id.(int64)) <= 0 {
				t.Errorf("%d and %d, want 53 bits at most", ident, id)
			}
		}
	}
}

// The first start of its moment that costs as much is settled; which one that was, where several
// cost differently, nobody knows.
func TestWhichStartIsSettled(t *testing.T) {
	of := func(at time.Duration, begun int64, costs ...int) takenStart {
		return takenStart{at: at, begun: begun, costs: costs}
	}
	for _, tt := range []struct {
		name       string
		starts     []takenStart
		unit, cost int
		want       int64 // its number; 0 = none
	}{
		{"the one of that moment", []takenStart{of(1, 1, 1, 5), of(2, 2, 1, 5), of(3, 3, 1, 5)}, 1, 5, 2},
		{"of another cost", []takenStart{of(2, 2, 1, 5)}, 1, 6, 0},
		{"of another moment", []takenStart{of(1, 1, 1, 5), of(3, 3, 1, 5)}, 1, 5, 0},
		{"any of several alike", []takenStart{of(2, 1, 1, 5), of(2, 2, 1, 5)}, 1, 5, 1},
		{"none of several that differ", []takenStart{of(2, 1, 1, 5), of(2, 2, 1, 6)}, 1, 6, 0},
		{"the one that was given back", []takenStart{of(2, 1, 1, 5), of(2, 2, 0, 5), of(2, 3, 1, 5)}, 1, 5, 2},
		{"one that differs from what was given back", []takenStart{of(2, 1, 0, 0), of(2, 2, 1, 6)}, 1, 6, 2},
		{"one beside what was given back", []takenStart{of(2, 1, 1, 6), of(2, 2, 0, 0)}, 1, 6, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := taken{tt.starts}
			var got int64
			if s := all.find(2, tt.unit, tt.cost); s != nil {
				got = s.begun
			}
			if got != tt.want {
				t.Errorf("start %d, want %d", got, tt.want)
			}
		})
	}
	all := taken{[]takenStart{of(1, 1, 1), of(2, 2, 1), of(3, 3, 1)}}
	if all.numbered(2, 3) != nil || all.numbered(2, 1) != nil || all.numbered(2, 2) == nil {
		t.Error("a start is found by the number of another")
	}
}

// Starts are remembered as long as they may be settled, and so many at most.
func TestHowManyStartsAreRemembered(t *testing.T) {
	var all taken
	for i := range 10 * maxTaken {
		all.add(takenStart{at: time.Duration(i)}, 100)
	}
	if n := cap(all.starts); n > 300 {
		t.Errorf("room for %d where 100 may be settled", n)
	}
	if n, newest := all.first(10*maxTaken-100), len(all.starts)-1; newest-n != 99 {
		t.Errorf("%d remembered of the last 100", newest-n+1)
	}
	for i := range 2 * maxTaken {
		all.add(takenStart{at: time.Duration(10*maxTaken + i)}, forever)
	}
	if len(all.starts) != maxTaken || all.starts[0].at != 11*maxTaken {
		t.Errorf("%d remembered, from %d on; want the last %d", len(all.starts), all.starts[0].at, maxTaken)
	}
}

func TestReservedStartsAreInOrder(t *testing.T) {
	var all []reserved
	for i, due := range []time.Duration{2, 3, 1, 2} {
		all = insert(all, reserved{granted: granted{serial: int64(i)}, due: due})
	}
	for i, want := range []int64{2, 0, 3, 1} {
		if all[i].serial != want {
			t.Errorf("%d is start %d, want %d", i, all[i].serial, want)
		}
	}
}

// A cause is told by errors.Is and errors.As, but that it is not the caller's context that has ended.
func TestUnavailableIsItsCause(t *testing.T) {
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		if err := error(&unavailableError{cause}); errors.Is(err, cause) {
			t.Errorf("%v passes for the caller's", err)
		}
	}
	err := error(&unavailableError{&Error{}})
	if refusal := (*Error)(nil); !errors.As(err, &refusal) {
		t.Error("the cause cannot be had")
	}
	if kind, ok := err.(interface{ ErrorType() string }); !ok || kind.ErrorType() != "pacing_unavailable" {
		t.Errorf("error type of %v", err)
	}
}

// At the ends of what is allowed.
func TestTheLargestConfigIsValid(t *testing.T) {
	f := newFakeRedis(t)
	limits := []pacer.Limit{
		{Calls: maxCalls, Period: maxPeriod}, {Cost: maxCost, Unit: "tokens", Period: time.Second}, {Calls: 1, Bucket: maxCost, Period: time.Second},
	}
	for len(limits) < maxLimits {
		limits = append(limits, tokens(100, time.Second))
	}
	if _, err := New(f, "k", Config{Limits: limits}); err != nil {
		t.Error(err)
	}
	if _, err := New(nil, "k", Config{Limits: limits}); err == nil {
		t.Error("no error without a client")
	}
	if got := unitsOf([]gate.Limit{{Unit: "a"}, {Unit: "b"}, {Unit: "a"}, {}}); len(got) != 3 {
		t.Errorf("units %q, want three", got)
	}
}

// The zero Pacer refuses everything.
func TestAPacerThatWasNotMadeRefuses(t *testing.T) {
	var p Pacer
	if _, err := p.Acquire(t.Context()); !errors.Is(err, errNotMade) {
		t.Error(err)
	}
	if _, err := p.TryAcquire(t.Context()); !errors.Is(err, errNotMade) {
		t.Error(err)
	}
	if err := errors.Join(p.Wait(t.Context()), p.Warm(t.Context())); !errors.Is(err, errNotMade) || p.Allow() {
		t.Error(err)
	}
	p.PauseUntil(time.Now())
}

// The margin is added to windows, and keeps two starts further apart.
func TestTheMarginIsAddedToThePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second), Margin: 100 * ms})
		starts(t, p, 1)
		if got := starts(t, p, 1); got[0] != 1100*ms {
			t.Errorf("started after %v, want 1.1s", got[0])
		}
		if err := p.SetLimits(burst(1, 2*time.Second)...); err != nil {
			t.Fatal(err)
		}
		if got := starts(t, p, 1); got[0] != 2100*ms {
			t.Errorf("started after %v, want 2.1s", got[0])
		}
	})
}
