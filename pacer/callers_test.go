package pacer_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// callers are the calls of Wait that a test makes in its bubble, in order of
// arrival. Times count from the making of the callers.
type callers struct {
	pacer *pacer.Pacer
	begin time.Time
	calls []*call
	wg    sync.WaitGroup
}

// A call is one call of Wait and how it ended.
type call struct {
	ended  bool
	at     time.Duration
	err    error
	cancel context.CancelFunc
}

func newCallers(p *pacer.Pacer) *callers {
	return &callers{pacer: p, begin: time.Now()}
}

// arrive calls Wait n times, one after the other. When it returns each of them
// has ended or is in the queue, and no time has passed.
func (c *callers) arrive(n int) []*call {
	for range n {
		c.arriveWith(context.Background())
	}
	return c.calls[len(c.calls)-n:]
}

func (c *callers) arriveWith(parent context.Context) *call {
	ctx, cancel := context.WithCancel(parent)
	one := &call{cancel: cancel}
	c.calls = append(c.calls, one)
	c.wg.Go(func() {
		defer cancel()
		err := c.pacer.Wait(ctx)
		one.ended, one.at, one.err = true, time.Since(c.begin), err
	})
	synctest.Wait()
	return one
}

// arriveBefore is arriveWith a deadline that far from now.
func (c *callers) arriveBefore(timeout time.Duration) *call {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	one := c.arriveWith(ctx)
	one.cancel = cancel
	return one
}

// leave cancels a call and lets it return.
func (c *callers) leave(one *call) {
	one.cancel()
	synctest.Wait()
}

// starts waits for every call to end, and returns when those that started did,
// in order of arrival.
func (c *callers) starts() []time.Duration {
	c.wg.Wait()
	var at []time.Duration
	for _, one := range c.calls {
		one.cancel()
		if one.err == nil {
			at = append(at, one.at)
		}
	}
	return at
}

// wantStarts waits for every call to end and compares when they started.
func (c *callers) wantStarts(t *testing.T, want []time.Duration) {
	t.Helper()
	if got := c.starts(); !slices.Equal(got, want) {
		t.Errorf("starts at\n%v, want\n%v", got, want)
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

// pacerOf returns a pacer with several limits.
func pacerOf(t *testing.T, limits ...pacer.Limit) *pacer.Pacer {
	t.Helper()
	return pacerWith(t, pacer.Config{Limits: limits})
}

func pacerWith(t *testing.T, cfg pacer.Config) *pacer.Pacer {
	t.Helper()
	p, err := pacer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
