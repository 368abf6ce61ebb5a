package pacer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// How callers wait, and are refused, in a tree of pacers.

// family returns a pacer, its child and the child of that.
func family(t *testing.T, root, mid, leaf pacer.Config) (_, _, _ *pacer.Pacer) {
	t.Helper()
	p := pacerWith(t, root)
	mid.Parent = p
	q := pacerWith(t, mid)
	leaf.Parent = q
	return p, q, pacerWith(t, leaf)
}

func drips(interval time.Duration) pacer.Config {
	return pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: interval}}}
}

// Whoever cannot start in time for the sake of any of the limits above is refused at once, with
// the longest wait.
func TestADeadlineIsRefusedAtOnceWhereverItsLimitIs(t *testing.T) {
	for name, intervals := range map[string][3]time.Duration{
		"root": {time.Minute, time.Second, time.Second},
		"mid":  {time.Second, time.Minute, time.Second},
		"leaf": {time.Second, time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root, mid, leaf := family(t, drips(intervals[0]), drips(intervals[1]), drips(intervals[2]))
				slotOf(t, leaf, t.Context())
				c := newCallers(leaf)
				c.arriveBefore(61 * time.Second) // at 1m0s
				ctx, cancel := context.WithTimeout(t.Context(), 119*time.Second)
				defer cancel()
				var refusal *pacer.Error
				if err := leaf.Wait(ctx); !errors.Is(err, pacer.ErrDeadline) || !errors.As(err, &refusal) || refusal.Wait() != 2*time.Minute {
					t.Errorf("Wait: %v, want ErrDeadline and a wait of 2m", err)
				}
				c.arriveBefore(121 * time.Second) // at 2m0s
				c.wantStarts(t, seconds(60, 120))
				for _, p := range []*pacer.Pacer{root, mid, leaf} {
					if s := p.Stats(); s.Granted != 3 || s.Waiting != 0 || s.Late != 0 {
						t.Errorf("%+v, want 3 starts", s)
					}
				}
			})
		})
	}
}

// What makes those below start later refuses at once those whom that makes too late.
func TestWhatHappensAboveRefusesAtOnceWhoIsTooLateForIt(t *testing.T) {
	for name, event := range map[string]func(root *pacer.Pacer, slot *pacer.Slot){
		"pause":     func(root *pacer.Pacer, _ *pacer.Slot) { root.PauseUntil(time.Now().Add(30 * time.Second)) },
		"throttled": func(_ *pacer.Pacer, slot *pacer.Slot) { slot.Report(throttledFor(30 * time.Second)) },
		"settled to more": func(_ *pacer.Pacer, slot *pacer.Slot) {
			slot.Settle(tokens, 500)
		},
		"stricter limits": func(root *pacer.Pacer, _ *pacer.Slot) {
			root.SetLimits(pacer.Limit{Calls: 1, Period: time.Hour}, pacer.Limit{Cost: 100, Unit: tokens, Period: time.Minute})
		},
		"too costly now": func(root *pacer.Pacer, _ *pacer.Slot) {
			root.SetLimits(pacer.Limit{Calls: 1, Period: 5 * time.Second}, pacer.Limit{Cost: 9, Unit: tokens, Period: time.Minute})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root, _, leaf := family(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 5 * time.Second}, {Cost: 100, Unit: tokens, Period: time.Minute}}},
					pacer.Config{}, pacer.Config{PassUp: true, Limits: wide})
				slot := slotOf(t, leaf, costing(t, 10))
				ctx, cancel := context.WithTimeout(costing(t, 10), 20*time.Second)
				defer cancel()
				_, ended := acquires(leaf, ctx)
				if ended() != nil {
					t.Fatal(ended())
				}
				event(root, slot)
				synctest.Wait()
				want := pacer.ErrDeadline
				if name == "too costly now" {
					want = pacer.ErrTooCostly
				}
				if !errors.Is(ended(), want) {
					t.Errorf("refused with %v, want %v at once", ended(), want)
				}
			})
		})
	}
}

// A head is held for its turn no longer than its MaxWait.
func TestMaxWaitEndsBehindOtherChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacer.Drip(1, time.Second)
		busy := pacerWith(t, pacer.Config{Parent: root, Weight: 1000})
		rare := pacerWith(t, pacer.Config{Parent: root, MaxWait: 10 * time.Second, Limits: wide})
		ctx, cancel := context.WithCancel(t.Context())
		for range 100 {
			go busy.Wait(ctx)
		}
		synctest.Wait()
		if err := rare.Wait(t.Context()); err != nil { // its turn
			t.Error(err)
		}
		began := time.Now()
		if err := rare.Wait(t.Context()); !errors.Is(err, pacer.ErrMaxWait) || time.Since(began) != 10*time.Second {
			t.Errorf("Wait: %v after %v, want ErrMaxWait after 10s", err, time.Since(began))
		}
		cancel()
		synctest.Wait()
	})
}

func TestMaxWaitingCountsAPacersOwnCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}, MaxWaiting: 1})
		a := pacerWith(t, pacer.Config{Parent: root, MaxWaiting: 2})
		b := pacerWith(t, pacer.Config{Parent: root})
		slotOf(t, root, t.Context())
		var all []*callers
		for _, test := range []struct {
			p    *pacer.Pacer
			fits int
		}{{b, 3}, {a, 2}, {root, 1}} {
			c := newCallers(test.p)
			c.arrive(test.fits)
			if err := test.p.Wait(t.Context()); test.p != b && !errors.Is(err, pacer.ErrQueueFull) {
				t.Errorf("Wait: %v, want ErrQueueFull behind %d", err, test.fits)
			}
			if got := test.p.Stats().Waiting; test.p != b && got != test.fits {
				t.Errorf("%d wait, want %d", got, test.fits)
			}
			all = append(all, c)
		}
		for _, c := range all {
			c.starts()
		}
	})
}

func TestTryAcquireAndAllowTakeASlotOfAllOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, mid, leaf := family(t, drips(3*time.Second), drips(2*time.Second), drips(time.Second))
		all := []*pacer.Pacer{root, mid, leaf}
		granted := func(want ...uint64) {
			t.Helper()
			for i, p := range all {
				if got := p.Stats().Granted; got != want[i] {
					t.Errorf("pacer %d: %d starts, want %d", i, got, want[i])
				}
			}
		}
		if !leaf.Allow() {
			t.Error("Allow: false, want true")
		}
		granted(1, 1, 1)
		for _, p := range all {
			wantNotNow(t, p, t.Context(), 3*time.Second)
			if p.Allow() {
				t.Error("Allow: true, want false")
			}
		}
		time.Sleep(3 * time.Second)
		slotOf(t, mid, t.Context())
		granted(2, 2, 1)
		time.Sleep(3 * time.Second)
		slotOf(t, root, t.Context())
		granted(3, 2, 1)
	})
}

// One who does not wait overtakes nobody whose turn is before its own, in whatever child.
func TestTryAcquireAndAllowOvertakeNobodyWhoseTurnItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Cost: 10, Unit: tokens, Period: time.Second}}})
		a, b := pacerWith(t, pacer.Config{Parent: root}), pacerWith(t, pacer.Config{Parent: root})
		slotOf(t, a, costing(t, 5))
		slot, _ := acquires(b, costing(t, 10)) // waits for all to be free
		if slot() != nil {
			t.Fatal("started")
		}
		for name, p := range map[string]*pacer.Pacer{"a": a, "b": b, "root": root} {
			wantNotNow(t, p, costing(t, 1), time.Millisecond)
			if p.Allow() {
				t.Errorf("Allow of %s: true, want false: another's turn is first", name)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if slot() == nil {
			t.Error("the first does not start when there is room")
		}
	})
}

// In its own queue a caller with an arrival goes before those who came later; whose turn it is
// among children is not changed by that.
func TestArrivalIsAPlaceInTheQueueOfOnesOwnPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacer.Drip(1, time.Second)
		a, b := pacerWith(t, pacer.Config{Parent: root, MaxWaiting: 2}), pacerWith(t, pacer.Config{Parent: root})
		slotOf(t, root, t.Context())
		began := time.Now()
		time.Sleep(time.Millisecond)
		ofB, ofA, retry := newCallers(b), newCallers(a), newCallers(a)
		for _, c := range []*callers{ofB, ofA, retry} {
			c.begin = began
		}
		ofB.arrive(1)
		ofA.arrive(2)
		ctx := pacer.WithArrival(t.Context(), began)
		retry.arriveWith(ctx) // though MaxWaiting are there already
		ofB.wantStarts(t, seconds(1))
		retry.wantStarts(t, seconds(2))
		ofA.wantStarts(t, seconds(3, 4))
	})
}

func TestDirectCallersOfAParentAreOneMoreChildOfWeight1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacer.Drip(1, time.Second)
		a := pacerWith(t, pacer.Config{Parent: root, Weight: 3})
		b := pacerWith(t, pacer.Config{Parent: root})
		slotOf(t, root, t.Context())
		began := time.Now()
		starts := make(map[string]int)
		ctx, cancel := context.WithCancel(t.Context())
		order := make(chan string, 1)
		for name, p := range map[string]*pacer.Pacer{"a": a, "b": b, "root": root} {
			for range 100 {
				go func() {
					if p.Wait(ctx) == nil {
						order <- name
					}
				}()
			}
		}
		synctest.Wait()
		for i := range 100 {
			starts[<-order]++
			if got, want := time.Since(began), time.Duration(i+1)*time.Second; got != want {
				t.Fatalf("start %d at %v, want %v", i, got, want)
			}
			if n := starts["b"]; (i+1)%5 == 0 && (starts["root"] != n || starts["a"] != 3*n) {
				t.Fatalf("after %d starts: %v, want 3:1:1", i+1, starts)
			}
		}
		cancel()
		synctest.Wait()
	})
}

