package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// What servers say, in a tree of pacers.

var wide = []pacer.Limit{{Calls: 1000, Period: time.Second}}

func throttledFor(delay time.Duration) pacer.Outcome {
	return pacer.Outcome{Throttled: true, Delay: delay}
}

// wantStates checks which of a pacer and those above are paused by themselves, as their direct
// callers see it.
func wantStates(t *testing.T, want string, pacers ...*pacer.Pacer) {
	t.Helper()
	got := ""
	for _, p := range pacers {
		got += p.Stats().State.String() + " "
	}
	if got != want+" " {
		t.Errorf("states %swant %s", got, want)
	}
}

func TestWhatAServerSaysBelongsToTheNearestPacerWithLimitsAndWithoutPassUp(t *testing.T) {
	for _, test := range []struct {
		name      string
		mid, leaf pacer.Config
		want      string // states of root, mid, leaf; who is below a pause is paused
	}{
		{"its own", pacer.Config{Limits: wide}, pacer.Config{Limits: wide}, "flowing flowing paused"},
		{"PassUp", pacer.Config{Limits: wide}, pacer.Config{Limits: wide, PassUp: true}, "flowing paused paused"},
		{"no Limits", pacer.Config{Limits: wide}, pacer.Config{MaxInFlight: 9}, "flowing paused paused"},
		{"nothing at all", pacer.Config{Limits: wide}, pacer.Config{}, "flowing paused paused"},
		{"PassUp twice", pacer.Config{Limits: wide, PassUp: true}, pacer.Config{Limits: wide, PassUp: true}, "paused paused paused"},
		{"PassUp and no Limits", pacer.Config{}, pacer.Config{Limits: wide, PassUp: true}, "paused paused paused"},
		{"PassUp further up only", pacer.Config{Limits: wide, PassUp: true}, pacer.Config{Limits: wide}, "flowing flowing paused"},
	} {
		for _, said := range []struct {
			name string
			pacer.Outcome
		}{
			{"throttled", throttledFor(10 * time.Second)},
			{"nothing is left", pacer.Outcome{Quotas: []quota.State{{Name: "q", Reset: 10 * time.Second}}}},
		} {
			t.Run(test.name+", "+said.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					root := pacerWith(t, pacer.Config{MaxInFlight: 99}) // the topmost hears what nobody else does
					test.mid.Parent = root
					mid := pacerWith(t, test.mid)
					test.leaf.Parent = mid
					leaf := pacerWith(t, test.leaf)
					slot := slotOf(t, leaf, t.Context())
					if until, want := slot.Report(said.Outcome), time.Now().Add(10*time.Second); !until.Equal(want) {
						t.Errorf("Report: %v, want %v", until, want)
					}
					wantStates(t, test.want, root, mid, leaf)
				})
			})
		}
	}
}

// What a slot hears after its pacer has passed it up is judged by the start as the pacer above
// counts it: of another era it changes nothing.
func TestAReportPassedUpIsOfTheStartAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, wide...)
		leaf := pacerWith(t, pacer.Config{Parent: root, PassUp: true})
		for range 5 {
			slotOf(t, leaf, t.Context()).Done()
		}
		early := slotOf(t, root, t.Context())
		late := slotOf(t, leaf, t.Context())
		early.Report(throttledFor(time.Second))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if until := late.Report(throttled); !until.IsZero() {
			t.Errorf("Report of a start before the last pause: paused until %v, want nothing", until)
		}
		probe := slotOf(t, leaf, t.Context())
		wantNotNow(t, leaf, t.Context(), time.Millisecond)
		probe.Report(pacer.Outcome{})
		slotOf(t, leaf, t.Context())
		slotOf(t, leaf, t.Context())
	})
}

func TestACanceledSlotReportsNothingAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, wide...)
		slot := slotOf(t, pacerWith(t, pacer.Config{Parent: root}), t.Context())
		slot.Cancel()
		if until := slot.Report(throttledFor(time.Minute)); !until.IsZero() {
			t.Errorf("Report: %v, want nothing", until)
		}
		wantStates(t, "flowing", root)
	})
}

