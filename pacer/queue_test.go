package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestQueueIsFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Burst(1, time.Second))
		c.arrive(50)
		want := make([]time.Duration, 50)
		for i := range want {
			want[i] = time.Duration(i) * time.Second
		}
		c.wantStarts(t, want)
	})
}

// Callers of one window arrive while others are about to be woken: nobody who
// comes later starts earlier.
func TestQueueIsFIFOForThoseWhoArriveAtAnOpeningWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Burst(3, time.Second))
		c.arrive(5)
		time.Sleep(time.Second)
		c.arrive(3)
		c.wantStarts(t, seconds(0, 0, 0, 1, 1, 1, 2, 2))
	})
}

func TestOnlyHeadKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Drip(1, time.Minute))
		calls := c.arrive(101)
		for waiting := 100; waiting > 0; waiting-- {
			if got := keepingTime(); got != 1 {
				t.Fatalf("%d of %d waiting callers keep time, want 1", got, waiting)
			}
			switch waiting % 3 {
			case 0:
				time.Sleep(time.Minute)
				synctest.Wait()
			case 1:
				c.leave(first(calls)) // the head
			default:
				c.leave(last(calls))
			}
		}
		if got := keepingTime(); got != 0 {
			t.Errorf("%d callers keep time, want none: nobody waits", got)
		}
		c.starts()
	})
}

// keepingTime returns how many goroutines are waiting for an instant.
func keepingTime() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "sleep.(*Sleeper).Until(")
}

func first(calls []*call) *call {
	return calls[slices.IndexFunc(calls, func(c *call) bool { return !c.ended })]
}

func last(calls []*call) *call {
	for _, c := range slices.Backward(calls) {
		if !c.ended {
			return c
		}
	}
	return nil
}

func TestCanceledWaiterCostsNothing(t *testing.T) {
	const queued = 5
	for _, drip := range []bool{false, true} {
		for i, leaving := range leavings(queued) {
			t.Run(fmt.Sprintf("drip=%v/%d=%v", drip, i, leaving), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := pacerOf(t, pacer.Limit{Calls: 2, Period: 2 * time.Second, Even: drip})
					c := newCallers(p)
					c.arrive(2) // takes what is free now
					if drip {
						time.Sleep(time.Second) // the second of them starts
						synctest.Wait()
					}
					queue := c.arrive(queued)
					for _, place := range leaving {
						c.leave(queue[place])
						if one := queue[place]; !one.ended || !errors.Is(one.err, context.Canceled) {
							t.Fatalf("canceled caller: ended=%v, err=%v", one.ended, one.err)
						}
					}
					newcomer := c.arrive(1)[0]
					c.starts()

					// Those who stayed start as if the others had never come.
					want := seconds(2, 2, 4, 4, 6, 6)
					if drip {
						want = seconds(2, 3, 4, 5, 6, 7)
					}
					var got []time.Duration
					for place, one := range queue {
						if !slices.Contains(leaving, place) {
							got = append(got, one.at)
						}
					}
					got = append(got, newcomer.at)
					if !slices.Equal(got, want[:len(got)]) {
						t.Errorf("those who stayed start at %v, want %v", got, want[:len(got)])
					}
				})
			})
		}
	}
}

// leavings returns every choice of places in a queue of n, and for all of them
// every order to leave in.
func leavings(n int) [][]int {
	var all [][]int
	var choose func(chosen []int)
	choose = func(chosen []int) {
		if len(chosen) > 0 {
			all = append(all, slices.Clone(chosen))
		}
		for place := range n {
			if !slices.Contains(chosen, place) {
				choose(append(chosen, place))
			}
		}
	}
	choose(nil)
	return all
}

