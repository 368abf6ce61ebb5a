package pacer

import (
	"context"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
	"github.com/pacedhttp/pacedhttp/pacer/internal/sleep"
)

// A Pacer makes callers wait for their slot. See the package documentation for
// what it guarantees. The zero Pacer refuses everything.
type Pacer struct {
	clock      sleep.Clock
	sleeper    *sleep.Sleeper
	limits     []Limit
	units      []string // that starts are counted in; the first is "", starts themselves
	keys       []any    // of units in a context
	maxWaiting int
	maxWait    time.Duration
	tolerance  time.Duration // how late after its slot a start is not late

	mu       sync.Mutex
	schedule schedule
	remote   gate.Gate // decides instead of schedule, if there is one
	flights  flights
	queue    queue
	ahead    []int         // lent to queue.ahead
	freed    time.Duration // when something was last given back
	granted  uint64
	rejected uint64
	canceled uint64
	late     uint64
	uncosted []uint64 // by unit

	// successor is set when a Keyed forgets this pacer: whoever still holds it
	// is sent to the key's new one, so that a quota never exists twice.
	successor func() *Pacer
}

// Wait blocks until the caller may start and returns nil, or returns why it may
// not; then no slot was used. Nothing more is heard of such a start, so it is an error
// where Config.MaxInFlight is set: use [Pacer.Acquire] there. An uncontended Wait with a
// free slot does not allocate, but where costs are counted.
//
// The error is an [*Error] matching [ErrTooCostly] where the call costs more than a
// limit ever allows; [ErrQueueFull] when too many wait already; [ErrDeadline] and
// [context.DeadlineExceeded], at once, when the slot cannot come before ctx's deadline,
// or no longer can because of a pause; [ErrMaxWait] likewise for Config.MaxWait; and an
// error matching ctx.Err() and context.Cause(ctx) when ctx is done, which wins over a
// slot that is free or due.
func (p *Pacer) Wait(ctx context.Context) error { return p.wait(ctx, nil) }

// Acquire is [Pacer.Wait] for callers who will say how the request went: it returns the
// start's slot, or nil and the error.
func (p *Pacer) Acquire(ctx context.Context) (*Slot, error) {
	s := new(Slot)
	if err := p.wait(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// TryAcquire returns a slot if the caller may start now. It never waits, and never
// overtakes those who do. Otherwise the error matches [ErrNotNow], and its Wait says when
// to ask again; or it is one of Acquire's, where waiting would not help.
func (p *Pacer) TryAcquire(ctx context.Context) (*Slot, error) {
	s := new(Slot)
	p.estimate(ctx, s)
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next().TryAcquire(ctx)
	}
	defer p.mu.Unlock()
	if err := p.unfit(ctx, s); err != nil {
		return nil, err
	}
	now := p.clock.Now()
	w := waiter{slot: s, arrived: arrival(ctx, now)}
	if (p.queue.len == 0 || w.before(p.queue.head)) && p.ask(s, now).Now(now) {
		p.rouse() // the head, if there is one, has become later
		return s, nil
	}
	left := p.predict(&w, now) - now
	if left == 0 {
		left = time.Millisecond // a flight or a waiter is in the way: time alone does not tell
	}
	return nil, p.refuse(ErrNotNow, left)
}

// Allow reports whether the caller may start now, and takes the slot if so. It
// never waits, and never overtakes those who do: while there is a queue the
// answer is false. The start costs 1 in every unit. Where Config.MaxInFlight is set the
// answer is false: see [Pacer.TryAcquire].
func (p *Pacer) Allow() bool {
	var s *Slot
	if len(p.units) > 1 {
		s = new(Slot)
		p.estimate(context.Background(), s)
	}
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next().Allow()
	}
	defer p.mu.Unlock()
	if p.sleeper != nil && p.queue.len == 0 && p.flights.max == 0 {
		now := p.clock.Now()
		if p.ask(s, now).Now(now) {
			return true
		}
	}
	p.rejected++
	return false
}

// PauseUntil lets no caller start before t, those who wait already included. It
// never shortens an earlier pause; a t in the past does nothing. Waiting callers
// whose deadline the pause makes unreachable, or whose Config.MaxWait, are refused at
// once, as by Wait.
func (p *Pacer) PauseUntil(t time.Time) { p.pause(t) }

func (p *Pacer) pause(t time.Time) (changed bool) {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next().pause(t)
	}
	defer p.mu.Unlock()
	left := time.Until(t) // before now is read: what passes in between may lengthen the pause, never shorten it
	now := p.clock.Now()
	if left <= 0 || !p.gate().Pause(add(now, left)) {
		return false
	}
	p.refuseTooLate(now)
	return true
}

// wait sees a caller to its start. s is nil for one that needs no slot.
func (p *Pacer) wait(ctx context.Context, s *Slot) error {
	needed := s
	if len(p.units) > 1 {
		if s == nil {
			s = new(Slot)
		}
		p.estimate(ctx, s)
	}
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next().wait(ctx, needed)
	}
	if needed == nil && p.flights.max > 0 {
		p.mu.Unlock()
		return errHolds
	}
	if err := p.unfit(ctx, s); err != nil {
		p.mu.Unlock()
		return err
	}
	// Read under the lock: a reading from before the wait for it would be stale
	// and could date a start before the one that preceded it.
	now := p.clock.Now()
	if p.queue.len == 0 && p.ask(s, now).Now(now) {
		p.mu.Unlock()
		return nil
	}
	w, err := p.enqueue(ctx, s, now)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.await(ctx, w)
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
		now := p.clock.Now()
		var answer gate.Answer
		if p.queue.head == w {
			answer = p.ask(w.slot, now)
			if answer.Now(now) {
				if now-max(answer.At, w.joined, p.freed) > p.tolerance {
					p.late++
				}
				p.leave(w)
				p.mu.Unlock()
				return nil
			}
			soonest := answer.At
			if answer.Again {
				soonest = p.soonest(w.slot, now)
			}
			if kind := w.misses(soonest); kind != nil {
				err := p.refuse(kind, soonest-now)
				p.leave(w)
				p.mu.Unlock()
				return err
			}
		}
		head := p.queue.head == w
		if now >= w.latest && (head || !p.moves(now)) {
			err := p.refuse(ErrMaxWait, p.predict(w, now)-now)
			p.leave(w)
			p.mu.Unlock()
			return err
		}
		p.mu.Unlock()
		if head && answer.At != forever {
			p.sleeper.Until(min(answer.At, w.latest), ctx.Done(), w.wake)
		} else {
			left := w.latest - now
			if left <= 0 {
				left = time.Millisecond // for the head to move
			}
			w.sleep(ctx, left)
		}
	}
}

