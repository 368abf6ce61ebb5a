package pacer_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// wantRefused checks that a call was refused at the given time and why, and
// what wait was predicted.
func wantRefused(t *testing.T, one *call, at time.Duration, kind error, wait time.Duration) {
	t.Helper()
	var refusal *pacer.Error
	switch {
	case !one.ended:
		t.Errorf("the caller still waits, want %v at %v", kind, at)
	case !errors.Is(one.err, kind) || !errors.As(one.err, &refusal):
		t.Errorf("Wait returned %v, want a *pacer.Error that is %v", one.err, kind)
	case one.at != at:
		t.Errorf("refused at %v, want %v", one.at, at)
	case refusal.Wait() != wait:
		t.Errorf("predicted wait %v, want %v", refusal.Wait(), wait)
	}
}

func TestDeadlineFailsFast(t *testing.T) {
	for _, test := range []struct {
		name    string
		limits  []pacer.Limit
		started int // callers who start first, without waiting
		ahead   int // callers in the queue
		timeout time.Duration
		wait    time.Duration // 0: the caller is not refused
	}{
		{"free slot", []pacer.Limit{{Calls: 1, Period: time.Hour}}, 0, 0, time.Nanosecond, 0},
		{"before the slot", []pacer.Limit{{Calls: 1, Period: time.Second}}, 1, 0, time.Second - 1, time.Second},
		{"exactly at the slot", []pacer.Limit{{Calls: 1, Period: time.Second}}, 1, 0, time.Second, time.Second},
		{"after the slot", []pacer.Limit{{Calls: 1, Period: time.Second}}, 1, 0, time.Second + 1, 0},
		{"several waiters ahead", []pacer.Limit{{Calls: 2, Period: time.Second}}, 2, 5, 3 * time.Second, 3 * time.Second},
		{"several waiters ahead, in time", []pacer.Limit{{Calls: 2, Period: time.Second}}, 2, 5, 3*time.Second + 1, 0},
		{"drip", []pacer.Limit{{Calls: 5, Period: 10 * time.Second, Even: true}}, 1, 3, 8 * time.Second, 8 * time.Second},
		{
			"several limits: 0 0 1 1 2 10 10 …",
			[]pacer.Limit{{Calls: 2, Period: time.Second}, {Calls: 5, Period: 10 * time.Second}},
			2, 4, 9 * time.Second, 10 * time.Second,
		},
		{
			"drip under a burst: 0 2 4 10 12 14 20",
			[]pacer.Limit{{Calls: 5, Period: 10 * time.Second, Even: true}, {Calls: 3, Period: 10 * time.Second}},
			1, 5, 20 * time.Second, 20 * time.Second,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerOf(t, test.limits...)
				c := newCallers(p)
				c.arrive(test.started + test.ahead)
				before := p.Stats()

				one := c.arriveBefore(test.timeout)
				if test.wait == 0 {
					c.starts()
					if one.err != nil {
						t.Errorf("Wait: %v, want a slot", one.err)
					}
					return
				}
				wantRefused(t, one, 0, pacer.ErrDeadline, test.wait)
				wantRefused(t, one, 0, context.DeadlineExceeded, test.wait)
				if errors.Is(one.err, pacer.ErrQueueFull) || errors.Is(one.err, context.Canceled) {
					t.Errorf("%v matches errors of another kind", one.err)
				}
				before.Rejected++
				if after := p.Stats(); !reflect.DeepEqual(after, before) {
					t.Errorf("Stats after the refusal: %+v, want %+v", after, before)
				}

				// The next caller is told, and gets, what the refused one could not use.
				next := c.arrive(1)[0]
				c.starts()
				if next.err != nil || next.at != test.wait {
					t.Errorf("next caller started at %v (%v), want %v", next.at, next.err, test.wait)
				}
			})
		})
	}
}

