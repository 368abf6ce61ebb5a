package redispacer

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func tokens(n int, period time.Duration) pacer.Limit {
	return pacer.Limit{Cost: n, Unit: "tokens", Period: period}
}

// costing asks for one start of a cost, and says how long that has to wait, 0 if it started.
func (s scripted) costing(cost int) (granted, time.Duration) {
	s.t.Helper()
	r := s.run(request{wanted: [][]int{{cost}}})
	if len(r.starts) > 0 {
		return r.starts[0], 0
	}
	return granted{}, slices.Max(r.rooms)
}

// What a process knows of its limits it brings up to date with what others have started, and
// finds it anew where others have taken something back.
func TestLimitsThatDifferCountWhatOthersStartAndTakeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := newScripted(t, f, 1, tokens(100, 10*time.Second))
		b := newScripted(t, f, 2, tokens(200, 10*time.Second))
		a.costing(10)
		theirs, _ := b.costing(60)
		if _, room := a.costing(40); room != 10*time.Second {
			t.Errorf("40 of 100 have room in %v with 70 spent, want 10s", room)
		}
		a.costing(10)
		b.run(request{epoch: f.epoch(), given: theirs.at, changes: []change{theirs.back()}})
		if _, room := a.costing(80); room != 0 {
			t.Errorf("80 of 100 have room in %v with 20 spent, want now", room)
		}
	})
}

// What a process knew of its limits is of no use where the starts are gone that it was about.
func TestALimitThatWasNotAskedForLongIsFoundAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := newScripted(t, f, 1, tokens(100, time.Second))
		b := newScripted(t, f, 2, pacer.Limit{Calls: 1, Period: ms})
		a.costing(60)
		for range 300 { // they go round the ring
			time.Sleep(20 * ms)
			b.want(1)
		}
		if _, room := a.costing(51); room != 20*ms { // 50 of the others in the last second
			t.Errorf("room in %v for 51 of 100, want 20ms", room)
		}
		time.Sleep(time.Second)
		if _, room := a.costing(100); room != 0 {
			t.Errorf("room in %v when all has left, want now", room)
		}
	})
}

func TestALimitThatIsNewCountsWhatIsOnTheRecord(t *testing.T) {
	bucket := pacer.Limit{Calls: 1, Period: 100 * time.Second, Bucket: 100}
	for _, tt := range []struct {
		name     string
		old, new pacer.Limit
		starts   int // of the old limit, one a second
		want     time.Duration
		late     time.Duration
	}{
		{"a window", perSecond(3, false), pacer.Limit{Calls: 4, Period: time.Minute}, 4, 56 * time.Second, 0},
		{"even starts", perSecond(3, false), pacer.Limit{Calls: 1, Period: 5 * time.Second, Even: true}, 2, 4 * time.Second, 0},
		{"a bucket", perSecond(3, false), pacer.Limit{Calls: 1, Period: 10 * time.Second, Bucket: 3}, 3, 7 * time.Second, ms},
		{"a bucket that may remember more", perSecond(3, false), bucket, 70, 34 * 100 * time.Second, time.Hour}, // the last 35 and all of the bucket
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				old := newScripted(t, f, 1, tt.old)
				for range tt.starts {
					if len(old.want(1).starts) != 1 {
						t.Fatal("no start")
					}
					time.Sleep(time.Second)
				}
				r := newScripted(t, f, 2, tt.new).want(1)
				if got := r.rooms[0]; got < tt.want || got > tt.want+tt.late {
					t.Errorf("room in %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// An even limit goes on behind starts of processes that have another.
func TestAnEvenLimitGoesOnBehindStartsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		even, other := newScripted(t, f, 1, perSecond(2, true)), newScripted(t, f, 2, perSecond(9, false))
		even.want(1)
		time.Sleep(600 * ms)
		other.want(1)
		if got := even.want(1); len(got.starts) > 0 || got.rooms[0] != 400*ms {
			t.Errorf("%v, room in %v, want 400ms: the other's start took the slot at 500ms", got.starts, got.rooms)
		}
	})
}

// Nothing of the accuracy is lost while a ring grows, wherever in the ring that happens.
func TestARingGrowsAnywhere(t *testing.T) {
	for _, before := range []int{0, 1, 34, 35, 36, 50, 69, 70, 71, 72} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			small := newScripted(t, f, 1, pacer.Limit{Calls: 3, Period: ms})
			for range before {
				small.want(1)
				time.Sleep(ms)
			}
			time.Sleep(time.Second)
			large := newScripted(t, f, 2, pacer.Limit{Calls: 100, Period: time.Minute})
			for range 100 - before {
				if len(large.want(1).starts) != 1 {
					t.Fatalf("no start after %d", before)
				}
				time.Sleep(10 * ms)
			}
			// Of those that are not there any more nobody knows but when the last was.
			first := max(0, before-3-32-1)
			want := time.Minute - time.Duration(100-before)*10*ms
			if before > 0 {
				want -= time.Second + time.Duration(before-first)*ms
			}
			if r := large.want(1); r.rooms[0] != want {
				t.Errorf("after %d: room in %v, want %v", before, r.rooms[0], want)
			}
		})
	}
}

