package pacertest

import (
	"context"
	"errors"
	"time"
)

var errWhy = errors.New("why")

// dying is a context that dies in silence, so that nobody is told before a slot is due.
type dying struct {
	context.Context
	at time.Time
}

func (d dying) Err() error {
	if time.Now().Before(d.at) {
		return nil
	}
	return context.Canceled
}

var deadlines = []guarantee{
	{"a deadline that cannot be met is refused at once", burst(1, 10*s), func(c *callers) {
		c.arrive(2)
		c.sleepUntil(s)
		c.wantRefused(c.arriveBefore(5*s), s, 19*s)
	}},
	{"a slot at the deadline is too late", burst(1, s), func(c *callers) {
		c.arrive(1)
		c.wantRefused(c.arriveBefore(s), 0, s)
	}},
	{"a slot before the deadline is not", burst(1, s), func(c *callers) {
		c.arrive(1)
		c.arriveBefore(s + ms)
		c.wantStarts(seconds(0, 1)...)
	}},
	{"a refusal leaves the queue as it was", drip(1, s), func(c *callers) {
		c.arrive(3)
		for range 10 {
			c.wantRefused(c.arriveBefore(2*s), 0, 3*s)
		}
		c.arrive(2)
		c.wantStarts(seconds(0, 1, 2, 3, 4)...)
	}},
	{"whoever leaves makes room for a deadline", burst(1, s), func(c *callers) {
		c.arrive(1)
		leaves := c.arrive(1)[0]
		c.wantRefused(c.arriveBefore(1500*ms), 0, 2*s)
		c.leave(leaves)
		c.arriveBefore(1500 * ms)
		c.wantStarts(seconds(0, 1)...)
	}},
	{"a passed deadline takes no slot", burst(1, s), func(c *callers) {
		c.arriveBefore(-s)
		if err := c.calls[0].err; !isAll(err, context.DeadlineExceeded) {
			c.t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
		c.arrive(1)
		c.wantStarts(0)
	}},
}

// wantRefused checks that a call ended at a time, since it would have had to wait so long.
func (c *callers) wantRefused(one *call, at, wait time.Duration) {
	c.t.Helper()
	switch refusal, ok := one.err.(interface{ Wait() time.Duration }); {
	case !one.ended:
		c.t.Error("waits for a slot that comes too late")
	case !isAll(one.err, c.subject.ErrDeadline, context.DeadlineExceeded):
		c.t.Errorf("got %v, want an error that is ErrDeadline and context.DeadlineExceeded", one.err)
	case !ok || refusal.Wait() > wait || refusal.Wait() < wait && !c.subject.AtLeast:
		c.t.Errorf("got %v, want a predicted wait of %v", one.err, wait)
	case one.at != at:
		c.t.Errorf("refused at %v, want %v", one.at, at)
	}
}

// wantCanceled checks that a call ended at a time because its context was canceled.
func (c *callers) wantCanceled(one *call, at time.Duration) {
	c.t.Helper()
	switch {
	case !one.ended:
		c.t.Error("waits on though its context is dead")
	case !isAll(one.err, context.Canceled) || errors.Is(one.err, c.subject.ErrDeadline):
		c.t.Errorf("got %v, want an error that is context.Canceled", one.err)
	case one.at != at:
		c.t.Errorf("left at %v, want %v", one.at, at)
	}
}

func isAll(err error, targets ...error) bool {
	for _, target := range targets {
		if !errors.Is(err, target) {
			return false
		}
	}
	return true
}
