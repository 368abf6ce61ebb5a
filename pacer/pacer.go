// Package pacer lets calls start only as fast as a quota allows.
//
// Most callers want [Burst] or [Drip] and [Pacer.Wait]:
//
//	p := pacer.Burst(5, time.Second)
//	for _, job := range jobs {
//		if err := p.Wait(ctx); err != nil {
//			return err
//		}
//		job.Run()
//	}
//
// # What a Pacer guarantees
//
// Strict windows: no window of length Period, wherever it begins, contains more
// than Calls starts. A start is the moment at which Wait decides to return,
// read on the monotonic clock. A token bucket lets up to 2·Calls−1 through in
// such a window, and a counter that is reset every Period 2·Calls.
//
// One queue: callers are served in order of arrival. Only the caller at the head
// keeps time; when it leaves, with its slot or without, it wakes the next. A
// caller who gives up costs nothing: those behind move up and no slot is lost.
//
// Even spacing: [Drip] and Limit.Even put starts on a grid, Period/Calls apart.
// A start that is late by less than that leaves the grid in place, so the rate
// does not creep; a later one begins a new grid, so missed slots are never fired
// in a bunch. Strict windows come first: where a late start would make a window
// too full one Period later, that later start waits and the grid goes with it. The
// fewer the Calls the more starts that concerns: with Calls 1 every one, so that all
// lateness stays.
//
// Precision: on Linux starts are within some microseconds of their slot where
// the runtime's timer alone would be up to a millisecond late. The head spins at
// most 200 µs per start for that. Config.Coarse turns it off.
//
// A Pacer is made by [New], [Burst] or [Drip], is safe for concurrent use, and
// has no goroutine of its own: there is nothing to close.
package pacer

import (
	"context"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/sleep"
)

// A Pacer makes callers wait for their slot. See the package documentation for
// what it guarantees. The zero Pacer refuses everything.
type Pacer struct {
	clock      sleep.Clock
	sleeper    *sleep.Sleeper
	maxWaiting int

	mu       sync.Mutex
	schedule schedule
	queue    queue
	granted  uint64
	rejected uint64
	canceled uint64

	// successor is set when a Keyed forgets this pacer: whoever still holds it
	// is sent to the key's new one, so that a quota never exists twice.
	successor func() *Pacer
}

// Wait blocks until the caller may start and returns nil, or returns why it may
// not; then no slot was used. An uncontended Wait with a free slot does not
// allocate.
//
// The error is an [*Error] matching [ErrQueueFull] when too many wait already; an
// *Error matching [ErrDeadline] and [context.DeadlineExceeded], at once, when
// the slot cannot come before ctx's deadline, or no longer can because of a pause;
// and an error matching ctx.Err() and context.Cause(ctx) when ctx is done, which
// wins over a slot that is free or due.
func (p *Pacer) Wait(ctx context.Context) error {
	dead := ctx.Err() != nil
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next().Wait(ctx)
	}
	if len(p.schedule.limits) == 0 {
		p.mu.Unlock()
		return errNoLimits
	}
	if dead {
		p.canceled++
		p.mu.Unlock()
		return canceled(ctx)
	}
	// Read under the lock: a reading from before the wait for it would be stale
	// and could date a start before the one that preceded it.
	now := p.clock.Now()
	if p.queue.len == 0 && p.schedule.due() <= now {
		p.start(now)
		p.mu.Unlock()
		return nil
	}
	w, err := p.enqueue(ctx, now)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.await(ctx, w)
}

// Allow reports whether the caller may start now, and takes the slot if so. It
// never waits, and never overtakes those who do: while there is a queue the
// answer is false.
func (p *Pacer) Allow() bool {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next().Allow()
	}
	defer p.mu.Unlock()
	now := p.clock.Now()
	if p.queue.len > 0 || len(p.schedule.limits) == 0 || p.schedule.due() > now {
		p.rejected++
		return false
	}
	p.start(now)
	return true
}

// PauseUntil lets no caller start before t, those who wait already included. It
// never shortens an earlier pause; a t in the past does nothing. Waiting callers
// whose deadline the pause makes unreachable are refused at once, as by Wait.
func (p *Pacer) PauseUntil(t time.Time) {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		next().PauseUntil(t)
		return
	}
	defer p.mu.Unlock()
	left := time.Until(t) // before now is read: what passes in between may lengthen the pause, never shorten it
	now := p.clock.Now()
	if left <= 0 || !p.schedule.pause(add(now, left)) {
		return
	}
	ahead := 0
	for w := p.queue.head; w != nil; w = w.next {
		if w.deadline == forever {
			ahead++
			continue
		}
		at := p.schedule.planned(ahead, now)
		if !w.misses(at) {
			ahead++
			continue
		}
		w.refused = p.refuse(ErrDeadline, at-now)
		p.leave(w)
		w.notify()
	}
}

// await sees w through the queue: it waits for its turn, then keeps time for the
// slot, then takes it.
func (p *Pacer) await(ctx context.Context, w *waiter) error {
	for {
		p.mu.Lock()
		if w.refused != nil {
			p.mu.Unlock()
			return w.refused
		}
		if ctx.Err() != nil {
			p.leave(w)
			p.canceled++
			p.mu.Unlock()
			return canceled(ctx)
		}
		if p.queue.head != w {
			p.mu.Unlock()
			select {
			case <-w.wake:
			case <-ctx.Done():
			}
			continue
		}
		now, due := p.clock.Now(), p.schedule.due()
		switch {
		case due <= now:
			p.start(now)
			p.leave(w)
			p.mu.Unlock()
			return nil
		case w.misses(due):
			err := p.refuse(ErrDeadline, due-now)
			p.leave(w)
			p.mu.Unlock()
			return err
		}
		p.mu.Unlock()
		p.sleeper.Until(due, ctx.Done(), w.wake)
	}
}

// The methods below need p.mu.

func (p *Pacer) start(now time.Duration) {
	p.schedule.start(now)
	p.granted++
}

func (p *Pacer) enqueue(ctx context.Context, now time.Duration) (*waiter, error) {
	ahead := p.queue.len
	if p.maxWaiting > 0 && ahead >= p.maxWaiting {
		return nil, p.refuse(ErrQueueFull, p.schedule.planned(ahead, now)-now)
	}
	w := &waiter{deadline: forever, wake: make(chan struct{}, 1)}
	if deadline, ok := ctx.Deadline(); ok {
		w.deadline = add(now, max(0, time.Until(deadline)))
		if at := p.schedule.planned(ahead, now); w.misses(at) {
			return nil, p.refuse(ErrDeadline, at-now)
		}
	}
	p.queue.join(w)
	return w, nil
}

func (p *Pacer) refuse(kind error, wait time.Duration) *Error {
	p.rejected++
	return &Error{kind: kind, wait: wait}
}

func (p *Pacer) leave(w *waiter) {
	p.queue.leave(w)
	if p.queue.len == 0 {
		p.schedule.plan.clear() // what was planned for a queue is wrong after idling
	}
}