// One process that asks has its place and is struck out when it does not ask; the one behind
// it need not wait for longer.
func TestTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		var ps []scripted
		for i := range 6 {
			ps = append(ps, newScripted(t, f, int64(i+1), perSecond(1, true)))
		}
		ps[5].want(1) // the next slot is in a second
		asks := func(i int, want time.Duration) {
			t.Helper()
			if got := ps[i].want(1); len(got.starts) > 0 || got.ask != want && (want < 750*ms || got.ask < 750*ms || got.ask > time.Second) {
				t.Errorf("%d is to ask again in %v, %d starts; want %v", i, got.ask, len(got.starts), want)
			}
		}
		time.Sleep(500 * ms)
		asks(0, 490*ms)
		asks(1, 530*ms) // they stand by, should the first not ask
		asks(2, 560*ms)
		asks(3, 590*ms)
		asks(4, time.Second) // its own turn is in four and a half seconds
		asks(1, 530*ms)      // the place stays
		time.Sleep(490 * ms)
		if got := ps[0].want(2); len(got.starts) != 1 || got.ask < 750*ms { // then the others
			t.Errorf("the first has %d starts, and is to ask in %v", len(got.starts), got.ask)
		}
		time.Sleep(30 * ms)
		asks(1, 970*ms) // it has moved up
		asks(2, time.Second)
		time.Sleep(950 * ms)
		if got := ps[2].want(1); len(got.starts) > 0 {
			t.Errorf("the second in line starts before the first: %v", got)
		}
		time.Sleep(50 * ms) // the slot passes, and nobody has come for it
		if got := ps[3].want(1).waits(); !slices.Equal(got, []time.Duration{0}) {
			t.Errorf("who asks when nobody has come waits %v, want 0", got)
		}
		time.Sleep(10 * time.Second)
		ps[4].want(3)
		if k := f.key(lineKey); len(k.value) != 14 {
			t.Errorf("%d bytes of line with one process left, want 14", len(k.value))
		}
		time.Sleep(time.Second)
		ps[4].want(1)
		if k := f.key(lineKey); len(k.value) != 0 {
			t.Errorf("%d bytes of line with nobody left, want 0", len(k.value))
		}
	})
}

func TestWhoCannotStartSoonKeepsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		strict := newScripted(t, f, 1, pacer.Limit{Calls: 1, Period: time.Hour})
		loose := newScripted(t, f, 2, pacer.Limit{Calls: 1, Period: 100 * ms, Even: true})
		loose.want(1)
		if got := strict.want(1); len(got.starts) > 0 || got.ask < 750*ms || len(f.key(lineKey).value) > 0 {
			t.Errorf("%+v, want no start and no place in line", got)
		}
		if got := loose.want(1); got.ask != 90*ms {
			t.Errorf("the other is to ask in %v, want 90ms", got.ask)
		}
	})
}

func TestTheLineHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.with(t, "MAX_LINE = 1024", "MAX_LINE = 10")
		for i := range 15 {
			newScripted(t, f, int64(i+1), perSecond(1, true)).want(1)
		}
		if got := len(f.key(lineKey).value); got != 14*10 {
			t.Errorf("%d bytes of line, want those of 10 processes", got)
		}
	})
}

func TestACancelInABucketGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute, Bucket: 3}}})
		starts(t, p, 2)
		slot, err := p.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slot.Cancel()
		synctest.Wait()
		if at := starts(t, p, 1); at[0] != 0 {
			t.Errorf("started after %v, want at once: a start was canceled", at)
		}
	})
}

// What was settled to more, and told before any other start, counts for a Period.
func TestAChargeLeavesWithItsPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: []pacer.Limit{tokens(100, 10*time.Second)}})
		slot, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 10))
		if err != nil {
			t.Fatal(err)
		}
		slot.Settle("tokens", 90)
		time.Sleep(5 * time.Second)
		for _, want := range []time.Duration{5*time.Second + ride, 0} {
			began := time.Now()
			if _, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 50)); err != nil || time.Since(began) != want {
				t.Errorf("started after %v, want %v: %v", time.Since(began), want, err)
			}
		}
	})
}

// What was settled to more is counted once, with the next start, and leaves with it.
func TestAChargeIsCountedOnceWithTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, tokens(100, 10*time.Second))
		s.costing(10)
		s.run(request{epoch: f.epoch(), changes: []change{{kind: charge, unit: 1, cost: 30}}})
		s.costing(10)
		if _, room := s.costing(50); room != 0 {
			t.Errorf("room in %v for 50 of 100 with 50 spent, want now", room)
		}
		if _, room := s.costing(1); room != 10*time.Second {
			t.Errorf("room in %v with all spent, want 10s", room)
		}
		if _, room := newScripted(t, f, 2, tokens(105, 10*time.Second)).costing(10); room != 10*time.Second {
			t.Errorf("another process has room in %v with 100 of 105 spent, want 10s", room)
		}
		time.Sleep(10 * time.Second)
		if _, room := s.costing(100); room != 0 {
			t.Errorf("room in %v when all has left, want now", room)
		}
	})
}

// A settlement that comes late makes nothing dearer again.
func TestASettlementOnlyMakesLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, tokens(100, 10*time.Second))
		g, _ := s.costing(80)
		for _, cost := range []int{20, 70} {
			s.run(request{epoch: f.epoch(), given: g.at, changes: []change{{settleTo, g.at, g.serial, 1, cost}}})
		}
		if _, room := s.costing(80); room != 0 {
			t.Errorf("room in %v, want now", room)
		}
	})
}

// Further starts fill a window, but nothing was sent for them: the grid stays.
func TestFurtherStartsAreNotOnTheGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: drip(10, time.Second)})
		slot, err := p.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slot.Settle("", 4)
		time.Sleep(2 * ride)
		// Two slots have passed; three further starts are on the record.
		if at := starts(t, p, 7); at[0] != 0 || at[5] != 500*ms || at[6] != 800*ms {
			t.Errorf("started at %v, want six 100ms apart and one when the first has left", at)
		}
	})
}
