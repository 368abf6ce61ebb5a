package redispacer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// A scripted process calls the script as a process would, and makes of the answers what it likes.
type scripted struct {
	t     *testing.T
	s     *script
	rules *rules
	units int // that costs are counted in
}

func newScripted(t *testing.T, rdb redis.Scripter, me int64, limits ...pacer.Limit) scripted {
	var all []gate.Limit
	for _, l := range limits {
		all = append(all, gate.Limit(l))
	}
	return scripted{t, newScript(rdb, defaultPrefix, "quota", me), newRules(all, unitsOf(all), 0), len(unitsOf(all)) - 1}
}

func (s scripted) run(req request) reply {
	s.t.Helper()
	req.rules = s.rules
	if req.horizon == 0 {
		req.horizon = 10 * ms
	}
	r, err := s.s.run(s.t.Context(), req)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// want asks for n starts that cost nothing but themselves.
func (s scripted) want(n int) reply {
	s.t.Helper()
	return s.run(request{wanted: make([][]int, n)})
}

func (r reply) waits() []time.Duration {
	var waits []time.Duration
	for _, g := range r.starts {
		waits = append(waits, micros(g.at-r.now))
	}
	return waits
}

func TestALossIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, burst(2, time.Second)...)
		r := s.want(2)
		knowing := request{epoch: r.epoch, given: r.now, horizon: 5 * time.Second, wanted: make([][]int, 1)}
		time.Sleep(100 * ms)
		f.flush()
		knowing.newest = -100 * ms
		if got := s.run(knowing).waits(); !slices.Equal(got, []time.Duration{5 * time.Second}) { // the horizon is how long others may not have heard
			t.Errorf("starts after %v, want 5s", got)
		}
		knowing.horizon = 10 * time.Second
		time.Sleep(400 * ms)
		knowing.newest = -500 * ms // another process, which has not heard of the loss
		if got := s.run(knowing).waits(); !slices.Equal(got, []time.Duration{5100 * ms}) {
			t.Errorf("starts after %v, want 5.1s: evenly behind the first", got)
		}
	})
}

func TestTheStandstillAfterALossIsAPeriodAndAtMostFiveSeconds(t *testing.T) {
	for _, tt := range []struct {
		limit  []pacer.Limit
		newest time.Duration
		want   time.Duration
	}{
		{burst(1, time.Second), -500 * ms, 1100 * ms},
		{burst(1, time.Second), 1500 * ms, 2600 * ms},
		{burst(60, time.Hour), -time.Second, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			s := newScripted(t, f, 1, tt.limit...)
			r := s.want(1)
			f.flush()
			time.Sleep(time.Second)
			got := s.run(request{epoch: r.epoch, given: r.now, newest: tt.newest, wanted: make([][]int, 1)})
			if len(got.starts) > 0 || got.rooms[0] != tt.want {
				t.Errorf("room after %v, want %v", got.rooms, tt.want)
			}
		})
	}
}

func TestAskingLeavesNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, burst(1, time.Second)...)
		if r := s.want(0); r.epoch != 0 || f.record() != nil && len(f.record().value) > 0 {
			t.Errorf("epoch %d, though nothing has started", r.epoch)
		}
	})
}

func TestTheRecordLastsForTheLongestPeriodOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		newScripted(t, f, 1, burst(1, time.Hour)...).want(1)
		newScripted(t, f, 2, burst(2, time.Second)...).want(1)
		if left := time.Until(f.record().expires); left < 2*time.Hour {
			t.Errorf("expires in %v, while a limit looks back by an hour", left)
		}
	})
}

// Nor does who waits by a longer one outwait the record, which would be a start anew.
func TestTheRecordLastsForWhoHasNotStartedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		newScripted(t, f, 1, burst(1, time.Second)...).want(1)
		newScripted(t, f, 2, burst(1, time.Hour)...).want(1)
		if left := time.Until(f.record().expires); left < 2*time.Hour {
			t.Errorf("expires in %v, while a limit looks back by an hour", left)
		}
	})
}

// What is given back twice, by a client that repeats, was given back once.
func TestWhatIsRepeatedFreesNobodyElsesStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, burst(5, time.Second)...)
		r := s.want(5) // all at one moment
		back := request{epoch: r.epoch, given: r.now, changes: []change{r.starts[0].back()}}
		for i := range 3 {
			if got := s.run(back).returned; got != max(0, 1-i) {
				t.Errorf("given back %d times", got)
			}
		}
		if got := s.want(5).waits(); !slices.Equal(got, []time.Duration{0}) {
			t.Errorf("starts after %v, want one at once", got)
		}
		foreign := back
		foreign.epoch++
		if got := s.run(foreign).returned; got != 0 {
			t.Error("a start was given back by who does not know the record")
		}
	})
}

