package pacer

import (
	"slices"
	"time"
)

// A Slot is a start that [Pacer.Acquire] or [Pacer.TryAcquire] granted. Whoever holds it
// may say how the request went, what it really cost, and when it was over:
//
//	slot, err := p.Acquire(ctx)
//	defer slot.Done()
//	if err != nil {
//		return err
//	}
//
// Nothing of this must be said, but where Config.MaxInFlight is set a slot that is never
// Done is lost to all others; Stats.OldestInFlight shows it.
//
// Methods on a nil or zero *Slot do nothing, so that Done may be deferred before the
// error is looked at. They are safe for concurrent use.
type Slot struct {
	pacer  *Pacer
	up     *Slot         // the same start as the pacer's parent counts it
	at     time.Duration // the start
	number int64         // of the start: Pacer.number with it
	call   time.Duration // when the call came
	era    uint32        // of the states

	// Guarded by the pacer's mu.
	costs    []int    // what it costs now, by unit; nil until the start where only starts are counted
	few      [3]int   // costs and totals, where there are no more than two units
	further  []charge // what it was settled to beyond its first costs, oldest first
	uncosted uint32   // a bit for each unit that the caller did not know the cost in
	notIn    uint16   // a bit for each learned quota that it does not count in
	reported bool     // how it went
	answered bool     // with what servers say of quotas
	ended    bool     // by Done or Cancel
	canceled bool
	inFlight bool

	older, newer *Slot // in flight

	// Not guarded: it is as it was when the slot was granted.
	flights int   // how many there were with it
	lent    error // why a fallback let it start; nil where none did
}

// A charge is a cost that counts from a moment after the start.
type charge struct {
	at         time.Duration
	number     int64 // between those of the starts before and after it
	unit, cost int
}

// Settle says what the start really cost in a unit; "" counts as how many starts it
// counts. It may be called before and after Done, and again.
//
// To settle to less makes room in the start's own place in time, as if it had never cost
// more. To settle to more counts the excess from now; settled to less again, what was
// charged last goes first. The cost may be more than the limit: then others wait until
// it has left, and whose deadline that takes is refused at once. Further starts are not spaced by an even limit, and beyond 1,048,576 not
// counted.
//
// Settle returns false if it comes too late: what would be given back counts in no limit
// or quota any more. So it does for a unit that none counts in, for a negative cost and for a
// slot that was canceled; nothing changes then.
func (s *Slot) Settle(unit string, cost int) bool {
	if s == nil || s.pacer == nil || cost < 0 {
		return false
	}
	settled, more := s.settle(unit, cost)
	if more > 0 {
		for _, p := range s.pacer.elsewhere(s.at) {
			p.charge(unit, more)
		}
	}
	return settled
}

// settle is Settle with s's own pacer and those above. It returns how much more than before s
// costs in its own.
func (s *Slot) settle(unit string, cost int) (settled bool, more int) {
	s.pacer.mu.Lock()
	defer s.pacer.mu.Unlock()
	settled, more = s.settleHere(unit, cost)
	for t := s.up; t != nil; t = t.up {
		above, _ := t.settleHere(unit, cost)
		settled = settled || above
	}
	return settled, more
}

// settleHere is settle with s's own pacer alone. It needs the pacer's mu.
func (s *Slot) settleHere(unit string, cost int) (settled bool, more int) {
	p := s.pacer
	u := slices.Index(p.units, unit)
	if u < 0 || u >= len(s.costs) || s.canceled || !p.counts(u) {
		return false, 0
	}
	now := p.clock.Now()
	more = cost - s.costs[u]
	switch {
	case more > 0:
		s.charge(u, more, now)
		p.refuseLater(now)
	case more < 0 && !s.giveBack(u, -more, now):
		return false, 0
	}
	p.changed(now)
	return true, more
}

// Refund settles to 0 what the start cost in every unit but "": nothing came of it, as where
// no connection was to be had. That it was a start still counts, so that failing fast does
// not mean to start without end.
func (s *Slot) Refund() {
	if s == nil || s.pacer == nil {
		return
	}
	var units []string
	s.pacer.mu.Lock()
	for t := s; t != nil; t = t.up {
		units = append(units, t.pacer.units[1:]...)
	}
	s.pacer.mu.Unlock()
	for _, unit := range units {
		s.Settle(unit, 0)
	}
}

// Done says that the request is over: for HTTP at the end of the body. It frees the
// start's place among Config.MaxInFlight. Of Done and Cancel the first counts.
func (s *Slot) Done() { s.end(false) }

// Cancel says that nothing was sent. The start is forgotten, with all that it was
// settled to: limits count it no more, and if no other has started since, the next slot
// of an even limit is again the one that it took. Stats.Granted goes down by one. After
// Done it does nothing.
func (s *Slot) Cancel() { s.end(true) }

func (s *Slot) end(canceled bool) {
	if s == nil || s.pacer == nil {
		return
	}
	s.pacer.mu.Lock()
	defer s.pacer.mu.Unlock()
	if s.ended {
		return
	}
	for ; s != nil; s = s.up {
		s.endHere(canceled)
	}
}

// endHere ends s in its own pacer alone. It needs the pacer's mu.
func (s *Slot) endHere(canceled bool) {
	p := s.pacer
	s.ended, s.canceled = true, canceled
	freed := p.flights.end(s)
	if !canceled && !freed {
		return
	}
	now := p.clock.Now()
	if canceled {
		p.revoked++
		for u, cost := range s.costs {
			s.giveBack(u, cost, now)
		}
		p.turn(now, func() { p.states.forget(now, s.number) })
	}
	p.changed(now)
}

