package pacer

import "time"

// All of this needs p.mu.

// predict returns when w, who need not have joined, will start, or a moment before which
// it will not where costs or flights make the future unknown.
func (p *Pacer) predict(w *waiter, now time.Duration) time.Duration {
	p.queue.ahead(w, p.ahead)
	return p.predictBehind(p.ahead, w.slot, now)
}

// predictBehind is predict for one who has so much ahead.
func (p *Pacer) predictBehind(ahead []int, s *Slot, now time.Duration) time.Duration {
	if p.remote == nil && len(p.schedule.rules) == 0 && p.flights.max == 0 {
		return p.schedule.planned(ahead[0], now, p.learned)
	}
	return p.bound(ahead, s, now)
}

// bound returns a moment before which nobody starts who has so much ahead.
func (p *Pacer) bound(ahead []int, s *Slot, now time.Duration) time.Duration {
	from := max(now, p.learned.held())
	return max(p.gate().Bound(from, ahead, s.cost()), p.learned.due(ahead, s.cost()))
}

// soonest returns a moment before which nobody starts, though nobody is ahead.
func (p *Pacer) soonest(s *Slot, now time.Duration) time.Duration {
	clear(p.ahead)
	return p.bound(p.ahead, s, now)
}

// moves reports whether the head is about to start, so that those behind it may still
// start in time though their time is up.
func (p *Pacer) moves(now time.Duration) bool {
	return p.remote == nil && !p.flights.full() && p.due(p.queue.head.slot) <= now
}

// due returns when a start may happen, though nobody is ahead and no flight is in the way.
func (p *Pacer) due(s *Slot) time.Duration {
	return max(p.schedule.due(s.cost()), p.learned.due(nil, s.cost()))
}

// refuseTooLate refuses those who wait and now would start too late. Where even the last of
// several would not, it does not look at each.
func (p *Pacer) refuseTooLate(now time.Duration) {
	var late []*waiter
	staying := 0
	clear(p.ahead)
	inTime := func(t *waiter) bool {
		if t.ends != forever {
			copy(p.behind, p.ahead)
			t.addTo(p.behind)
			p.behind[0] = staying + t.size - 1
			if p.predictBehind(p.behind, t.slot, now) >= t.ends {
				return false
			}
		}
		staying += t.size
		t.addTo(p.ahead)
		p.ahead[0] = staying
		return true
	}
	p.queue.each(inTime, func(w *waiter) {
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
