package pacer

import (
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// What states mean for those who wait. All of this needs p.mu, but where it takes it.

// Resume ends a pause, whoever began it, and the probing after it, an outage, and the wait for
// the reset of a quota of which a server said that nothing is left. Callers then start as the
// limits allow. What servers answer to requests that started before pauses nobody anew, unless
// it tells of a quota.
func (p *Pacer) Resume() {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		next(0).Resume()
		return
	}
	defer p.mu.Unlock()
	if p.sleeper == nil {
		return
	}
	now := p.clock.Now()
	p.turn(now, func() {
		p.gate().Resume()
		p.learned.resume()
		p.states.resume()
	})
}

// askHeld is ask while a state may hold back who asks.
func (p *Pacer) askHeld(s *Slot, heard bool, now time.Duration) gate.Answer {
	p.pass(now)
	due := p.states.due(heard)
	if due > now {
		return gate.Answer{At: due, Again: true}
	}
	answer := p.askLimits(s, now)
	switch {
	case answer.Now(now):
		answer.At = max(answer.At, due)
		p.states.started(now, p.number(), heard)
	case answer.At < forever: // else a remote gate does not know yet what holds it
		p.states.limited()
	}
	if p.states.state == StateFlowing || p.states.probed == now {
		p.expires = longAgo // by place those who wait can be told now whether they start in time, or a probe holds them
	}
	return answer
}

// leads reports whether w, who need not have joined, is to ask and keep time: the head, and
// while a state lets only callers of the other kind pass, the first of those.
func (p *Pacer) leads(w *waiter, now time.Duration) bool {
	head := p.queue.head
	switch {
	case head == nil, head == w, w.before(head):
		return true
	case p.states.state == StateFlowing, head.heard == w.heard:
		return false
	}
	p.pass(now)
	first := p.queue.firstOf(w.heard)
	return (first == nil || first == w || w.before(first)) && p.states.due(head.heard) > now
}

// turn lets something happen to the states, and draws the conclusions for those who wait. It
// reports whether a pause began, or ends later now.
func (p *Pacer) turn(now time.Duration, event func()) (paused bool) {
	p.pass(now)
	was := p.states
	event()
	is := &p.states
	p.calm.Store(is.idle())
	if p.remote != nil && was.state == StateProbing && is.flying < was.flying && is.state != StatePaused {
		p.remote.Probed(is.worked > was.worked || is.state == StateFlowing)
	}
	if is.row == 0 {
		p.failures.clear()
	}
	if is.state == was.state && is.era == was.era && is.until == was.until {
		if is.flying != was.flying {
			p.changed(now)
		}
		return false
	}
	if is.state == StateDown || was.state == StateDown {
		p.each(func(q *Pacer) { q.queue.reorder(q.stepsBack) })
	}
	if paused = is.state == StatePaused; paused {
		p.gate().Pause(is.until, is.told)
	}
	p.schedule.plan.clear()
	if is.state != StateProbing {
		p.refuseTooLate(now) // also when flowing again: by place they can be told now
	}
	if p.tree != nil {
		p.rouseBelow()
	}
	p.changed(now)
	return paused
}

// stepsBack returns how often a call has failed: while down it lets those go first that have
// less often, or the oldest would use up their attempts as probes.
func (p *Pacer) stepsBack(call time.Duration) (failures int) {
	for q := p; q != nil; q = q.parent {
		if q.states.state == StateDown {
			failures = max(failures, q.failures.of(call))
		}
	}
	return failures
}

