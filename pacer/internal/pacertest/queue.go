package pacertest

import (
	"context"
	"time"
)

var queues = []guarantee{
	{"callers start in order of arrival", burst(1, s), func(c *callers) {
		c.arrive(50)
		var want []time.Duration
		for i := range 50 {
			want = append(want, time.Duration(i)*s)
		}
		c.wantStarts(want...)
	}},
	{"nobody overtakes when a window opens", burst(3, s), func(c *callers) {
		c.arrive(5)
		c.sleepUntil(s)
		c.arrive(3)
		c.wantStarts(seconds(0, 0, 0, 1, 1, 1, 2, 2)...)
	}},
	{"the zero value refuses", nil, func(c *callers) {
		c.pacer = c.subject.Zero
		c.pacer.PauseUntil(time.Now().Add(s))
		if one := c.arrive(1)[0]; !one.ended || one.err == nil {
			c.t.Error("the zero value lets a caller start, or wait")
		}
	}},
}

var cancellations = []guarantee{
	canceled("head", 0),
	canceled("middle", 2),
	canceled("tail", 4),
	canceled("head first, then the next", 0, 1),
	canceled("tail first, then the one before", 4, 3),
	canceled("from everywhere", 2, 0, 4),
	canceled("all", 0, 4, 1, 3, 2),
	{"whoever leaves a burst makes room in it", burst(3, s), func(c *callers) {
		c.arrive(3)
		waiting := c.arrive(3)
		c.leave(waiting[0])
		c.leave(waiting[2])
		c.arrive(3)
		c.wantStarts(seconds(0, 0, 0, 1, 1, 1, 2)...)
	}},
	{"a dead context takes no slot", burst(1, s), func(c *callers) {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errWhy)
		c.arriveWith(ctx)
		c.wantCanceled(c.calls[0], 0)
		c.arrive(2)
		c.wantStarts(seconds(0, 1)...)
	}},
	{"a canceled context wins over a slot that is due", burst(1, s), func(c *callers) {
		c.arrive(1)
		dies := c.call(dying{context.Background(), time.Now().Add(s)}, func() {})
		c.arrive(1)
		c.wantStarts(seconds(0, 1)...)
		c.wantCanceled(dies, s)
	}},
	{"cancellation says why", burst(1, s), func(c *callers) {
		c.arrive(1)
		ctx, cancel := context.WithCancelCause(context.Background())
		waits := c.arriveWith(ctx)
		c.sleepUntil(300 * ms)
		cancel(errWhy)
		c.wg.Wait()
		c.wantCanceled(waits, 300*ms)
		if !isAll(waits.err, errWhy) {
			c.t.Errorf("%v does not match the cause", waits.err)
		}
	}},
}

// canceled lets five wait on a drip and some of them leave, one after the other: those who
// stay move up, in order, and whoever comes next has the slot after theirs.
func canceled(name string, order ...int) guarantee {
	return guarantee{"a canceled caller costs nothing: " + name, drip(1, s), func(c *callers) {
		c.arrive(1)
		waiting := c.arrive(5)
		c.sleepUntil(100 * ms)
		for _, i := range order {
			c.leave(waiting[i])
			c.wantCanceled(waiting[i], 100*ms)
		}
		c.arrive(1)
		var want []time.Duration
		for i := range 1 + 5 - len(order) + 1 {
			want = append(want, time.Duration(i)*s)
		}
		c.wantStarts(want...)
	}}
}