// After a pause above one probe: of all children together.
func TestAfterAPauseAboveOneProbeOfAllChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, wide...)
		a := pacerWith(t, pacer.Config{Parent: root, PassUp: true})
		b := pacerWith(t, pacer.Config{Parent: root})
		slotOf(t, a, t.Context()).Report(throttledFor(10 * time.Second))
		began := time.Now()
		var got []time.Duration
		starts := make(chan *pacer.Slot, 8)
		for i := range 8 {
			p := []*pacer.Pacer{a, b}[i%2]
			go func() {
				s, err := p.Acquire(t.Context())
				if err != nil {
					t.Error(err)
				}
				starts <- s
			}()
			synctest.Wait()
		}
		answer := func(n int) {
			for range n {
				slot := <-starts
				got = append(got, time.Since(began))
				slot.Report(pacer.Outcome{})
			}
			synctest.Wait()
		}
		for _, n := range []int{1, 2, 4} { // with each answered there may be twice as many
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if n == 1 {
				time.Sleep(10 * time.Second)
				synctest.Wait()
			}
			if len(starts) != n {
				t.Fatalf("%d start at once, want %d", len(starts), n)
			}
			answer(n)
		}
		answer(1)
	})
}

// An outage is one of the pacer that hears of failures: children share its probes, and a start
// that comes back with its arrival is the same call.
func TestAnOutageAboveIsAllChildrens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerWith(t, pacer.Config{Limits: wide, Outage: &pacer.Outage{After: 3}})
		a := pacerWith(t, pacer.Config{Parent: root})
		b := pacerWith(t, pacer.Config{Parent: root, PassUp: true, Limits: wide})
		first, err := a.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first.Report(failed)
		for range 5 { // retries of one call are one failure
			again, err := a.Acquire(pacer.WithArrival(t.Context(), first.Came()))
			if err != nil {
				t.Fatal(err)
			}
			again.Report(failed)
		}
		wantStates(t, "flowing flowing", root, a)
		slotOf(t, b, t.Context()).Report(failed)
		wantStates(t, "flowing flowing", root, a)
		slotOf(t, b, t.Context()).Report(failed)
		wantStates(t, "down down down", root, a, b)
		if got, want := a.Stats().Cause, "3 failures in a row"; got != want {
			t.Errorf("cause %q, want %q", got, want)
		}
		slots := make(chan *pacer.Slot, 2)
		for _, p := range []*pacer.Pacer{a, b} {
			go func() {
				s, err := p.Acquire(t.Context())
				if err != nil {
					t.Error(err)
				}
				slots <- s
			}()
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if len(slots) != 1 {
			t.Fatalf("%d probes at once, want 1", len(slots))
		}
		(<-slots).Report(pacer.Outcome{})
		wantStates(t, "probing probing probing", root, a, b)
		(<-slots).Report(pacer.Outcome{})
	})
}

// The deadline of a pause counts wherever the pause is.
func TestMaxPauseOfAChildBoundsPausesAndOutagesAbove(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("Refuse %t", refuse), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := pacerWith(t, pacer.Config{Limits: wide, MaxPause: time.Hour, Outage: &pacer.Outage{After: 1, Refuse: refuse}})
				mid := pacerWith(t, pacer.Config{Parent: root})
				leaf := pacerWith(t, pacer.Config{Parent: mid, MaxPause: 10 * time.Second})
				patient := pacerWith(t, pacer.Config{Parent: mid, MaxPause: time.Hour})
				_, waits := acquires(leaf, t.Context())
				if waits() != nil {
					t.Fatal(waits())
				}
				mid.PauseUntil(time.Now().Add(20 * time.Second))
				root.PauseUntil(time.Now().Add(30 * time.Second))
				var refusal *pacer.Error
				_, err := leaf.Acquire(t.Context())
				if !errors.As(err, &refusal) || !errors.Is(err, pacer.ErrPaused) || refusal.Wait() != 30*time.Second {
					t.Errorf("Acquire: %v, want ErrPaused with the longest pause, 30s", err)
				}
				_, held := acquires(patient, t.Context())
				if held() != nil {
					t.Error(held())
				}
				root.Resume()
				mid.Resume()
				synctest.Wait()
				slotOf(t, leaf, t.Context()).Report(failed)
				began := time.Now()
				if !refuse {
					time.Sleep(100 * time.Millisecond)
					slotOf(t, patient, t.Context()) // the probe, of which nothing is heard
				}
				_, ended := acquires(leaf, t.Context())
				for ended() == nil && time.Since(began) < time.Minute {
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				want := 10 * time.Second
				if refuse {
					want = 0
				}
				if took := time.Since(began); took != want || !errors.Is(ended(), pacer.ErrDown) {
					t.Errorf("%v after %v, want ErrDown after %v", ended(), took, want)
				}
			})
		})
	}
}