func TestCancellationAndDeadContextsTakeNothingInATree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, mid, leaf := family(t, drips(time.Second), pacer.Config{}, pacer.Config{})
		slotOf(t, leaf, t.Context())
		c := newCallers(leaf)
		c.arrive(4)
		c.leave(c.calls[0]) // the head, which keeps time for all
		c.leave(c.calls[2])
		dead, cancel := context.WithCancel(t.Context())
		cancel()
		if err := leaf.Wait(dead); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v, want context.Canceled", err)
		}
		if s, err := leaf.TryAcquire(dead); s != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("TryAcquire: %v, want context.Canceled", err)
		}
		c.wantStarts(t, seconds(1, 2))
		if l, m, r := leaf.Stats(), mid.Stats(), root.Stats(); l.Granted != 3 || l.Canceled != 4 || m.Granted != 3 || m.Canceled != 0 || r.Granted != 3 || r.Canceled != 0 || l.Late != 0 {
			t.Errorf("%+v\n%+v\n%+v", l, m, r)
		}
	})
}

// A start of one child refuses at once whom it makes too late in another, or at the parent itself,
// at every level.
func TestAStartRefusesWhoIsTooLateForItInOtherChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, mid, leaf := family(t, pacer.Config{Limits: wide}, drips(10*time.Second), pacer.Config{})
		other := pacerWith(t, pacer.Config{Parent: root})
		slotOf(t, mid, t.Context())
		first := newCallers(leaf)
		first.arrive(1)
		next := newCallers(pacerWith(t, pacer.Config{Parent: mid})) // whose turn it is then
		next.arrive(1)
		var late []*callers
		for i := range 6 {
			p := mid // its own caller is one of them
			if i > 0 {
				p = pacerWith(t, pacer.Config{Parent: mid})
			}
			c := newCallers(p)
			c.arriveBefore(15 * time.Second) // the slot after the next comes at 20 s
			late = append(late, c)
		}
		free := newCallers(other)
		free.arriveBefore(15 * time.Second)
		free.wantStarts(t, seconds(0))
		first.wantStarts(t, seconds(10))
		synctest.Wait()
		for _, c := range late {
			if one := c.calls[0]; !errors.Is(one.err, pacer.ErrDeadline) || one.at != 10*time.Second {
				t.Errorf("another ended with %v at %v, want ErrDeadline at 10s", one.err, one.at)
			}
			c.starts()
		}
		next.wantStarts(t, seconds(20))
	})
}

// Settling to more finds whom it makes too late behind others of the same child.
func TestSettlingToMoreAboveFindsWhoStandsBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, pacer.Limit{Calls: 2, Period: 10 * time.Second})
		leaf := pacerWith(t, pacer.Config{Parent: root})
		slot := slotOf(t, leaf, t.Context())
		slotOf(t, leaf, t.Context())
		c := newCallers(leaf)
		c.arrive(2)
		last := c.arriveBefore(20500 * time.Millisecond) // it would start at 20 s
		time.Sleep(time.Second)
		slot.Settle("", 3) // two more, from now: the others start at 11 s
		synctest.Wait()
		if !errors.Is(last.err, pacer.ErrDeadline) || last.at != time.Second {
			t.Errorf("the last ended with %v at %v, want ErrDeadline at 1s", last.err, last.at)
		}
		c.wantStarts(t, seconds(11, 11))
	})
}

// Settling to more finds whom it makes too late among many children.
func TestSettlingToMoreAboveFindsWhoIsTooLateForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Cost: 100, Unit: tokens, Period: time.Minute}}})
		slot := slotOf(t, root, costing(t, 100))
		type one struct {
			timeout time.Duration
			ended   func() error
		}
		var all []one
		for i := range 50 {
			p := pacerWith(t, pacer.Config{Parent: root, Weight: 1 + i%3})
			for _, timeout := range []time.Duration{0, 61 * time.Second, time.Duration(70+i) * time.Second} {
				ctx, cancel := context.WithCancel(costing(t, 1))
				if timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, timeout)
				}
				defer cancel()
				_, ended := acquires(p, ctx)
				all = append(all, one{timeout, ended})
			}
		}
		time.Sleep(30 * time.Second)
		slot.Settle(tokens, 101) // one more, until 1m30s
		synctest.Wait()
		for _, one := range all {
			// Of those who come at once 99 start at 1m0s, and one at 1m30s; each could be any.
			if refused := one.ended() != nil; refused {
				t.Errorf("one who has %v was refused: %v", one.timeout, one.ended())
			}
		}
		slot.Settle(tokens, 200) // all of it, until 1m30s
		synctest.Wait()
		for _, one := range all {
			late := one.timeout > 0 && one.timeout <= 90*time.Second
			if refused := errors.Is(one.ended(), pacer.ErrDeadline); refused != late {
				t.Errorf("one who has %v: %v, want refused: %t", one.timeout, one.ended(), late)
			}
		}
	})
}
