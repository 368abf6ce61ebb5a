package pacer

import (
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/quota"
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
	pacer *Pacer
	at    time.Duration // the start

	// Guarded by the pacer's mu.
	costs    []int    // what it costs now, by unit; nil until the start where only starts are counted
	few      [2]int   // costs, where there are no more units
	further  []charge // what it was settled to beyond its first costs, oldest first
	uncosted uint32   // a bit for each unit that the caller did not know the cost in
	ended    bool     // by Done or Cancel
	canceled bool

	flights      int // how many there were with it when it started; not guarded
	inFlight     bool
	older, newer *Slot // in flight
}

// A charge is a cost that counts from a moment after the start.
type charge struct {
	at         time.Duration
	unit, cost int
}

// An Outcome is how a request went. The zero Outcome says that it worked.
type Outcome struct {
	Failed    bool          // the service did not do its work
	Throttled bool          // it refused for its quota's sake; wins over Failed
	Delay     time.Duration // that it asked for; 0 means that it said nothing
	Quotas    []quota.State // what it said is left
}

// Report says how the request went, as soon as that is known: for HTTP when the headers
// are here. One that was Throttled with a Delay pauses the pacer for so long, as
// [Pacer.PauseUntil] does. Any other Outcome changes nothing, and nothing is meant by a
// slot without a report.
//
// Report returns the end of the pause if it began or lengthened one, and the zero Time
// otherwise. A slot that was canceled reports nothing.
func (s *Slot) Report(o Outcome) (pausedUntil time.Time) {
	if s == nil || s.pacer == nil || !o.Throttled || o.Delay <= 0 {
		return time.Time{}
	}
	s.pacer.mu.Lock()
	canceled := s.canceled
	s.pacer.mu.Unlock()
	if canceled {
		return time.Time{}
	}
	until := time.Now().Add(o.Delay)
	changed := s.pacer.pause(until)
	for _, p := range s.elsewhere() {
		changed = p.pause(until) || changed
	}
	if !changed {
		return time.Time{}
	}
	return until
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
// any more. So it does for a unit that no limit counts in, for a negative cost and for a
// slot that was canceled; nothing changes then.
func (s *Slot) Settle(unit string, cost int) bool {
	if s == nil || s.pacer == nil || cost < 0 {
		return false
	}
	settled, more := s.settle(unit, cost)
	if more > 0 {
		for _, p := range s.elsewhere() {
			p.charge(unit, more)
		}
	}
	return settled
}

// settle is Settle with s's own pacer. It returns how much more than before s costs there.
func (s *Slot) settle(unit string, cost int) (settled bool, more int) {
	p := s.pacer
	p.mu.Lock()
	defer p.mu.Unlock()
	u := slices.Index(p.units, unit)
	if u < 0 || s.canceled || !p.schedule.counts(u) {
		return false, 0
	}
	now := p.clock.Now()
	more = cost - s.costs[u]
	switch {
	case more > 0:
		p.gate().Charge(now, u, more)
		s.further = append(s.further, charge{now, u, more})
		s.costs[u] = cost
		p.refuseTooLate(now)
	case more < 0 && !s.giveBack(u, -more, now):
		return false, 0
	}
	p.changed(now)
	return true, more
}

// elsewhere returns the pacers that callers of s's key may be on by now, besides its own.
func (s *Slot) elsewhere() []*Pacer {
	s.pacer.mu.Lock()
	next, heirs := s.pacer.successor, s.pacer.heirs
	s.pacer.mu.Unlock()
	switch {
	case next != nil:
		return []*Pacer{next(0)}
	case heirs != nil:
		return heirs(s.at)
	default:
		return nil
	}
}

// Refund settles to 0 what the start cost in every unit but "": nothing came of it, as where
// no connection was to be had. That it was a start still counts, so that failing fast does
// not mean to start without end.
func (s *Slot) Refund() {
	if s == nil || s.pacer == nil {
		return
	}
	for _, unit := range s.pacer.units[1:] {
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
	p := s.pacer
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.ended {
		return
	}
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
	}
	p.changed(now)
}

// Costs returns what the start counts as now, by unit, starts themselves left out: what its
// context said, or what it was settled to. It is nil where no limit counts costs, and for a
// slot that was canceled.
func (s *Slot) Costs() map[string]int {
	if s == nil || s.pacer == nil || len(s.pacer.units) == 1 {
		return nil
	}
	p := s.pacer
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.canceled {
		return nil
	}
	costs := make(map[string]int, len(s.costs)-1)
	for u, cost := range s.costs[1:] {
		costs[p.units[u+1]] = cost
	}
	return costs
}

// InFlight returns how many slots were not Done when this one was granted, itself included.
// It is 0 where flights are not bounded.
func (s *Slot) InFlight() int {
	if s == nil {
		return 0
	}
	return s.flights
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
	s.pacer, s.at = p, now
	if s.costs == nil {
		s.few[0] = 1
		s.costs = s.few[:1]
	}
	for u := range s.costs {
		if s.uncosted&(1<<u) != 0 {
			p.uncosted[u]++
		}
	}
	p.flights.begin(s)
}

// giveBack makes s cost less, what was charged last first. If nothing of that counts any more
// it returns false, and s costs what it did: which part was charged when matters no more.
func (s *Slot) giveBack(unit, less int, now time.Duration) bool {
	gate, first, rest, some := s.pacer.gate(), s.costs[unit], less, false
	for _, c := range s.further {
		if c.unit == unit {
			first -= c.cost
		}
	}
	for i := len(s.further) - 1; i >= 0 && rest > 0; i-- {
		c := &s.further[i]
		if c.unit != unit || c.cost == 0 {
			continue
		}
		part := min(rest, c.cost)
		some = gate.Settle(now, c.at, unit, c.cost, c.cost-part) || some
		c.cost -= part
		rest -= part
	}
	if rest > 0 {
		some = gate.Settle(now, s.at, unit, first, first-rest) || some
	}
	for n := len(s.further); n > 0 && s.further[n-1].cost == 0; n-- {
		s.further = s.further[:n-1]
	}
	if some {
		s.costs[unit] -= less
	}
	return some
}
