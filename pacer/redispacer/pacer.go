package redispacer

import (
	"context"
	"errors"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

var (
	_ pacedhttp.Waiter   = (*Pacer)(nil)
	_ pacedhttp.Acquirer = (*Pacer)(nil)
)

// A Pacer is a [pacer.Pacer] whose limits are kept in Redis, shared with all that have the same
// key. It is made by [New]; the zero Pacer refuses everything. There is nothing to close: its
// goroutines are the round trips, which end with their answer or the client's own timeouts.
//
// Its embedded Pacer may be the Parent of others.
type Pacer struct {
	*pacer.Pacer
	remote *remote
}

// Wait is [pacer.Pacer.Wait]. Its error may also match [ErrUnavailable] and its cause, when
// Redis cannot be used and there is no Config.Fallback.
func (p *Pacer) Wait(ctx context.Context) error {
	if err := p.avoids(ctx); err != nil {
		return err
	}
	return p.Pacer.Wait(ctx)
}

// Acquire is [pacer.Pacer.Acquire], with the errors of [Pacer.Wait].
func (p *Pacer) Acquire(ctx context.Context) (*pacer.Slot, error) {
	if err := p.avoids(ctx); err != nil {
		return nil, err
	}
	return p.Pacer.Acquire(ctx)
}

// TryAcquire is [pacer.Pacer.TryAcquire], but that it waits for an answer of Redis, and for a start
// that is due by then.
func (p *Pacer) TryAcquire(ctx context.Context) (*pacer.Slot, error) {
	if p.remote == nil {
		return nil, errNotMade
	}
	slot, refusal := p.Pacer.TryAcquire(ctx)
	if !errors.Is(refusal, pacer.ErrNotNow) || p.Stats().Waiting > 0 {
		return slot, refusal
	}
	soon, cancel := context.WithTimeout(ctx, p.remote.patience())
	defer cancel()
	slot, err := p.Acquire(soon)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return p.Pacer.TryAcquire(ctx) // says when to ask again
	}
	return slot, err
}

// Allow is [Pacer.TryAcquire] that reports whether there was a start, of which nothing more will
// be heard. Where Config.MaxInFlight is set the answer is false.
func (p *Pacer) Allow() bool {
	if p.remote == nil {
		return false
	}
	if p.Pacer.Allow() {
		return true
	}
	soon, cancel := context.WithTimeout(context.Background(), p.remote.patience())
	defer cancel()
	return p.Stats().Waiting == 0 && p.Wait(soon) == nil
}

// Warm connects to Redis and has it load the script, so that the first call need not wait for
// that. It returns nil when Redis has answered, and otherwise why it has not by the end of ctx.
// To call it is not necessary.
func (p *Pacer) Warm(ctx context.Context) error {
	if p.remote == nil {
		return errNotMade
	}
	return p.remote.warm(ctx)
}

// avoids returns an error if Redis is not asked at present, and there is no Fallback: nobody
// waits for a probe but the caller who makes it.
func (p *Pacer) avoids(ctx context.Context) error {
	r := p.remote
	if r == nil {
		return errNotMade
	}
	r.queue.Lock()
	defer r.queue.Unlock()
	if r.fallback != nil || ctx.Err() != nil || !r.health.avoids(r.queue.Now()) {
		return nil
	}
	return r.unavailable()
}

// PauseUntil is [pacer.Pacer.PauseUntil] for all processes that share the quota. Here the pause
// holds from now on. The others are told by Redis: they learn of it with their next round trip,
// which each that starts anything makes no longer before a start than the horizon.
func (p *Pacer) PauseUntil(t time.Time) {
	if p.Pacer != nil {
		p.Pacer.PauseUntil(t)
	}
}