// What is predicted holds however the queue changed before: predictions belong
// to places, and whoever stands there gets them.
func TestDeadlinePredictionFollowsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Drip(1, time.Second))
		queue := c.arrive(6)[1:] // due at 1 2 3 4 5
		wantRefused(t, c.arriveBefore(time.Second), 0, pacer.ErrDeadline, 6*time.Second)
		c.leave(queue[0])
		c.leave(queue[3])
		wantRefused(t, c.arriveBefore(time.Second), 0, pacer.ErrDeadline, 4*time.Second)
		time.Sleep(2500 * time.Millisecond) // two started
		wantRefused(t, c.arriveBefore(time.Second), 2500*time.Millisecond, pacer.ErrDeadline, 1500*time.Millisecond)
		c.wantStarts(t, seconds(0, 1, 2, 3))

		// The queue ran empty and time passed: no old prediction may survive.
		time.Sleep(7 * time.Second)
		c.arrive(3) // 10 11 12
		wantRefused(t, c.arriveBefore(time.Second), 10*time.Second, pacer.ErrDeadline, 3*time.Second)
		c.starts()
	})
}

// A refusal without a queue leaves nothing behind for those who come after idling.
func TestDeadlinePredictionIsFreshAfterIdling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Burst(1, time.Second))
		c.arrive(1)
		wantRefused(t, c.arriveBefore(time.Millisecond), 0, pacer.ErrDeadline, time.Second)
		time.Sleep(time.Second + 5*time.Millisecond)
		c.arrive(1)
		wantRefused(t, c.arriveBefore(time.Millisecond), time.Second+5*time.Millisecond, pacer.ErrDeadline, time.Second)
		c.starts()
	})
}

// What was planned for those who have left says nothing of those who come after idling.
func TestDeadlinePredictionForgetsThoseWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		c := newCallers(pacer.Burst(1, 100*ms))
		c.arrive(1)
		for range 3 {
			c.leave(c.arriveBefore(time.Hour)) // planned for 100 ms
			c.arriveBefore(time.Hour)
			c.leave(c.arriveBefore(time.Hour)) // for 200 ms
			c.leave(c.calls[len(c.calls)-2])
		}
		time.Sleep(105 * ms)
		c.arrive(2) // at 105 ms and for 205 ms
		wantRefused(t, c.arriveBefore(199*ms), 105*ms, pacer.ErrDeadline, 200*ms)
		c.starts()
	})
}

// A lateContext holds up its waiter when that wakes for its slot, and asks for Err the
// third time.
type lateContext struct {
	context.Context
	asked int
}

func (c *lateContext) Err() error {
	if c.asked++; c.asked == 3 {
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// A start that comes late moves those behind it, and some of them out of their reach.
func TestWaiterThatALateStartMakesTooLateIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		c := newCallers(pacer.Burst(1, 100*ms))
		c.arrive(1)
		c.wg.Go(func() { c.pacer.Wait(&lateContext{Context: t.Context()}) }) // for 100 ms, at 105 ms
		synctest.Wait()
		tight := c.arriveBefore(202 * ms) // for 200 ms
		time.Sleep(150 * ms)
		synctest.Wait()
		wantRefused(t, tight, 105*ms, pacer.ErrDeadline, 100*ms)
		c.starts()
	})
}

// Three wait for the whole of a limit each, and start at 60, 120 and 180 s, till something
// comes between.
func TestWhoseDeadlineOthersTakeIsRefusedAtOnce(t *testing.T) {
	for _, test := range []struct {
		name  string
		take  func(*testing.T, *callers, *pacer.Slot)
		later time.Duration
	}{
		{"a retry that waits", func(t *testing.T, c *callers, _ *pacer.Slot) {
			c.arriveWith(pacer.WithArrival(costing(t, 2), c.begin.Add(-1)))
		}, time.Minute},
		{"a retry that starts", func(t *testing.T, c *callers, _ *pacer.Slot) {
			slotOf(t, c.pacer, pacer.WithArrival(costing(t, 1), c.begin.Add(-1)))
		}, time.Second},
		{"a settlement", func(_ *testing.T, _ *callers, s *pacer.Slot) { s.Settle(tokens, 2) }, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCallers(pacerOf(t, tokenLimit(2)))
				first := slotOf(t, c.pacer, costing(t, 1))
				wait := func(timeout time.Duration) *call {
					ctx, cancel := context.WithTimeout(costing(t, 2), timeout)
					one := c.arriveWith(ctx)
					one.cancel = cancel
					return one
				}
				head := wait(time.Minute + test.later + 1)
				second := wait(2*time.Minute + test.later + 1)
				tight := wait(3*time.Minute + test.later)
				time.Sleep(time.Second)
				test.take(t, c, first)
				synctest.Wait()
				wantRefused(t, tight, time.Second, pacer.ErrDeadline, 3*time.Minute+test.later-time.Second)
				c.starts()
				if head.at != time.Minute+test.later || second.at != 2*time.Minute+test.later {
					t.Errorf("the others started at %v and %v (%v, %v), want them in time", head.at, second.at, head.err, second.err)
				}
			})
		})
	}
}

func TestDeadlineOfAWaiterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Burst(1, time.Second))
		c.arrive(1)
		tight := c.arriveBefore(time.Second + 1) // one nanosecond to spare
		roomy := c.arriveBefore(time.Hour)
		c.wantStarts(t, seconds(0, 1, 2))
		if tight.err != nil || roomy.err != nil {
			t.Errorf("Wait: %v and %v, want slots", tight.err, roomy.err)
		}
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}, MaxWaiting: 2})
		c := newCallers(p)
		c.arrive(3)
		full := c.arrive(1)[0]
		wantRefused(t, full, 0, pacer.ErrQueueFull, 3*time.Second)
		if errors.Is(full.err, pacer.ErrDeadline) || errors.Is(full.err, context.DeadlineExceeded) {
			t.Errorf("%v matches errors of another kind", full.err)
		}
		if got := p.Stats(); got.Waiting != 2 || got.Rejected != 1 {
			t.Errorf("Stats: %+v, want 2 waiting, 1 rejected", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		c.arrive(1) // there is room again
		wantRefused(t, c.arrive(1)[0], time.Second, pacer.ErrQueueFull, 3*time.Second)
		c.leave(c.calls[2])
		c.arrive(1) // and whoever gives up makes room
		c.wantStarts(t, seconds(0, 1, 2, 3))
	})
}

func TestQueueIsUnboundedByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Burst(1, time.Second))
		c.arrive(2000)
		for i, at := range c.starts() {
			if want := time.Duration(i) * time.Second; at != want {
				t.Fatalf("caller %d started at %v, want %v", i, at, want)
			}
		}
	})
}

func TestMaxWaitRefusesAtOnceWhoseSlotComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: time.Second}}, MaxWait: 2 * time.Second})
		c := newCallers(p)
		c.arrive(6)                    // at 0 0 1 1 2 2
		late := c.arriveAs(-time.Hour) // a place is no longer wait, for those behind
		wantRefused(t, c.calls[5], 0, pacer.ErrMaxWait, 3*time.Second)
		wantRefused(t, c.arrive(1)[0], 0, pacer.ErrMaxWait, 3*time.Second)
		c.wantStarts(t, seconds(0, 0, 1, 2, 2, 1))
		if late.err != nil {
			t.Error(late.err)
		}
	})
}

func TestMaxWaitEndsTheWaitWhereTheFutureIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{MaxInFlight: 1, MaxWait: 2 * time.Second})
		slotOf(t, p, t.Context())
		began := time.Now()
		_, head := acquires(p, t.Context())
		time.Sleep(time.Second)
		_, second := acquires(p, t.Context())
		for i, err := range []func() error{head, second} {
			time.Sleep(time.Until(began.Add(time.Duration(2+i)*time.Second - 1)))
			synctest.Wait()
			if err() != nil {
				t.Errorf("refused before its time: %v", err())
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if refusal, ok := err().(*pacer.Error); !ok || refusal.ErrorType() != "pacing_max_wait" || refusal.Timeout() {
				t.Errorf("got %v, want ErrMaxWait", err())
			}
		}
	})
}

func TestPauseRefusesWhoWouldWaitLongerThanMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}, MaxWait: 5 * time.Second})
		c := newCallers(p)
		c.arrive(1)
		waiting := c.arrive(3)
		p.PauseUntil(c.begin.Add(4 * time.Second))
		synctest.Wait()
		wantRefused(t, waiting[2], 0, pacer.ErrMaxWait, 6*time.Second)
		c.wantStarts(t, seconds(0, 4, 5))
	})
}