// A ring that is too small grows as starts happen, and a limit that is raised looks back on
// all that is still there.
func TestTheRingGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		large := newScripted(t, f, 1, burst(1000, time.Hour)...)
		for i := range 10 {
			if got := len(large.want(150).starts); got != min(150, max(0, 1000-150*i)) {
				t.Errorf("%d starts in the %dth 150", got, i+1)
			}
		}
		size := len(f.record().value)
		if size > 8*(1024+60) {
			t.Errorf("%d bytes", size)
		}
		time.Sleep(time.Hour + time.Second)
		small := newScripted(t, f, 2, burst(3, time.Second)...)
		for range 30 { // to the middle of the ring
			small.want(3)
			time.Sleep(time.Second)
		}
		larger := newScripted(t, f, 3, burst(1500, 2*time.Hour)...)
		n := 0
		for range 10 {
			n += len(larger.want(200).starts)
		}
		if want := 1500 - 1000 - 90; n != want {
			t.Errorf("%d starts, want %d: those before count", n, want)
		}
	})
}

func TestMicrosecondsNeverLoosenALimit(t *testing.T) {
	for _, l := range []pacer.Limit{
		{Calls: 1, Period: 1}, {Calls: 1, Period: 1001}, {Calls: 7, Period: 10*time.Microsecond + 1},
		{Calls: 3, Period: time.Microsecond, Even: true}, {Calls: 3, Period: time.Second + 1, Even: true},
	} {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t, newFakeRedis(t), 1, l)
				r := s.run(request{wanted: make([][]int, 10*l.Calls), horizon: 20 * time.Second})
				var at []int64
				for _, g := range r.starts {
					at = append(at, g.at)
				}
				if len(at) < 10*l.Calls {
					t.Errorf("%d starts, want %d", len(at), 10*l.Calls)
				}
				checkWindows(t, at, pacer.Limit{Calls: l.Calls, Period: l.Period})
				for i := 1; l.Even && i < len(at); i++ {
					if at[i] == at[i-1] {
						t.Errorf("starts %d and %d are not apart", i-1, i)
					}
				}
				if r := s.run(request{pause: 1001}); r.resumes-r.now != 2 {
					t.Errorf("a pause of 1001ns is one of %d µs", r.resumes-r.now)
				}
			})
		})
	}
}

// TestEachProcessHoldsItsOwnStartsToItsOwnLimits lets processes with other limits ask, give
// back and settle at random. A start counts for all; whether it may happen is a matter of the
// limits of its own process.
func TestEachProcessHoldsItsOwnStartsToItsOwnLimits(t *testing.T) {
	t.Parallel()
	rdb := startServer(t).client(t)
	withClock := scriptWithClock()
	for seed := range seeds(100, 2000) {
		random := rand.New(rand.NewPCG(seed, 4))
		now := int64(1_800_000_000_000_000)
		var all []oracleStart // of costs by the two units that there are
		var processes []scripted
		for i := range 3 {
			p := newScripted(t, rdb, int64(i+1), someLimits(random)...)
			p.s = newScript(rdb, "", fmt.Sprint("mixed", seed), int64(i+1))
			p.s.lua = withClock
			processes = append(processes, p)
		}
		var epoch, given int64
		for step := range 100 {
			now += random.Int64N(300_000)
			rdb.Set(t.Context(), "clock", now, 0)
			p := processes[random.IntN(len(processes))]
			req := request{epoch: epoch, given: given, horizon: []time.Duration{10 * ms, 300 * ms}[random.IntN(2)]}
			if n := len(all); n > 0 && random.IntN(3) == 0 {
				i := max(0, n-1-random.IntN(5))
				if all[i].at <= now { // else another may take it, which is not what this is about
					req.changes = append(req.changes, all[i].back())
					all = slices.Delete(all, i, i+1)
				}
			}
			for range random.IntN(4) {
				req.wanted = append(req.wanted, slices.Repeat([]int{1 + random.IntN(3)}, p.units))
			}
			r := p.run(req)
			for i, g := range r.starts {
				s := oracleStart{granted: g, costs: []int64{1}}
				for range p.units {
					s.costs = append(s.costs, int64(req.wanted[i][0]))
				}
				all = append(all, s)
				for _, rule := range p.rules.each {
					if rule.kind > even {
						continue // what a start costs in units that its process does not know is another matter
					}
					n := 0
					for _, other := range all {
						if other.at > g.at-microsUp(rule.period) && other.at <= g.at {
							n++
						}
					}
					if n > rule.amount {
						t.Fatalf("seed %d, step %d: %d in a window of %+v", seed, step, n, rule)
					}
				}
				epoch, given = r.epoch, r.now
			}
			slices.SortStableFunc(all, func(a, b oracleStart) int { return int(a.at - b.at) })
		}
	}
}
