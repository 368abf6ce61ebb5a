package pacer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// New may answer differently for a key that was forgotten, as where a program has read its
// configuration anew: what a start costs, and whether it needs a slot, is for the new pacer
// to say.
func TestAForgottenPacerServesItsCallersByTheLimitsOfTheNewOne(t *testing.T) {
	hour := pacer.Limit{Calls: 2, Period: time.Hour}
	for name, configs := range map[string][2]pacer.Config{
		"fewer units":       {{Limits: []pacer.Limit{hour, tokenLimit(100)}}, {Limits: []pacer.Limit{hour}}},
		"more units":        {{Limits: []pacer.Limit{hour}}, {Limits: []pacer.Limit{hour, tokenLimit(100)}}},
		"another unit":      {{Limits: []pacer.Limit{tokenLimit(100)}}, {Limits: []pacer.Limit{hour, {Cost: 9, Unit: "points", Period: time.Hour}}}},
		"flights":           {{Limits: []pacer.Limit{hour}}, {Limits: []pacer.Limit{hour}, MaxInFlight: 9}},
		"flights and costs": {{Limits: []pacer.Limit{hour}}, {Limits: []pacer.Limit{hour, tokenLimit(100)}, MaxInFlight: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := configs[0]
				k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacerWith(t, cfg) })
				old := k.Get("a")
				cfg = configs[1]
				k.Get("b") // forgets a
				time.Sleep(time.Second)
				current, began := k.Get("a"), time.Now()

				var admitted pacer.Admission
				err := old.Admit(costing(t, 40), &admitted)
				if useful := cfg.MaxInFlight > 0 || len(cfg.Limits) > 1; err != nil || (admitted.Slot() != nil) != useful {
					t.Errorf("Admit: %+v, %v, want a slot: %t", admitted, err, useful)
				}
				slotOf(t, old, costing(t, 40))
				for range 3 { // at 1 1 2 h
					acquires(old, costing(t, 40))
				}
				if got := current.Stats(); got.Granted != 2 || got.Waiting != 3 {
					t.Errorf("Stats: %+v, want 2 granted, 3 waiting", got)
				}
				err = old.Admit(costing(t, 40), &admitted)
				if err != nil || admitted.Waited() != 2*time.Hour || !admitted.Came().Equal(began.Add(5)) { // behind five others
					t.Errorf("Admit: %+v, %v, want a start after two hours", admitted, err)
				}
			})
		})
	}
}

func TestSettlingToMoreOnASlotOfAForgottenPacerStillCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 2, func(string) *pacer.Pacer { return pacerOf(t, tokenLimit(100)) })
		s := slotOf(t, k.Get("a"), costing(t, 1))
		k.Get("b")
		time.Sleep(time.Minute)
		k.Get("c") // forgets a and b
		slotOf(t, k.Get("a"), costing(t, 90))
		acquires(k.Get("a"), costing(t, 50)) // in a minute
		ctx, cancel := context.WithTimeout(costing(t, 50), time.Minute+1)
		defer cancel()
		_, failed := acquires(k.Get("a"), ctx) // likewise
		time.Sleep(time.Second)
		if !s.Settle(tokens, 100) {
			t.Error("Settle: false")
		}
		synctest.Wait()
		if !errors.Is(failed(), pacer.ErrDeadline) {
			t.Errorf("whoever it makes too late got %v, want to be refused at once", failed())
		}
		wantNotNow(t, k.Get("a"), costing(t, 2), time.Minute)
		if got := k.Get("a").Stats().Limits[0].Used; got != 189 {
			t.Errorf("%d used, want 90 and the 99 beyond the 1 that has left the window", got)
		}
		slotOf(t, k.Get("c"), costing(t, 100)) // another key's
	})
}

