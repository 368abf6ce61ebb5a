package pacer

import (
	"context"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// A start is one that was granted.
type start struct {
	pacer    *Pacer        // that granted it
	slot     *Slot         // nil where the pacer has no use for one
	came, at time.Duration // when the caller came and when it started, on the pacer's clock
	number   int64         // Pacer.number with it
}

// wait sees a caller to its start. s is nil for one that needs no slot; heard says whether
// the caller will be heard of again, so that it gets a slot where the pacer has a use for one.
func (p *Pacer) wait(ctx context.Context, s *Slot, heard bool) (start, error) {
	needed := s
	if s == nil && (len(p.units) > 1 || heard && p.flights.max > 0) {
		s = new(Slot)
	}
	p.estimate(ctx, s)
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		if needed != nil {
			*needed = Slot{} // the costs are by p's units, which need not be those of the next
		}
		return next(1).wait(ctx, needed, heard)
	}
	if !heard && p.flights.max > 0 {
		p.mu.Unlock()
		return start{}, errHolds
	}
	if ctx.Err() != nil || p.sleeper == nil || len(p.schedule.rules) > 0 { // unfit costs more than a free slot should
		if err := p.unfit(ctx, s); err != nil {
			p.mu.Unlock()
			return start{}, err
		}
	}
	// Read under the lock: a reading from before the wait for it would be stale
	// and could date a start before the one that preceded it.
	now := p.clock.Now()
	if p.queue.len == 0 && p.ask(s, now).Now(now) {
		number := p.number()
		p.mu.Unlock()
		return start{p, s, now, now, number}, nil
	}
	w, err := p.enqueue(ctx, s, now)
	p.mu.Unlock()
	if err != nil {
		return start{}, err
	}
	return p.await(ctx, w)
}

// await sees w through the queue: it waits for its turn, then keeps time for the
// slot, then takes it.
func (p *Pacer) await(ctx context.Context, w *waiter) (start, error) {
	for {
		p.mu.Lock()
		if w.refused != nil {
			p.mu.Unlock()
			return start{}, w.refused
		}
		if ctx.Err() != nil {
			p.leave(w)
			p.canceled++
			p.mu.Unlock()
			return start{}, canceled(ctx)
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
				number := p.number()
				p.mu.Unlock()
				return start{p, w.slot, w.joined, now, number}, nil
			}
			soonest := answer.At
			if answer.Again {
				soonest = p.soonest(w.slot, now)
			}
			if kind := w.misses(soonest); kind != nil {
				err := p.refuse(kind, soonest-now)
				p.leave(w)
				p.mu.Unlock()
				return start{}, err
			}
		}
		head := p.queue.head == w
		if now >= w.latest && (head || !p.moves(now)) {
			err := p.refuse(ErrMaxWait, p.predict(w, now)-now)
			p.leave(w)
			p.mu.Unlock()
			return start{}, err
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

// estimate notes what a start costs, where anything but starts is counted.
func (p *Pacer) estimate(ctx context.Context, s *Slot) {
	if len(p.units) > 1 {
		s.estimate(ctx, p.keys)
	}
}

// wake is rouse for a gate that learned something by itself.
func (p *Pacer) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rouse()
}

// The methods below need p.mu.

// number returns that of the newest start. Starts are numbered in order, by twos, so that what
// they are settled to further finds its place between.
func (p *Pacer) number() int64 { return 2 * p.begun }

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

// gate returns what decides when the head may start.
func (p *Pacer) gate() gate.Gate {
	if p.remote != nil {
		return p.remote
	}
	return &p.schedule
}

// ask asks for a start at now and takes it if it may be. What a server said goes first, so
// that nothing is taken from the gate that cannot be used.
func (p *Pacer) ask(s *Slot, now time.Duration) gate.Answer {
	if p.flights.full() {
		return gate.Answer{At: forever, Again: true}
	}
	said := longAgo
	if p.learned != nil {
		if said = p.learned.due(nil, s.cost()); said > now {
			return gate.Answer{At: said, Again: true}
		}
	}
	var answer gate.Answer
	if p.remote != nil {
		answer = p.remote.Ask(now, s.cost())
	} else {
		answer = p.schedule.Ask(now, s.cost())
	}
	if answer.Now(now) {
		answer.At = max(answer.At, said)
		p.granted++
		p.begun++
		if p.learned != nil {
			p.learned.start(s.cost())
		}
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
	if p.maxWaiting > 0 && p.queue.len >= p.maxWaiting && w.arrived >= now {
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
	if w != p.queue.tail {
		p.refuseTooLate(now) // who stands behind it starts later now
	}
	return w, nil
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