// Came returns when the call did that the start is of, a moment that no other call of the pacer
// has: a retry with it in [WithArrival] is of the same call. It is the zero Time for a nil or
// zero Slot.
func (s *Slot) Came() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.start().came()
}

// Costs returns what the start counts as now, by unit, starts themselves left out: what its
// context said, or what it was settled to. In a tree of pacers these are the units of all that
// it is a start of. It is nil where no limit counts costs, and for a slot that was canceled.
func (s *Slot) Costs() map[string]int {
	if s == nil || s.pacer == nil {
		return nil
	}
	p := s.pacer
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.canceled {
		return nil
	}
	var costs map[string]int
	for t := s; t != nil; t = t.up {
		for u, cost := range t.costs[1:] {
			unit := t.pacer.units[u+1]
			if _, nearer := costs[unit]; nearer {
				continue // it may have settled what comes too late above
			}
			if costs == nil {
				costs = make(map[string]int)
			}
			costs[unit] = cost
		}
	}
	return costs
}

// InFlight returns how many slots were not Done when this one was granted, itself included: of
// the pacer that granted it or, where it does not bound flights, of the nearest above that does.
// It is 0 where none does.
func (s *Slot) InFlight() int {
	for ; s != nil; s = s.up {
		if s.flights > 0 {
			return s.flights
		}
	}
	return 0
}

// Fallback returns why the limits that the pacer, or one above it, shares with other processes
// could not be reached, where that pacer's fallback let the start happen instead: for package
// redispacer that is Config.Fallback. It is nil for any other start.
func (s *Slot) Fallback() error {
	if s == nil {
		return nil
	}
	return s.lent
}

// cost returns what s costs by unit.
func (s *Slot) cost() []int {
	if s == nil || s.costs == nil {
		return oneStart
	}
	return s.costs
}

// The methods below need the pacer's mu.

// begin makes s the slot of a start at now.
func (s *Slot) begin(p *Pacer, now time.Duration) {
	s.pacer, s.at, s.number = p, now, p.number()
	if s.costs == nil {
		s.few[0] = 1
		s.costs = s.few[:1]
	}
	for u := 1; u < len(s.costs); u++ {
		if s.uncosted&(1<<u) != 0 {
			p.uncosted[u]++
		}
		p.totals[u] += uint64(s.costs[u])
		s.totals()[u-1] = int(p.totals[u])
	}
	p.flights.begin(s)
}

// totals are Pacer.totals with s, by unit without the first; they stand behind its costs.
func (s *Slot) totals() []int { return s.costs[len(s.costs) : 2*len(s.costs)-1] }

// charge makes s cost more, as of now.
func (s *Slot) charge(unit, more int, now time.Duration) {
	c := charge{now, s.pacer.number() + 1, unit, more}
	s.costs[unit] += more
	s.further = append(s.further, c)
	s.pacer.further(unit, more, now)
	s.pacer.take(now, taken{c.number, unit, counted(unit, more), s.notIn, true, true})
}

// first returns what s costs without what it was charged later.
func (s *Slot) first(unit int) int {
	first := s.costs[unit]
	for _, c := range s.further {
		if c.unit == unit {
			first -= c.cost
		}
	}
	return first
}

// giveBack makes s cost less, what was charged last first. If nothing of that counts any more
// it returns false and changes nothing, unless s is to be forgotten.
func (s *Slot) giveBack(unit, less int, now time.Duration) bool {
	p, some := s.pacer, s.canceled
	s.last(unit, less, func(_ int, c charge, part int) {
		some = p.gate().Settle(now, c.at, unit, c.cost, c.cost-part) || some
		some = p.learned.counts(now, s.taken(c, part)) || some
	})
	if !some {
		return false
	}
	s.last(unit, less, func(i int, c charge, part int) {
		p.take(now, s.taken(c, part))
		if i >= 0 {
			s.further[i].cost -= part
		}
	})
	s.costs[unit] -= less
	for n := len(s.further); n > 0 && s.further[n-1].cost == 0; n-- {
		s.further = s.further[:n-1]
	}
	return true
}

// last calls f for each part of what s was charged last, which is so much together. The start
// itself has the place -1 in further.
func (s *Slot) last(unit, cost int, f func(i int, c charge, part int)) {
	first := charge{s.at, s.number, unit, s.first(unit)}
	for i := len(s.further) - 1; i >= 0 && cost > 0; i-- {
		if c := s.further[i]; c.unit == unit && c.cost > 0 {
			part := min(cost, c.cost)
			f(i, c, part)
			cost -= part
		}
	}
	if cost > 0 {
		f(-1, first, cost)
	}
}

// taken is a part of what s was charged, that is given back.
func (s *Slot) taken(c charge, part int) taken {
	less := counted(c.unit, c.cost) - counted(c.unit, c.cost-part)
	return taken{c.number, c.unit, less, ^s.notIn, true, !s.answered}
}

// counted returns how much of a cost is counted towards what a server says is left. More
// starts than windows count are too many for any quota.
func counted(unit, cost int) uint64 {
	if unit == 0 {
		return uint64(min(cost, maxFurther))
	}
	return uint64(cost)
}