// A pacer that hears nothing does not wait for answers.
func TestAPacerWhoseReportsArePassedUpNeverProbes(t *testing.T) {
	for name, cfg := range map[string]pacer.Config{"PassUp": {Limits: wide, PassUp: true}, "no Limits": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg.Parent = pacerOf(t, wide...)
				p := pacerWith(t, cfg)
				p.PauseUntil(time.Now().Add(time.Second))
				wantStates(t, "flowing paused", p.Parent(), p)
				time.Sleep(time.Second)
				for range 5 {
					slotOf(t, p, t.Context())
				}
				wantStates(t, "flowing flowing", p.Parent(), p)
			})
		})
	}
}

// Limits taken away leave what servers say to Parent; an outage that nobody would hear the end
// of is over.
func TestWithoutItsLimitsAChildLeavesReportsToItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, wide...)
		p := pacerWith(t, pacer.Config{Parent: root, Limits: wide, Outage: &pacer.Outage{After: 1}})
		slotOf(t, p, t.Context()).Report(failed)
		wantStates(t, "flowing down", root, p)
		if err := p.SetLimits(); err != nil {
			t.Fatal(err)
		}
		wantStates(t, "flowing flowing", root, p)
		for range 3 {
			slotOf(t, p, t.Context()).Report(failed)
		}
		slotOf(t, p, t.Context()).Report(throttledFor(time.Second))
		wantStates(t, "paused paused", root, p)
		root.Resume()
		if err := p.SetLimits(wide...); err != nil {
			t.Fatal(err)
		}
		slotOf(t, p, t.Context()).Report(failed)
		wantStates(t, "flowing down", root, p)
	})
}

// Callers of Wait are spaced after a pause above as if they had called there.
func TestCallersOfWaitBelowAPauseAreSpacedAsAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, pacer.Limit{Calls: 4, Period: 4 * time.Second})
		leaf := pacerWith(t, pacer.Config{Parent: root, PassUp: true})
		slotOf(t, leaf, t.Context()).Report(throttledFor(10 * time.Second))
		c := newCallers(leaf)
		c.arrive(6)
		c.wantStarts(t, seconds(10, 11, 12, 13, 14, 15))
	})
}

// Where a pause above lets only callers pass of whom something will be heard, those ahead of them
// in the queue who will say nothing are not waited for, and refuse nobody.
func TestWhoIsHeldByAStateAboveRefusesNobodyBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, pacer.Limit{Calls: 10, Period: 100 * time.Second})
		leaf := pacerWith(t, pacer.Config{Parent: root, PassUp: true, Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}})
		slotOf(t, leaf, t.Context()).Report(throttledFor(5 * time.Second))
		time.Sleep(5 * time.Second)
		quiet := newCallers(leaf)
		quiet.arrive(4) // 10 s apart
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		slot, err := leaf.Acquire(ctx)
		if err != nil || time.Since(began) != 0 {
			t.Fatalf("Acquire: %v after %v, want a slot at once", err, time.Since(began))
		}
		slot.Report(pacer.Outcome{})
		quiet.starts()
	})
}
