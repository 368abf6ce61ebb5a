package pacertest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// callers make calls of Wait, in order of arrival. Times count from the pacer's making.
type callers struct {
	t       *testing.T
	subject Subject
	pacer   Pacer
	began   time.Time
	calls   []*call
	wg      sync.WaitGroup
}

// A call is one call of Wait and how it ended.
type call struct {
	ended  bool
	at     time.Duration
	err    error
	cancel context.CancelFunc
}

// arrive calls Wait n times. Then each call has ended or waits, and no time has passed.
func (c *callers) arrive(n int) []*call {
	for range n {
		c.arriveWith(context.Background())
	}
	return c.calls[len(c.calls)-n:]
}

func (c *callers) arriveWith(parent context.Context) *call {
	ctx, cancel := context.WithCancel(parent)
	return c.call(ctx, cancel)
}

// arriveBefore is arriveWith a deadline that far from now.
func (c *callers) arriveBefore(timeout time.Duration) *call {
	return c.call(context.WithTimeout(context.Background(), timeout))
}

func (c *callers) call(ctx context.Context, cancel context.CancelFunc) *call {
	one := &call{cancel: cancel}
	c.calls = append(c.calls, one)
	c.wg.Go(func() {
		err := c.pacer.Wait(ctx)
		one.ended, one.at, one.err = true, time.Since(c.began), err
	})
	synctest.Wait()
	return one
}

// leave cancels a call and lets it return.
func (c *callers) leave(one *call) {
	one.cancel()
	synctest.Wait()
}

// sleepUntil sleeps until so long after the pacer's making.
func (c *callers) sleepUntil(at time.Duration) {
	time.Sleep(at - time.Since(c.began))
	synctest.Wait()
}

// wantStarts waits for every call to end and compares when those started that did, in
// order of arrival.
func (c *callers) wantStarts(want ...time.Duration) {
	c.t.Helper()
	c.wg.Wait()
	var got []time.Duration
	for _, one := range c.calls {
		if one.err == nil {
			got = append(got, one.at)
		}
	}
	if !slices.Equal(got, want) {
		c.t.Errorf("started at\n%v, want\n%v", got, want)
	}
}

// seconds returns whole seconds as durations.
func seconds(s ...int) []time.Duration {
	d := make([]time.Duration, len(s))
	for i := range s {
		d[i] = time.Duration(s[i]) * time.Second
	}
	return d
}
