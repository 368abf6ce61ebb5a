package pacer_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func (c *callers) arriveAs(at time.Duration) *call {
	return c.arriveWith(pacer.WithArrival(context.Background(), c.begin.Add(at)))
}

func TestARetryKeepsItsCallsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Burst(1, 10*time.Second))
		c.arrive(1)
		for range 3 { // at 1, 2 and 3 s
			time.Sleep(time.Second)
			c.arrive(1)
		}
		retry := c.arriveAs(1500 * time.Millisecond)
		same := c.arriveAs(1500 * time.Millisecond) // and those of one moment in order of joining
		first := c.arriveAs(-time.Hour)
		late := c.arriveAs(time.Hour) // which is now
		c.starts()
		for i, one := range []*call{first, c.calls[1], retry, same, c.calls[2], c.calls[3], late} {
			if want := time.Duration(i+1) * 10 * time.Second; one.at != want {
				t.Errorf("place %d: started at %v, want %v", i, one.at, want)
			}
		}
	})
}

// Whoever comes back was let in once, here or by another pacer.
func TestMaxWaitingSparesWhoArrivedBeforeNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 10 * time.Second}}, MaxWaiting: 2}))
		c.arrive(1)
		for range 2 {
			time.Sleep(time.Second)
			c.arrive(1)
		}
		time.Sleep(time.Second)
		before := c.arriveAs(1999 * time.Millisecond)
		same := c.arriveAs(2 * time.Second) // as the last waiter
		after := c.arriveAs(3*time.Second - 1)
		for _, at := range []time.Duration{3 * time.Second, time.Hour} { // which is now
			wantRefused(t, c.arriveAs(at), 3*time.Second, pacer.ErrQueueFull, 57*time.Second)
		}
		wantRefused(t, c.arrive(1)[0], 3*time.Second, pacer.ErrQueueFull, 57*time.Second)
		c.wantStarts(t, seconds(0, 10, 30, 20, 40, 50))
		for _, one := range []*call{before, same, after} {
			if one.err != nil {
				t.Error(one.err)
			}
		}
	})
}

// Whoever waits behind is one place further back, and a prediction knows it.
func TestPredictionCountsWhoArrivedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, limit := range []pacer.Limit{{Calls: 1, Period: 10 * time.Second}, {Cost: 1, Unit: tokens, Period: 10 * time.Second}} {
			c := newCallers(pacerOf(t, limit))
			c.arrive(1)
			time.Sleep(5 * time.Second)
			c.arrive(3)
			time.Sleep(time.Second)
			ctx := pacer.WithArrival(t.Context(), c.begin.Add(time.Second)) // before all who wait
			wantNotNow(t, c.pacer, ctx, 4*time.Second)
			wantNotNow(t, c.pacer, t.Context(), 34*time.Second)
			c.starts()
		}
	})
}

// TryAcquire of one who arrived before the head does not overtake it: it was there first.
func TestTryAcquireOfARetryGoesBeforeTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(10))
		slotOf(t, p, costing(t, 1))
		came := time.Now()
		time.Sleep(time.Second)
		head, _ := acquires(p, costing(t, 10))
		wantNotNow(t, p, costing(t, 1), time.Minute) // at the soonest
		slotOf(t, p, pacer.WithArrival(costing(t, 1), came))
		time.Sleep(time.Minute)
		synctest.Wait()
		if head() == nil {
			t.Error("the head does not start when both have left")
		}
	})
}

func TestAHeadThatARetryMakesTooLateIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacerOf(t, tokenLimit(10)))
		slotOf(t, c.pacer, costing(t, 1))
		ctx, cancel := context.WithTimeout(costing(t, 10), time.Minute+500*time.Millisecond)
		defer cancel()
		head := c.arriveWith(ctx) // due at 60 s
		time.Sleep(time.Second)
		slotOf(t, c.pacer, pacer.WithArrival(costing(t, 1), c.begin.Add(-1)))
		synctest.Wait()
		wantRefused(t, head, time.Second, pacer.ErrDeadline, time.Minute)
	})
}

func TestOnlyTheHeadKeepsTimeAfterARetryCameBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacer.Burst(1, time.Minute))
		c.arrive(2)
		c.arriveAs(-time.Second)
		if got := keepingTime(); got != 1 {
			t.Errorf("%d keep time, want 1", got)
		}
		c.wantStarts(t, seconds(0, 120, 60))
	})
}
