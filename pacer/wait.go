package pacer

import (
	"context"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// A start is one that was granted. It is handed about by reference: each call pays for it.
type start struct {
	pacer      *Pacer        // that granted it
	slot       *Slot         // nil where the pacer has no use for one
	call       time.Duration // when the call came, on the pacer's clock
	joined, at time.Duration // when the caller did, and when it started
	number     int64         // Pacer.number with it
	era        uint32        // of the states
	lent       error         // Slot.lent
}

// came returns when the call came; the zero Time for a zero start.
func (s *start) came() time.Time {
	if s.pacer == nil {
		return time.Time{}
	}
	return s.pacer.clock.Time(s.call)
}

// wait sees a caller to its start. s is nil for one that needs no slot; st is nil for one that
// will not be heard of again, else it gets a slot where the pacer has a use for one.
func (p *Pacer) wait(ctx context.Context, st *start, s *Slot) error {
	heard := st != nil
	needed := s
	if s == nil && heard && (p.flights.max > 0 || p.parent != nil) {
		s = new(Slot)
	}
	if p.parent != nil || p.keys.Load() != nil {
		s = p.estimate(ctx, s)
	}
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		if needed != nil {
			*needed = Slot{} // the costs are by p's units, which need not be those of the next
		}
		return next(1).wait(ctx, st, needed)
	}
	if !heard && p.holds() {
		p.mu.Unlock()
		return errHolds
	}
	if p.parent != nil || len(p.units) > 1 {
		s = p.complete(ctx, s)
	}
	if ctx.Err() != nil || p.sleeper == nil || p.parent != nil || len(p.schedule.rules) > 0 { // unfit costs more than a free slot should
		if err := p.unfit(ctx, s); err != nil {
			p.mu.Unlock()
			return err
		}
	}
	// Read under the lock: a reading from before the wait for it would be stale
	// and could date a start before the one that preceded it.
	now := p.clock.Now()
	flows := p.states.state == StateFlowing // then without the detour by ask
	if p.queue.len == 0 && (p.tree != nil && p.free(&waiter{pacer: p, ctx: ctx, slot: s, heard: heard, arrived: now}, now) ||
		p.tree == nil && (flows && p.askLimits(s, now).Now(now) || !flows && p.askHeld(s, heard, now).Now(now))) {
		if p.tree != nil {
			p.refresh(now)
			p.refuseBehind(now)
		}
		if !heard {
			p.mu.Unlock()
			return nil // nobody will say anything of it
		}
		var call time.Duration
		if p.states.after > 0 || p.parent != nil { // what the caller says of it matters to outages alone
			call = p.arrival(ctx, now)
		} else {
			call = p.comes(now)
		}
		p.startOf(st, s, call, now, now)
		p.mu.Unlock()
		return nil
	}
	w, err := p.enqueue(ctx, s, heard, now)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.await(ctx, st, w)
}

// await sees w through the queue: it waits for its turn, then keeps time for the
// slot, then takes it.
func (p *Pacer) await(ctx context.Context, st *start, w *waiter) error {
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
		answer, leads := p.turnFor(w, now)
		if leads || p.tree != nil { // others may have taken its time away
			if answer.Now(now) {
				if now-max(answer.At, w.joined, p.lastFreed()) > p.tolerance {
					p.late++
				}
				p.startOf(st, w.slot, w.arrived, w.joined, now)
				p.leave(w)
				if p.tree != nil {
					p.refuseBehind(now)
				}
				p.mu.Unlock()
				return nil
			}
			if answer.Err != nil {
				p.rejected++
				p.leave(w)
				p.mu.Unlock()
				return answer.Err
			}
			soonest := answer.At
			if answer.Again {
				soonest = p.soonest(w, now)
			}
			if err := p.refusal(w, soonest, now); err != nil {
				p.leave(w)
				p.mu.Unlock()
				return err
			}
		}
		if (leads || w == p.queue.head) && now >= p.expires {
			if p.refuseTooLate(now); w.refused != nil {
				p.mu.Unlock()
				return w.refused
			}
		}
		if now >= w.latest && (leads || !p.moves(now)) {
			err := p.refuse(ErrMaxWait, p.predict(w, now)-now)
			p.leave(w)
			p.mu.Unlock()
			return err
		}
		until := answer.At
		heads := p.tree != nil && w == p.queue.head // it keeps time, though another may stand for p
		if heads || p.states.state != StateFlowing {
			until = min(until, p.expires)
		}
		p.mu.Unlock()
		if (heads || leads) && until != forever {
			p.sleeper.Until(min(until, w.latest), ctx.Done(), w.wake)
		} else {
			left := w.latest - now
			if left <= 0 {
				left = time.Millisecond // for the head to move
			}
			w.sleep(ctx, left)
		}
	}
}