// Waiters who leave just when their slot comes, and one who leaves while a
// later one already has: every slot is used once.
func TestCanceledWaiterCostsNothingLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Drip(1, time.Second))
		calls := c.arrive(7) // due at 0 1 2 3 4 5 6
		time.Sleep(1500 * time.Millisecond)
		c.leave(calls[2]) // the head, due at 2
		time.Sleep(500 * time.Millisecond)
		synctest.Wait() // the fourth started
		c.leave(calls[5])
		c.wantStarts(t, seconds(0, 1, 2, 3, 4))
	})
}

func TestDeadContextTakesNoSlot(t *testing.T) {
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Hour)
		for range 10 {
			if err := p.Wait(dead); !errors.Is(err, context.Canceled) {
				t.Fatalf("Wait with a dead context: %v, want %v", err, context.Canceled)
			}
		}
		if !p.Allow() {
			t.Error("a dead context took the slot")
		}
		// Nor does it join the queue.
		if err := p.Wait(dead); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait with a dead context: %v, want %v", err, context.Canceled)
		}
		if got := p.Stats(); got.Canceled != 11 || got.Waiting != 0 || got.Rejected != 0 {
			t.Errorf("Stats: %+v, want 11 canceled, none waiting or rejected", got)
		}
	})
}

// A deadContext is canceled from a moment on, but its Done says nothing: whoever
// is woken by the slot learns of the cancellation only by asking.
type deadContext struct {
	context.Context
	from time.Time
}

func (c deadContext) Err() error {
	if time.Now().Before(c.from) {
		return nil
	}
	return context.Canceled
}

func TestCanceledContextWinsOverDueSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(2, time.Second)
		ctx := deadContext{t.Context(), time.Now().Add(time.Second)}
		results := make(chan error)
		c := newCallers(p)
		c.arrive(2)
		for range 2 { // one woken by its slot, one by the head
			go func() { results <- p.Wait(ctx) }()
		}
		synctest.Wait()
		next := c.arrive(1)[0]
		for range 2 {
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("canceled at the slot: Wait returned %v, want %v", err, context.Canceled)
			}
		}
		c.wantStarts(t, seconds(0, 0, 1))
		if next.err != nil {
			t.Errorf("next in the queue: %v", next.err)
		}
		if got := p.Stats(); got.Granted != 3 || got.Canceled != 2 {
			t.Errorf("Stats: %+v, want 3 granted and 2 canceled", got)
		}
	})
}

func TestLockIsNotHeldWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(1, time.Hour)
		c := newCallers(p)
		calls := c.arrive(4)
		if p.Allow() {
			t.Error("Allow: true while others wait")
		}
		if got := p.Stats().Waiting; got != 3 {
			t.Errorf("Stats: %d waiting, want 3", got)
		}
		p.PauseUntil(time.Now())
		for _, one := range calls[1:] {
			c.leave(one)
			if !one.ended || one.at != 0 {
				t.Errorf("canceled caller: ended=%v at %v, want at once", one.ended, one.at)
			}
		}
		c.wantStarts(t, seconds(0))
	})
}

func TestAllowNeverOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Second)
		if !p.Allow() {
			t.Fatal("Allow: false with a free slot")
		}
		if p.Allow() {
			t.Fatal("Allow: true without a free slot")
		}
		c := newCallers(p)
		c.arrive(2)
		time.Sleep(time.Second - time.Nanosecond)
		if p.Allow() {
			t.Error("Allow: true while others wait")
		}
		time.Sleep(time.Nanosecond) // the slot of the first: whoever asks now finds a queue or no slot
		if p.Allow() {
			t.Error("Allow: true at the instant of a waiter's slot")
		}
		c.wantStarts(t, seconds(1, 2))

		if p.Allow() {
			t.Error("Allow: true within the window of a start by Wait")
		}
		time.Sleep(time.Second)
		if !p.Allow() {
			t.Error("Allow: false with a free slot and no queue")
		}
		if got := p.Stats(); got.Granted != 4 || got.Rejected != 4 {
			t.Errorf("Stats: %+v, want 4 granted and 4 rejected", got)
		}
	})
}
