package pacer

import "time"

// All of this needs p.mu.

// predict returns when w, who need not have joined, will start, or a moment before which
// it will not where costs or flights make the future unknown.
func (p *Pacer) predict(w *waiter, now time.Duration) time.Duration {
	p.queue.ahead(w, p.ahead)
	return p.predictBehind(p.ahead, w, now)
}

// predictBehind is predict for one who has so much ahead.
func (p *Pacer) predictBehind(ahead []int, w *waiter, now time.Duration) time.Duration {
	if p.parent == nil {
		return p.predictHere(ahead, w, now)
	}
	return max(p.predictHere(ahead, w, now), p.boundAbove(ahead[0], w, now))
}

// predictHere is predictBehind as far as p's own limits go.
func (p *Pacer) predictHere(ahead []int, w *waiter, now time.Duration) time.Duration {
	s := w.slot
	if !p.inPlace(w.heard) {
		return p.bound(p.none, s.cost(), now)
	}
	if p.tree == nil && p.remote == nil && len(p.schedule.rules) == 0 && p.flights.max == 0 && !p.learned.countsCosts() {
		return p.schedule.planned(ahead[0], now, p.learned)
	}
	return p.bound(ahead, s.cost(), now)
}

// inPlace reports whether those of a kind start in the order of their places. They do not where
// a state, here or above, lets only some pass.
func (p *Pacer) inPlace(heard bool) bool {
	for q := p; q != nil; q = q.parent {
		switch q.states.state {
		case StateFlowing:
			continue
		case StatePaused:
			if !p.queue.root.has(!heard) {
				continue
			}
		case StateProbing:
			if !heard && !q.states.told && !p.queue.root.has(true) {
				continue // these it holds back in nothing
			}
		}
		return false
	}
	return true
}

// bound returns a moment before which nobody starts at these costs who has so much ahead.
func (p *Pacer) bound(ahead, costs []int, now time.Duration) time.Duration {
	from := now
	for q := p; q != nil; q = q.parent {
		from = max(from, q.states.bound(), q.learned.held())
	}
	return max(p.gate().Bound(from, ahead, costs), p.learned.due(ahead, costs))
}

// soonest returns a moment before which w does not start, though nobody is ahead.
func (p *Pacer) soonest(w *waiter, now time.Duration) time.Duration {
	return max(p.bound(p.none, w.slot.cost(), now), p.boundAbove(0, w, now))
}

// moves reports whether the head is about to start, so that those behind it may still
// start in time though their time is up.
func (p *Pacer) moves(now time.Duration) bool {
	if p.tree != nil {
		return p.movesUp(now)
	}
	head := p.queue.head
	return p.remote == nil && !p.flights.full() && max(p.states.due(head.heard), p.due(head.slot)) <= now
}

// movesUp is moves in a tree: whether whoever goes first at the root is about to start, while w's
// pacer and those between have room too.
func (p *Pacer) movesUp(now time.Duration) bool {
	root := p.root()
	for q := p; q != root; q = q.parent {
		if q.ready(now) == nil {
			return false
		}
	}
	return root.remote == nil && root.ready(now) != nil
}

// due returns when a start may happen, though nobody is ahead and neither a flight nor a state
// is in the way.
func (p *Pacer) due(s *Slot) time.Duration {
	if p.remote != nil {
		return max(p.remote.Bound(longAgo, p.none, s.cost()), p.learned.due(nil, s.cost()))
	}
	return max(p.schedule.due(s.cost()), p.learned.due(nil, s.cost()))
}

// held reports whether a pause or an outage, here or above, may hold those who wait.
func (p *Pacer) held(now time.Duration) bool {
	for q := p; q != nil; q = q.parent {
		if q.states.state != StateFlowing || q.learned.pausedUntil() > now {
			return true
		}
	}
	return false
}

// refuseTooLate refuses those who wait and now would start too late, or are held for too long.
// Where even the last of several would not, it does not look at each, unless a pause or an
// outage may hold them.
func (p *Pacer) refuseTooLate(now time.Duration) {
	p.each(func(q *Pacer) { q.refuseLate(now) })
}

// refuseLate is refuseTooLate for p's own callers.
func (p *Pacer) refuseLate(now time.Duration) {
	p.advance(now)
	was := p.expires
	p.expires = forever
	each := p.held(now)
	var late []*waiter
	staying := 0
	clear(p.ahead)
	inTime := func(t *waiter) bool {
		if each {
			return false
		}
		if t.ends != forever {
			copy(p.behind, p.ahead)
			t.addTo(p.behind)
			p.behind[0] = staying + t.size - 1
			if p.predictBehind(p.behind, t, now) >= t.ends {
				return false
			}
		}
		staying += t.size
		t.addTo(p.ahead)
		p.ahead[0] = staying
		return true
	}
	p.queue.each(inTime, func(w *waiter) {
		at := longAgo
		if w.deadline != forever || w.latest != forever {
			at = p.predictBehind(p.ahead, w, now)
		}
		if err := p.refusal(w, at, now); err != nil {
			w.refused = err
			late = append(late, w)
			return
		}
		p.expires = min(p.expires, p.expiry(w, now))
		staying++
		w.slot.addTo(p.ahead)
		p.ahead[0] = staying
	})
	for _, w := range late {
		p.leave(w)
		w.notify()
	}
	if head := p.queue.head; head != nil && p.expires < was {
		head.notify() // to look earlier than it meant to
	}
}