// estimate notes what a start costs, where anything but starts is counted. s is nil where it
// needs no slot but for that.
func (p *Pacer) estimate(ctx context.Context, s *Slot) *Slot {
	keys := p.keys.Load()
	for q := p.parent; q != nil && s == nil; q = q.parent {
		if q.keys.Load() != nil {
			s = new(Slot)
		}
	}
	if s == nil && keys != nil {
		s = new(Slot)
	}
	if keys != nil {
		s.estimate(ctx, *keys)
	}
	if p.parent != nil && s != nil {
		p.estimateUp(ctx, s)
	}
	return s
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
	return p.unaffordable(s)
}

// unaffordable returns an error where a start costs more than a limit ever allows, here or above.
func (p *Pacer) unaffordable(s *Slot) error {
	for q := p; q != nil; q = q.parent {
		if r := q.schedule.tooCostly(s.cost()); r != nil {
			err := p.refuse(ErrTooCostly, forever)
			err.cost, err.limit, err.unit = s.cost()[r.unit], r.most, q.units[r.unit]
			return err
		}
		if s != nil {
			s = s.up
		}
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
func (p *Pacer) ask(s *Slot, heard bool, now time.Duration) gate.Answer {
	if p.states.state != StateFlowing {
		return p.askHeld(s, heard, now)
	}
	return p.askLimits(s, now)
}

// askLimits is ask where no state holds anybody back.
func (p *Pacer) askLimits(s *Slot, now time.Duration) gate.Answer {
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
		p.lent = answer.Err
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

// startOf notes in st, if anybody wants to know, the start that was granted just now, and tells
// its slot.
func (p *Pacer) startOf(st *start, s *Slot, call, joined, now time.Duration) {
	for t := s; t != nil && t.pacer != nil; t = t.up {
		t.call, t.era = call, t.pacer.states.era
	}
	if st != nil {
		st.pacer, st.slot, st.call, st.joined, st.at = p, s, call, joined, now
		st.number, st.era = p.number(), p.states.era
	}
	if p.lent != nil {
		if s != nil {
			s.lent = p.lent
		}
		if st != nil {
			st.lent = p.lent
		}
	}
}

func (p *Pacer) enqueue(ctx context.Context, s *Slot, heard bool, now time.Duration) (*waiter, error) {
	p.advance(now)
	call := p.arrival(ctx, now)
	w := &waiter{
		pacer:    p,
		ctx:      ctx,
		slot:     s,
		heard:    heard,
		back:     p.stepsBack(call),
		arrived:  call,
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
	at := longAgo
	if ok || p.maxWait > 0 {
		at = p.predict(w, now)
	}
	if err := p.refusal(w, at, now); err != nil {
		return nil, err
	}
	p.queue.join(w)
	if expiry := p.expiry(w, now); expiry < p.expires {
		p.expires = expiry
		p.queue.head.notify() // to look earlier than it meant to
	}
	if p.tree != nil {
		p.joined(w)
		p.refresh(now)
	}
	if w != p.queue.tail && p.inPlace(heard) {
		p.refuseTooLate(now) // who stands behind it starts later now
	}
	return w, nil
}

// changed makes the head look again after something was given back or charged.
func (p *Pacer) changed(now time.Duration) {
	p.freed = now
	p.rouse()
}

// rouse makes the head ask again and, while a state may hold it, the first of the other kind.
func (p *Pacer) rouse() {
	if p.tree != nil {
		p.rouseTree(p.clock.Now())
		return
	}
	head := p.queue.head
	if head == nil {
		return
	}
	head.notify()
	if p.states.state != StateFlowing {
		if other := p.queue.firstOf(!head.heard); other != nil {
			other.notify()
		}
	}
}

// refuse counts a refusal.
func (p *Pacer) refuse(kind error, wait time.Duration) *Error {
	p.rejected++
	return &Error{kind: kind, wait: wait}
}

func (p *Pacer) leave(w *waiter) {
	p.queue.leave(w)
	if p.queue.len == 0 {
		p.schedule.plan.clear() // what was planned for a queue is wrong after idling
		p.expires = forever
	}
	if p.tree != nil {
		p.left(w)
		p.refresh(p.clock.Now())
	} else if p.states.state != StateFlowing {
		p.rouse()
	}
	if root := p.root(); root.remote != nil {
		root.remote.Left()
	}
}