// gate returns what decides when the head may start.
func (p *Pacer) gate() gate.Gate {
	if p.remote != nil {
		return p.remote
	}
	return &p.schedule
}

// wake is rouse for a gate that learned something by itself.
func (p *Pacer) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rouse()
}

// estimate notes what a start costs, where anything but starts is counted.
func (p *Pacer) estimate(ctx context.Context, s *Slot) {
	if len(p.units) > 1 {
		s.estimate(ctx, p.keys)
	}
}

// The methods below need p.mu.

// unfit returns why a caller may never start, whatever the time.
func (p *Pacer) unfit(ctx context.Context, s *Slot) error {
	if p.sleeper == nil {
		return errNoLimits
	}
	if ctx.Err() != nil {
		p.canceled++
		return canceled(ctx)
	}
	if r := p.schedule.tooCostly(s.cost()); r != nil {
		err := p.refuse(ErrTooCostly, forever)
		err.cost, err.limit, err.unit = s.costs[r.unit], r.most, p.units[r.unit]
		return err
	}
	return nil
}

// ask asks for a start at now and takes it if it may be.
func (p *Pacer) ask(s *Slot, now time.Duration) gate.Answer {
	if p.flights.full() {
		return gate.Answer{At: forever, Again: true}
	}
	var answer gate.Answer
	if p.remote != nil {
		answer = p.remote.Ask(now, s.cost())
	} else {
		answer = p.schedule.Ask(now, s.cost())
	}
	if answer.Now(now) {
		p.granted++
		if s != nil {
			s.begin(p, now)
		}
	}
	return answer
}

func (p *Pacer) enqueue(ctx context.Context, s *Slot, now time.Duration) (*waiter, error) {
	w := &waiter{
		slot:     s,
		arrived:  arrival(ctx, now),
		joined:   now,
		deadline: forever,
		latest:   forever,
		wake:     make(chan struct{}, 1),
	}
	if p.maxWaiting > 0 && p.queue.len >= p.maxWaiting && w.arrived >= p.queue.tail.arrived {
		return nil, p.refuse(ErrQueueFull, p.predict(w, now)-now)
	}
	deadline, ok := ctx.Deadline()
	if ok {
		w.deadline = add(now, max(0, time.Until(deadline)))
	}
	if p.maxWait > 0 {
		w.latest = add(now, p.maxWait)
	}
	if ok || p.maxWait > 0 {
		at := p.predict(w, now)
		if kind := w.misses(at); kind != nil {
			return nil, p.refuse(kind, at-now)
		}
	}
	p.queue.join(w)
	return w, nil
}

// moves reports whether the head is about to start, so that those behind it may still
// start in time though their time is up.
func (p *Pacer) moves(now time.Duration) bool {
	return p.remote == nil && !p.flights.full() && p.schedule.due(p.queue.head.slot.cost()) <= now
}

// soonest returns a moment before which nobody starts, though nobody is ahead.
func (p *Pacer) soonest(s *Slot, now time.Duration) time.Duration {
	clear(p.ahead)
	return p.gate().Bound(now, p.ahead, s.cost())
}

// predict returns when w, who need not have joined, will start, or a moment before which
// it will not where costs or flights make the future unknown.
func (p *Pacer) predict(w *waiter, now time.Duration) time.Duration {
	p.queue.ahead(w, p.ahead)
	return p.predictBehind(p.ahead, w.slot, now)
}

// predictBehind is predict for one who has so much ahead.
func (p *Pacer) predictBehind(ahead []int, s *Slot, now time.Duration) time.Duration {
	if p.remote == nil && len(p.schedule.rules) == 0 && p.flights.max == 0 {
		return p.schedule.planned(ahead[0], now)
	}
	return p.gate().Bound(now, ahead, s.cost())
}

// refuseTooLate refuses those who wait and now would start too late.
func (p *Pacer) refuseTooLate(now time.Duration) {
	var late []*waiter
	staying := 0
	clear(p.ahead)
	p.queue.each(func(w *waiter) {
		if w.deadline != forever || w.latest != forever {
			at := p.predictBehind(p.ahead, w.slot, now)
			if kind := w.misses(at); kind != nil {
				w.refused = p.refuse(kind, at-now)
				late = append(late, w)
				return
			}
		}
		staying++
		w.slot.addTo(p.ahead)
		p.ahead[0] = staying
	})
	for _, w := range late {
		p.leave(w)
		w.notify()
	}
}

// changed makes the head look again after something was given back or charged.
func (p *Pacer) changed(now time.Duration) {
	p.freed = now
	p.rouse()
}

// rouse makes the head ask again.
func (p *Pacer) rouse() {
	if p.queue.head != nil {
		p.queue.head.notify()
	}
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
