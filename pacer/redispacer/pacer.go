package redispacer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer/internal/sleep"
)

// A start that is missed by more than tooLate, by a process that was stopped or an answer
// that took so long, is given up: to make up for all that were missed would be a bunch.
const tooLate = time.Second

var _ pacedhttp.Waiter = (*Pacer)(nil)

// A Pacer makes callers wait for their start on a quota that processes share. See
// the package documentation for what it guarantees. It is made by [New] and safe for
// concurrent use; the zero Pacer refuses everything. There is nothing to close: its
// goroutines are the round trips, which end with their answer or the client's own
// timeouts.
type Pacer struct {
	clock    sleep.Clock
	sleeper  *sleep.Sleeper
	script   *script
	timeout  time.Duration
	fallback pacedhttp.Waiter
	lease    int
	span     time.Duration // the longest Period

	mu      sync.Mutex
	queue   queue
	slots   slots
	resumes time.Duration // no start before: the end of the pause
	agreed  int64         // the end that Redis last told, on the server's clock
	trips   trips
	health  health
	counts  Stats
}

// Wait blocks until the caller may start and returns nil, or returns why it may not;
// then it used no start. Callers of one process are served in order of arrival.
//
// The error is an [*Error] matching [ErrDeadline] and [context.DeadlineExceeded] when
// no start comes before ctx's deadline, known after one round trip at most where
// Config.Lease is 1, and nothing is reserved then; an error matching ctx.Err() and
// context.Cause(ctx) when ctx is done, which wins over a start that is due; and an
// error matching [ErrUnavailable] and its cause when Redis cannot be used and there
// is no Config.Fallback. With one, its error.
func (p *Pacer) Wait(ctx context.Context) error {
	if p.script == nil {
		return errNotMade
	}
	p.mu.Lock()
	if ctx.Err() != nil {
		p.counts.Canceled++
		p.mu.Unlock()
		return canceled(ctx)
	}
	now := p.clock.Now()
	if p.health.avoids(now) {
		err := &unavailableError{p.health.cause}
		p.mu.Unlock()
		return p.without(ctx, err)
	}
	w := &waiter{deadline: forever, wake: make(chan struct{}, 1)}
	if deadline, ok := ctx.Deadline(); ok {
		w.deadline = add(now, max(0, time.Until(deadline)))
	}
	if at := p.resumes; at > now && w.misses(at) {
		p.counts.Rejected++
		p.mu.Unlock()
		return &Error{at - now}
	}
	p.queue.join(w)
	p.balance(now)
	p.refuseBehind(now)
	p.mu.Unlock()
	err := p.await(ctx, w)
	if errors.Is(err, ErrUnavailable) {
		return p.without(ctx, err)
	}
	return err
}

// PauseUntil lets no caller start before t, in any process that shares the quota, those
// who wait already included. It never shortens an earlier pause; a t in the past does
// nothing, and one more than ten years ahead is cut to that.
//
// It returns at once. In this process the pause holds from then on, as long as Redis is
// gone too; a Config.Fallback that has PauseUntil is told as well. To the others it is
// carried by Redis: they hold it from their next round trip on, and each makes one
// no more than 100 ms before any start of its own.
func (p *Pacer) PauseUntil(t time.Time) {
	if p.script == nil {
		return
	}
	left := min(time.Until(t), maxPeriod)
	if left <= 0 {
		return
	}
	if f, ok := p.fallback.(interface{ PauseUntil(time.Time) }); ok {
		f.PauseUntil(t)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.trips.pause = max(p.trips.pause, add(now, left))
	p.resumes = max(p.resumes, add(now, left))
	p.losePaused()
	p.balance(now)
}

// await sees w through the queue: it waits for its turn, then keeps time for the first
// slot, then takes it.
func (p *Pacer) await(ctx context.Context, w *waiter) error {
	for {
		p.mu.Lock()
		now := p.clock.Now()
		switch {
		case w.left:
			p.mu.Unlock()
			return w.out
		case ctx.Err() != nil:
			p.leave(w, now)
			p.counts.Canceled++
			p.mu.Unlock()
			return canceled(ctx)
		case p.queue.head != w || len(p.slots) == 0:
			p.mu.Unlock()
			w.sleep(ctx)
			continue
		}
		due := p.slots[0].at
		switch {
		case due < now-tooLate:
			p.counts.Lost += uint64(p.slots.drop(func(s slot) bool { return s.at < now-tooLate }))
			p.balance(now)
			p.mu.Unlock()
			continue
		case w.misses(due):
			err := p.refuse(due - now)
			p.leave(w, now)
			p.mu.Unlock()
			return err
		}
		until, stale := p.lookAgain(due, now)
		switch {
		case stale && until <= now:
			p.ask(now)
			p.mu.Unlock()
			w.sleep(ctx)
		case due <= now:
			p.slots.popFirst()
			p.counts.Granted++
			p.leave(w, now)
			p.mu.Unlock()
			return nil
		default:
			p.mu.Unlock()
			p.sleeper.Until(until, ctx.Done(), w.wake)
		}
	}
}

func (w *waiter) sleep(ctx context.Context) {
	select {
	case <-w.wake:
	case <-ctx.Done():
	}
}

// The methods below need p.mu.

func (p *Pacer) leave(w *waiter, now time.Duration) {
	p.queue.leave(w)
	p.balance(now)
}

func (p *Pacer) refuse(wait time.Duration) *Error {
	p.counts.Rejected++
	return &Error{max(0, wait)}
}

// putOut makes w's Wait return err. The caller has to balance afterwards.
func (p *Pacer) putOut(w *waiter, err error) {
	w.out = err
	p.queue.leave(w)
	w.notify()
}

// losePaused drops slots that a pause covers. To start them when it ends would break the
// limits, since others then start what they have reserved since. A pause that Redis knows
// of is compared on its clock: replies arrive more or less late.
func (p *Pacer) losePaused() {
	p.counts.Lost += uint64(p.slots.drop(func(s slot) bool {
		return s.server < p.agreed || s.at < p.trips.pause
	}))
}

// balance restores what holds between the queue, the slots and the round trips, whatever
// has changed: each slot belongs to a place, what is too much goes back, what is missing
// is asked for, and while Redis is avoided nobody waits for it in vain.
func (p *Pacer) balance(now time.Duration) {
	p.assign(now)
	for len(p.slots) > p.queue.len {
		p.giveBack(p.slots.popNewest())
	}
	p.depart(now)
	if p.health.cause != nil {
		for p.queue.unasked != nil {
			p.putOut(p.queue.unasked, &unavailableError{p.health.cause})
		}
	}
	if p.queue.head != nil {
		p.queue.head.notify()
	}
}

// assign marks as many places as there are slots, reserved or asked for. Whoever moves up
// to a slot that comes too late for it is refused here, since Redis was not asked.
func (p *Pacer) assign(now time.Duration) {
	places := len(p.slots) + p.trips.asked
	for p.queue.asked > places {
		p.queue.unask()
	}
	for p.queue.asked < places && p.queue.unasked != nil {
		w := p.queue.unasked
		if i := p.queue.asked; i < len(p.slots) && w.misses(p.slots[i].at) {
			p.putOut(w, p.refuse(p.slots[i].at-now))
			continue
		}
		p.queue.ask()
	}
}

// add returns t + d without overflow; d must not be negative.
func add(t, d time.Duration) time.Duration {
	if t > forever-d {
		return forever
	}
	return t + d
}