// refusal returns why w, who would start at a time, or not before it, cannot be let wait; nil
// if it can.
func (p *Pacer) refusal(w *waiter, at, now time.Duration) error {
	for q := p; q != nil; q = q.parent {
		if q.states.state == StateDown && now >= q.mayHold(w, p.maxPause, now) {
			return p.refuse(ErrDown, max(q.states.next-now, time.Millisecond))
		}
	}
	if kind := w.misses(at); kind != nil {
		return p.refuse(kind, at-now)
	}
	for q := p; q != nil; q = q.parent {
		switch expiry := q.mayHold(w, p.maxPause, now); {
		case q.states.state == StatePaused && q.states.until > expiry:
			return p.refuse(ErrPaused, p.resumesAt()-now)
		case q.states.state == StateProbing && now >= expiry:
			return p.refuse(ErrPaused, max(q.states.due(w.heard), p.due(w.slot), add(now, time.Millisecond))-now)
		}
		if q.learned == nil {
			continue
		}
		if reset := q.learned.usedUp(w.slotAt(q).cost(), now); reset > now && reset > add(add(max(w.joined, q.learned.since), p.maxPause), sameReset) {
			return p.refuse(ErrPaused, reset-now)
		}
	}
	return nil
}

// resumesAt returns when the last of the pauses, here and above, is over.
func (p *Pacer) resumesAt() (at time.Duration) {
	for q := p; q != nil; q = q.parent {
		if q.states.state == StatePaused {
			at = max(at, q.states.until)
		}
	}
	return at
}

// expiry returns until when a state, here or above, may hold w.
func (p *Pacer) expiry(w *waiter, now time.Duration) time.Duration {
	expiry := forever
	for q := p; q != nil; q = q.parent {
		expiry = min(expiry, q.mayHold(w, p.maxPause, now))
	}
	return expiry
}

// mayHold returns until when p's own state may hold w, whose pacer has a MaxPause.
func (p *Pacer) mayHold(w *waiter, maxPause, now time.Duration) time.Duration {
	switch {
	case p.states.state == StateFlowing, p.states.state == StateProbing && w.heard && p.states.probed == longAgo:
		return forever // a limit may hold the first probe, for however long
	case p.states.state != StateDown:
		expiry := add(max(w.joined, p.states.since), maxPause)
		if p.states.state == StateProbing { // else a pause of MaxPause would refuse all but the probe
			expiry = max(expiry, add(max(p.states.until, p.states.probed), min(maxPause, outagePatience)))
			if p.dueFor(w.slotAt(p), w.heard, now) <= now { // what holds w now is a pacer below, or above
				expiry = max(expiry, add(now, maxPause))
			}
		}
		return expiry
	case p.refuses:
		return longAgo
	default:
		return add(p.states.since, maxPause)
	}
}

// heed takes in how a start went, as far as states are concerned.
func (p *Pacer) heed(now time.Duration, o *Outcome, of *start) (paused bool) {
	return p.turn(now, func() {
		switch {
		case o.Throttled:
			p.states.refused(now, of.era, o.Delay)
		case o.Failed:
			// What failed before an outage began counts for nothing, but has been tried.
			noted := p.states.after > 0 && (of.era == p.states.era || p.states.state == StateDown)
			p.states.broke(now, of.era, of.number, noted && p.failures.add(of.call))
		default:
			p.states.didWork(now, of.era, of.number)
		}
	})
}

// told is heed for an outcome of a start of the same key, made on another pacer. It returns
// the end of the pause if it began or lengthened one.
func (p *Pacer) told(o *Outcome) (pausedUntil time.Time) {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next(0).told(o)
	}
	defer p.mu.Unlock()
	p = p.speaker()
	if p.sleeper == nil {
		return time.Time{}
	}
	now := p.clock.Now()
	was := max(now, p.pausedUntil())
	p.turn(now, func() {
		if o.Throttled {
			p.states.refused(now, p.states.era, o.Delay)
		}
		if reset := o.usedUp(); reset > 0 {
			p.states.pause(now, add(now, reset), true)
		}
	})
	return ifLater(was, p.pausedUntil(), now)
}

// pausedUntil returns the end of the pause, or of a quota that is used up; it may lie in the
// past.
func (p *Pacer) pausedUntil() time.Duration {
	until := p.learned.pausedUntil()
	if p.states.state == StatePaused {
		until = max(until, p.states.until)
	}
	return until
}

// ifLater returns when until is, if it is later than was.
func ifLater(was, until, now time.Duration) time.Time {
	if until <= was {
		return time.Time{}
	}
	return time.Now().Add(until - now)
}
