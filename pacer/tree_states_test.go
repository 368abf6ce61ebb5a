package pacer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// What a state above has kept unknown is told as soon as callers flow again.

// lateBehind lets callers of a child of p wait, the third a quiet one, the last with a deadline,
// and pauses p until 15 s. It returns the last's end, and the slots of the others that get some.
func lateBehind(t *testing.T, p *pacer.Pacer, heard int, deadline time.Duration) (ended func() error, slots []func() *pacer.Slot) {
	t.Helper()
	leaf := pacerWith(t, pacer.Config{Parent: p})
	for p.Allow() { // all that there is
	}
	for range heard {
		slot, _ := acquires(leaf, t.Context())
		slots = append(slots, slot)
	}
	go leaf.Wait(t.Context())
	synctest.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	_, ended = acquires(leaf, ctx)
	p.PauseUntil(time.Now().Add(15 * time.Second))
	time.Sleep(15 * time.Second)
	synctest.Wait()
	return ended, slots
}

func TestWhoIsTooLateIsToldOnceSilenceHasEndedTheProbingAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, pacer.Limit{Calls: 1, Period: 10 * time.Second})
		ended, slots := lateBehind(t, root, 1, 35*time.Second)
		if slots[0]() == nil || ended() != nil {
			t.Fatal("no probe, or a refusal while nobody can know: ", ended())
		}
		time.Sleep(time.Second) // the probe is silent: they start at 25 s and 35 s
		synctest.Wait()
		if !errors.Is(ended(), pacer.ErrDeadline) {
			t.Errorf("the last: %v, want ErrDeadline at 16s", ended())
		}
		time.Sleep(time.Minute)
	})
}

func TestWhoIsTooLateIsToldOnceALimitHasEndedTheProbingAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, pacer.Limit{Calls: 3, Period: 10 * time.Second})
		ended, slots := lateBehind(t, root, 3, 24*time.Second)
		if slots[0]() == nil || ended() != nil {
			t.Fatal("no probe, or a refusal while nobody can know: ", ended())
		}
		slots[0]().Report(pacer.Outcome{}) // the second takes the last slot, and a limit holds the third
		synctest.Wait()
		if !errors.Is(ended(), pacer.ErrDeadline) { // they start at 25 s
			t.Errorf("the last: %v, want ErrDeadline at 15s", ended())
		}
		time.Sleep(time.Minute)
	})
}

// What the first probe of one child begins bounds how long the others are held.
func TestAProbeOfOneChildBoundsHowLongOthersAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 3 * time.Second}}, Outage: &pacer.Outage{After: 1}})
		a, b := pacerWith(t, pacer.Config{Parent: root}), pacerWith(t, pacer.Config{Parent: root, MaxPause: 5 * time.Second})
		began := time.Now()
		slotOf(t, a, t.Context()).Report(failed)
		time.Sleep(3 * time.Second)
		slotOf(t, a, t.Context()).Report(pacer.Outcome{})
		probe, _ := acquires(a, t.Context())
		_, ended := acquires(b, t.Context())
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if probe() == nil || ended() != nil {
			t.Fatal("no probe at 6s, or a refusal: ", ended())
		}
		for ended() == nil && time.Since(began) < time.Minute { // the probe is silent
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(began); took != 11*time.Second || !errors.Is(ended(), pacer.ErrPaused) {
			t.Errorf("%v after %v, want ErrPaused after 11s", ended(), took)
		}
	})
}

// A unit that is new above is counted of those who wait below.
func TestANewUnitAboveIsCountedOfThoseWhoWaitBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, _, leaf := family(t, drips(5*time.Second), pacer.Config{}, pacer.Config{})
		slotOf(t, root, t.Context())
		slot, _ := acquires(leaf, costing(t, 50))
		_, costly := acquires(leaf, costing(t, 200))
		if err := root.SetLimits(pacer.Limit{Calls: 1, Period: 5 * time.Second}, tokenLimit(100)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !errors.Is(costly(), pacer.ErrTooCostly) {
			t.Errorf("one that costs 200: %v, want ErrTooCostly at once", costly())
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if slot() == nil || slot().Costs()[tokens] != 50 || root.Stats().Limits[1].Used != 50 {
			t.Errorf("%+v, want 50 used", root.Stats().Limits)
		}
	})
}