// By the time a slot of the overflow hears of it, its key may have a pacer of its own.
func TestSettlingToMoreOnASlotOfTheOverflowCountsOnThePacersThatTookItsStartOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 2, func(string) *pacer.Pacer { return pacerOf(t, tokenLimit(100)) })
		slotOf(t, k.Get("a"), costing(t, 1))
		slotOf(t, k.Get("c"), costing(t, 1))
		overflow := k.Get("before")
		slotOf(t, overflow, costing(t, 1))
		time.Sleep(time.Minute)
		before := k.Get("before") // in the place of a or c, and has taken over what was till now
		before.PauseUntil(time.Now().Add(time.Hour))
		slotOf(t, k.Get("d"), costing(t, 1)) // in the other
		time.Sleep(time.Second)
		s := slotOf(t, k.Get("b"), costing(t, 10))
		time.Sleep(time.Minute)
		own := k.Get("b") // in the place of d
		if own == overflow || before == overflow {
			t.Fatal("a key has no pacer of its own though there is room")
		}
		slotOf(t, own, costing(t, 20))
		s.Settle(tokens, 60)
		want := map[string]int{"b": 70, "before": 0, "overflow": 50}
		for name, p := range map[string]*pacer.Pacer{"b": own, "before": before, "overflow": overflow} {
			if got := p.Stats().Limits[0].Used; got != want[name] {
				t.Errorf("%s: %d used, want %d", name, got, want[name])
			}
		}
		s.Settle(tokens, 10)
		if got := own.Stats().Limits[0].Used; got != 70 {
			t.Errorf("%d used, want still 70: what is given back goes to the overflow", got)
		}
	})
}

func TestReportOnASlotOfTheOverflowPausesThePacersThatTookItsStartOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacer.Burst(5, time.Second) })
		start(t, k.Get("a"))
		overflow := k.Get("b")
		s := slotOf(t, overflow, t.Context())
		time.Sleep(2 * time.Second)
		own := k.Get("b")
		until := time.Now().Add(time.Minute)
		overflow.PauseUntil(until)
		throttled := pacer.Outcome{Throttled: true, Delay: time.Minute}
		if got := s.Report(throttled); own == overflow || !got.Equal(until) || !own.Stats().PausedUntil.Equal(until) {
			t.Errorf("Report: %v, and b is paused until %v, want %v", got, own.Stats().PausedUntil, until)
		}
		if got := s.Report(throttled); !got.IsZero() {
			t.Errorf("a report that changes nothing says: paused until %v", got)
		}
	})
}

// What is no call does not count as one that was sent to the overflow, where nobody would
// wait for its end.
func TestPausesOfAForgottenPacerDoNotKeepItsKeyInTheOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacer.Burst(9, time.Minute) })
		old := k.Get("a")
		start(t, k.Get("b")) // takes the place of a
		old.PauseUntil(time.Now().Add(time.Millisecond))
		overflow := k.Get("a")
		time.Sleep(time.Second)
		start(t, overflow)
		old.Stats()
		time.Sleep(time.Minute - time.Second)
		if k.Get("a") == overflow {
			t.Error("a has no pacer of its own though all its calls have ended")
		}
	})
}

// A call that was canceled after its start has ended as well.
func TestCanceledSlotsDoNotKeepAKeyInTheOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacer.Burst(9, time.Minute) })
		start(t, k.Get("a"))
		overflow := k.Get("b")
		canceled := slotOf(t, overflow, t.Context())
		start(t, k.Get("c"))
		canceled.Cancel()
		time.Sleep(30 * time.Second)
		start(t, k.Get("b")) // so that the overflow is not idle
		time.Sleep(30 * time.Second)
		if k.Get("b") == overflow {
			t.Error("b has no pacer of its own though all its calls have ended")
		}
	})
}

// A key's flights are bounded wherever they began, so it stays where they are counted.
func TestKeyedKeepsAKeyInTheOverflowWhileAnythingIsInFlightThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return inFlight(t, 1) })
		a := slotOf(t, k.Get("a"), t.Context())
		overflow := k.Get("b")
		b := slotOf(t, overflow, t.Context())
		a.Done()
		time.Sleep(time.Hour)
		if k.Get("b") != overflow {
			t.Fatal("b has a pacer of its own while it has a flight in the overflow")
		}
		wantNotNow(t, overflow, t.Context(), time.Millisecond)
		b.Done()
		if k.Get("b") == overflow {
			t.Error("b has no pacer of its own though nothing is in flight")
		}
	})
}

