package redispacer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// What is drawn depends on all that ever started. Where it has to be found anew, since others took
// something back, it is never less than it was.
func TestABucketThatIsFoundAnewIsNoFuller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := newScripted(t, f, 1, pacer.Limit{Calls: 1, Period: time.Second, Bucket: 10})
		b := newScripted(t, f, 2, perSecond(100, false))
		if got := len(a.want(11).starts); got != 10 {
			t.Fatalf("%d starts, want 10", got)
		}
		for range 30 {
			time.Sleep(time.Second)
			if got := len(a.want(2).starts); got != 1 {
				t.Fatalf("%d starts a second later, want 1", got)
			}
		}
		time.Sleep(2 * time.Second)
		theirs := b.want(1).starts[0]
		a.want(1)
		b.back(f.epoch(), theirs)
		if got := len(a.want(10).starts); got != 1 {
			t.Errorf("%d starts, want 1: two have flowed back, and one was taken", got)
		}
	})
}

// Nor is it emptier, as far as the record goes back.
func TestABucketThatIsNewIsAsFullAsTheRecordSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		newScripted(t, f, 1, perSecond(100, false)).want(3)
		time.Sleep(5 * time.Second)
		b := newScripted(t, f, 2, pacer.Limit{Calls: 1, Period: time.Second, Bucket: 10})
		if got := len(b.want(11).starts); got != 10 {
			t.Errorf("%d starts, want 10", got)
		}
	})
}

// A charge counts from now, though a start is reserved ahead.
func TestAChargeIsDrawnBesideWhatIsReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, pacer.Limit{Cost: 1, Unit: "tokens", Period: time.Second, Bucket: 10})
		s.costing(10)
		if got := s.run(request{wanted: [][]int{{2}}, horizon: 5 * time.Second}).waits(); len(got) != 1 || got[0] != 2*time.Second {
			t.Fatalf("reserved in %v, want 2s", got)
		}
		s.run(request{epoch: f.epoch(), changes: []change{{kind: charge, unit: 1, cost: 3}}})
		if _, room := s.costing(1); room != 6*time.Second { // 13 are drawn in 2s
			t.Errorf("room in %v, want 6s", room)
		}
	})
}

// What is taken back is back in the bucket as far as it was missing ever since: what has flowed
// back does not come twice.
func TestABucketGetsBackWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(s scripted)
		after  func(s scripted)
		cost   int // of what is taken back
		want   time.Duration
	}{
		{"all", func(scripted) {}, func(scripted) {}, 8, 0},
		{"all that was drawn since it was full last", func(s scripted) {
			s.costing(1)
			time.Sleep(500 * ms)
			s.costing(1)
			time.Sleep(5 * time.Second)
		}, func(scripted) {}, 8, 0},
		{"what has not flowed back", func(scripted) {}, func(scripted) { time.Sleep(6 * time.Second) }, 8, 0},
		{"less, where it was nearly full since", func(scripted) {}, func(s scripted) {
			time.Sleep(6 * time.Second)
			s.costing(4) // 2 of the 8 were missing
		}, 8, 4 * time.Second},
		{"nothing, where it was full since", func(scripted) {}, func(s scripted) {
			time.Sleep(9 * time.Second)
			s.costing(4)
		}, 8, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for kind, c := range map[string]change{"cancel": {kind: giveBack}, "settle": {kind: settleTo, unit: 1}} {
				synctest.Test(t, func(t *testing.T) {
					f := newFakeRedis(t)
					s := newScripted(t, f, 1, pacer.Limit{Cost: 1, Unit: "tokens", Period: time.Second, Bucket: 10})
					tt.before(s)
					g, _ := s.costing(tt.cost)
					tt.after(s)
					c.at, c.serial = g.at, g.serial
					s.run(request{epoch: f.epoch(), changes: []change{c}})
					if _, room := s.costing(10); room != tt.want {
						t.Errorf("%s: room for all in %v, want %v", kind, room, tt.want)
					}
				})
			}
		})
	}
}

// The record outlives what is missing in a bucket, for however long that takes to flow back.
func TestABucketIsRememberedUntilItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second, Bucket: 100}}})
		starts(t, p, 100)
		time.Sleep(50 * time.Second)
		if at := starts(t, p, 51); at[49] != 0 || at[50] != time.Second {
			t.Errorf("after 50s started at %v, want 50 at once and one after 1s", at)
		}
	})
}

func TestWhatIsMissingInABucketComesBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, pacer.Limit{Cost: 1, Unit: "tokens", Period: time.Second, Bucket: 10})
		one, _ := s.costing(4)
		two, _ := s.costing(4)
		time.Sleep(6 * time.Second)
		s.costing(4) // 2 of the 8 were missing
		for _, g := range []granted{one, two} {
			s.back(f.epoch(), g)
		}
		if _, room := s.costing(10); room != 4*time.Second {
			t.Errorf("room for all in %v, want 4s", room)
		}
	})
}

func TestABucketThatIsNewGetsBackWhatWasTakenSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		old := newScripted(t, f, 1, perSecond(100, false))
		old.want(1) // what was drawn by then nobody knows
		time.Sleep(5 * time.Second)
		g := old.want(5).starts[0]
		time.Sleep(5500 * ms)
		s := newScripted(t, f, 2, pacer.Limit{Calls: 1, Period: time.Second, Bucket: 10})
		s.want(0)
		s.back(f.epoch(), g)
		if got := len(s.want(10).starts); got != 6 { // 10 at first, 5 less 1 then, and 10.5 have flowed back
			t.Errorf("%d starts, want 6", got)
		}
	})
}

// A bucket that was not asked for until others had taken the place of what it knew begins anew.
func TestABucketThatWasNotAskedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := newScripted(t, f, 1, pacer.Limit{Calls: 1, Period: time.Second, Bucket: 200})
		b := newScripted(t, f, 2, pacer.Limit{Calls: 1, Period: ms})
		a.want(100)
		for range 300 { // they go round the ring
			time.Sleep(20 * ms)
			b.want(1)
		}
		known := len(f.entries())
		want := time.Duration(known+1)*time.Second - time.Duration(known)*20*ms
		if got := a.want(1).rooms[0]; got.Round(100*time.Microsecond) != want { // each part of a unit is rounded up
			t.Errorf("room in %v, want %v: 200 were drawn at most before the last %d", got, want, known)
		}
	})
}

// Where it takes more starts to leave a window than are looked at, a start comes no sooner for
// it, and later only where they lie so close that the next look is a millisecond later.
func TestALargeCostThatManyStartsHoldUpStartsInTime(t *testing.T) {
	for apart, late := range map[time.Duration]time.Duration{ms: ms, 40 * ms: 0} {
		t.Run(apart.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				f.with(t, "WALK = 8192", "WALK = 3")
				p := mustNew(t, f, Config{Limits: []pacer.Limit{tokens(10, time.Second)}})
				for range 10 {
					if err := p.Wait(pacer.WithCost(t.Context(), "tokens", 1)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(apart)
				}
				began := time.Now()
				err := p.Wait(pacer.WithCost(t.Context(), "tokens", 10))
				got, want := time.Since(began), time.Second-apart // when the last has left
				if err != nil || got < want || got > want+late {
					t.Errorf("started after %v, want %v: %v", got, want, err)
				}
			})
		})
	}
}