// While a pacer above probes, it is not a pause that holds whom a limit below holds.
func TestWhomALimitBelowHoldsIsNotRefusedForProbingAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacer.Burst(100, time.Second)
		slow := pacerWith(t, pacer.Config{Parent: root, Limits: []pacer.Limit{{Calls: 1, Period: 10 * time.Minute}}})
		root.PauseUntil(time.Now().Add(time.Second))
		if _, err := slow.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := slow.Acquire(t.Context()); err != nil || time.Since(began) != 10*time.Minute || root.Stats().State != pacer.StateProbing {
			t.Errorf("%v after %v, root is %v, want a start after 10m of probing", err, time.Since(began), root.Stats().State)
		}
	})
}

// Whoever may be the probe is it, though others wait who may not be.
func TestTryAcquireGoesBeforeThoseWhomAStateAboveHolds(t *testing.T) {
	for _, waits := range []string{"in the same child", "in another", "at the root"} {
		synctest.Test(t, func(t *testing.T) {
			root := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: time.Minute}}, Outage: &pacer.Outage{After: 1}})
			a, b := pacerWith(t, pacer.Config{Parent: root}), pacerWith(t, pacer.Config{Parent: root})
			slotOf(t, a, t.Context()).Report(failed)
			c := newCallers(map[string]*pacer.Pacer{"in the same child": a, "in another": b, "at the root": root}[waits])
			c.arrive(1)
			time.Sleep(200 * time.Millisecond)
			if _, err := a.TryAcquire(t.Context()); err != nil {
				t.Errorf("one of Wait waits %s: %v, want the probe", waits, err)
			}
			c.starts()
		})
	}
}

// One look for whom states let pass asks each pacer once, however deep the tree.
func TestADeepTreeIsSearchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, wide...)
		deep := root
		for range 40 {
			deep = pacerWith(t, pacer.Config{Parent: deep})
		}
		slotOf(t, root, t.Context()).Report(throttledFor(time.Second))
		quiet, paused := newCallers(pacerWith(t, pacer.Config{Parent: deep})), pacerWith(t, pacer.Config{Parent: deep, Limits: wide})
		paused.PauseUntil(time.Now().Add(5 * time.Second))
		slot, _ := acquires(paused, t.Context())
		quiet.arrive(3) // while the root probes one may pass who is not to be had, and these one by one
		quiet.starts()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if slot() == nil {
			t.Error("whoever was paused has not started")
		}
	})
}

// A child that is down lets no one of Wait stand for it while another may be its probe. Which of
// them that is has changed when the state above that held both has ended.
func TestTheEndOfAPauseAboveWakesTheProbeBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, wide...)
		leaf := pacerWith(t, pacer.Config{Parent: root, Limits: wide, Outage: &pacer.Outage{After: 1}})
		slotOf(t, leaf, t.Context()).Report(failed)
		root.PauseUntil(time.Now().Add(30 * time.Second))
		quiet := newCallers(leaf)
		quiet.arrive(1)
		probe, _ := acquires(leaf, t.Context())
		time.Sleep(time.Second)
		root.Resume()
		synctest.Wait()
		if probe() == nil {
			t.Error("no probe though nothing holds it any more")
		}
		quiet.starts()
	})
}

// After an outage above, who was put behind others for it is the head below again, and knows.
func TestTheEndOfAnOutageAboveWakesTheRetryBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerWith(t, pacer.Config{Limits: wide, Outage: &pacer.Outage{After: 2}})
		leaf, other := pacerWith(t, pacer.Config{Parent: root, PassUp: true, Limits: []pacer.Limit{tokenLimit(100)}}), pacerWith(t, pacer.Config{Parent: root})
		first := slotOf(t, leaf, costing(t, 50))
		first.Report(failed)
		slotOf(t, other, t.Context()).Report(failed)
		retry, _ := acquires(leaf, pacer.WithArrival(costing(t, 10), first.Came()))
		dear, _ := acquires(leaf, costing(t, 90)) // goes first while down, and waits for a minute
		time.Sleep(100 * time.Millisecond)
		probe := slotOf(t, other, t.Context())
		synctest.Wait()
		probe.Report(pacer.Outcome{})
		synctest.Wait()
		if retry() == nil || dear() != nil {
			t.Errorf("the retry has started: %t, the dear one: %t", retry() != nil, dear() != nil)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
	})
}