// What was settled to more after the last start counts from then, on a key's own pacer too.
func TestKeyedTakesOverWhatWasSettledInTheOverflow(t *testing.T) {
	bucket := pacer.Limit{Cost: 100, Unit: tokens, Period: time.Minute, Bucket: 100}
	for name, tc := range map[string]struct {
		overflow, own pacer.Limit
		next          time.Duration
	}{
		"window":                   {tokenLimit(100), tokenLimit(100), 110 * time.Second},
		"bucket":                   {bucket, bucket, 224 * time.Second}, // when 290 have flowed back
		"window that looks back":   {pacer.Limit{Cost: 100, Unit: tokens, Period: time.Second}, tokenLimit(100), 110 * time.Second},
		"window after a bucket":    {bucket, tokenLimit(100), 224 * time.Second},
		"starts, after a bucket's": {pacer.Limit{Calls: 9, Period: time.Second, Bucket: 9}, pacer.Limit{Calls: 9, Period: time.Minute}, 110 * time.Second},
		"starts, after a window's": {pacer.Limit{Calls: 9, Period: time.Second}, pacer.Limit{Calls: 9, Period: time.Minute}, 110 * time.Second},
		"starts, in the same one":  {pacer.Limit{Calls: 9, Period: time.Minute}, pacer.Limit{Calls: 9, Period: time.Minute}, 110 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, _ := newKeyed(t, 1, func(key string) *pacer.Pacer {
					switch key {
					case "a":
						return onePerSecond(key)
					case "b":
						return pacerOf(t, tc.own)
					}
					return pacerOf(t, tc.overflow)
				})
				start(t, k.Get("a"))
				began, overflow := time.Now(), k.Get("b")
				b := slotOf(t, overflow, costing(t, 10))
				time.Sleep(50 * time.Second)
				b.Settle(tc.overflow.Unit, 300)
				time.Sleep(2 * time.Second)
				overflow.Stats() // lets windows forget what has left them
				own := k.Get("b")
				if own == overflow {
					t.Fatal("b has no pacer of its own though a is idle")
				}
				wantNotNow(t, own, costing(t, 100), time.Until(began.Add(tc.next)))
				time.Sleep(time.Until(began.Add(tc.next)))
				slotOf(t, own, costing(t, 100))
			})
		})
	}
}
func TestSettlingToMoreOnASlotOfAForgottenPacerCountsInTheQuotasOfTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacer.Burst(9, time.Second) })
		s := slotOf(t, k.Get("a"), t.Context())
		time.Sleep(time.Second)
		k.Get("b") // forgets a's
		current := k.Get("a")
		teach(slotOf(t, current, t.Context()), left(5, time.Minute))
		s.Settle("", 3)
		wantLeft(t, current, 3)
	})
}

func TestReportThatNothingIsLeftOnASlotOfTheOverflowPausesThePacersThatTookItsStartOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacer.Burst(5, time.Second) })
		start(t, k.Get("a"))
		overflow := k.Get("b")
		var admitted pacer.Admission
		err := overflow.Admit(t.Context(), &admitted)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		own := k.Get("b")
		admitted.Report(pacer.Outcome{Quotas: []quota.State{left(1, time.Minute)}})
		if got := own.Stats(); own == overflow || !got.PausedUntil.IsZero() || got.Quotas != nil {
			t.Errorf("Stats: %+v, want nothing learned", got)
		}
		until := time.Now().Add(time.Hour)
		overflow.PauseUntil(until)
		got := admitted.Report(pacer.Outcome{Quotas: []quota.State{left(0, time.Hour)}})
		if !got.Equal(until) || !own.Stats().PausedUntil.Equal(until) {
			t.Errorf("Report: %v, and b is paused until %v, want %v", got, own.Stats().PausedUntil, until)
		}
	})
}
