package pacer

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// SetLimits changes Config.Limits while callers wait and requests are under way. It may be
// called at any time, from anywhere. Queue, flights, pause, Config.Margin and what servers said
// of their quotas stay; limits that stay go on as if nothing had happened, and equal ones
// change nothing, not even the next slot of an even limit.
//
// What has started counts in a new limit as far back as one before it had to remember, and
// no further: a window, or an even limit with an interval more, its Period; a bucket what has
// not flowed back. So no window of the new Period holds more than the new Calls or Cost,
// of these starts and those to come; where more have started already, the next waits until
// enough of them are a Period old. The starts of an even limit go on an interval after the last.
// In a bucket that takes the place of another of its unit, which is the first there that has
// changed as well, what is drawn stays drawn, though it be more than the new one holds, and
// flows back at the new rate from now on. To take a limit away and set it again forgets what it
// counted.
//
// A unit that is new begins empty. Those who wait cost in it what their contexts say, and a
// start under way has no cost there: [Slot.Settle] answers false.
//
// Whoever waits is judged anew: one who may start now does, one whose call costs more
// than its limit gets [ErrTooCostly], and one whose deadline or Config.MaxWait can no longer be
// kept is refused at once, as by [Pacer.Wait].
//
// The limits are checked as by [New], and may be none only where Config.MaxInFlight or
// Config.Parent is set. The units of earlier limits count towards the 16. On an error nothing changes. A pacer
// that a [Keyed] has forgotten hands them on to the key's current one; to change all of a
// Keyed see [Keyed.All].
func (p *Pacer) SetLimits(limits ...Limit) error {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next(0).SetLimits(limits...)
	}
	defer p.mu.Unlock()
	if p.sleeper == nil {
		return errNoLimits
	}
	units := slices.Clone(p.units)
	for _, l := range limits {
		if !slices.Contains(units, l.Unit) {
			units = append(units, l.Unit)
		}
	}
	if err := p.allows(limits, units); err != nil || slices.Equal(limits, p.limits) {
		return err
	}
	if p.remote != nil {
		if err := p.remote.Limit(beyond(limits), units); err != nil {
			return err
		}
	}
	now := p.clock.Now()
	p.schedule = p.schedule.under(p.limits, limits, units, p.margin, now)
	p.limits, p.tolerance = slices.Clone(limits), p.schedule.tolerance()
	p.states.under(limits)
	if p.speaker() == p {
		p.states.deaf = false
	} else {
		p.turn(now, p.states.deafen)
	}
	if len(units) > len(p.units) {
		p.count(units)
		p.countWaiting()
	}
	p.refuseTooCostly()
	p.refuseTooLate(now)
	p.changed(now)
	return nil
}

// complete is estimate for units that were added since. It needs p.mu.
func (p *Pacer) complete(ctx context.Context, s *Slot) *Slot {
	for q, t := p, s; q != nil; q = q.parent {
		if len(t.cost()) < len(q.units) {
			return p.estimate(ctx, s)
		}
		if t != nil {
			t = t.up
		}
	}
	return s
}

// The methods below need p.mu.

// allows returns what is wrong with limits, which with all earlier ones count in units.
func (p *Pacer) allows(limits []Limit, units []string) error {
	var errs []error
	if len(limits) == 0 && p.flights.max == 0 && p.parent == nil {
		errs = append(errs, errors.New("pacer: SetLimits: limits is empty, must hold at least one Limit where MaxInFlight is 0 and Parent is nil"))
	}
	for i, l := range limits {
		errs = append(errs, l.problems(fmt.Sprintf("pacer: SetLimits: limits[%d].", i))...)
	}
	if n := len(units) - 1; n > maxUnits {
		errs = append(errs, fmt.Errorf("pacer: SetLimits: limits, with those before, count in %d units, must be at most %d", n, maxUnits))
	}
	return errors.Join(errs...)
}

// count counts in units, which begin with those counted in so far.
func (p *Pacer) count(units []string) {
	if len(units) > 1 {
		keys := costKeys(units)
		p.keys.Store(&keys)
	}
	more := len(units) - len(p.units)
	p.units = units
	p.uncosted, p.totals = append(p.uncosted, make([]uint64, more)...), append(p.totals, make([]uint64, more)...)
	p.ahead, p.behind, p.none = make([]int, len(units)), make([]int, len(units)), make([]int, len(units))
	if p.learned != nil {
		p.learned.count(units)
	}
}

// count makes known what starts will cost in quotas of units that nobody counted in. None has
// cost anything yet.
func (l *learned) count(units []string) {
	for i := range l.quotas {
		if q := &l.quotas[i]; q.counted == unknown {
			q.counted = slices.Index(units, q.unit)
			q.total, q.before, q.spent, q.flying, q.doubtful, q.older = 0, 0, 0, 0, 0, 0
		}
	}
}

// countsCosts reports whether a quota counts in more than starts: also where no limit does any
// more.
func (l *learned) countsCosts() bool {
	return l != nil && slices.ContainsFunc(l.quotas, func(q heard) bool { return q.counted > 0 })
}

// countWaiting notes what those who wait cost in units that were added.
func (p *Pacer) countWaiting() {
	all := func(*waiter) bool { return false }
	p.queue.each(all, func(w *waiter) { w.slot = p.estimate(w.ctx, w.slot) })
	p.queue.root.recount(len(p.units))
}

// recount adds up anew what is below w, in so many units.
func (w *waiter) recount(units int) {
	if w == nil {
		return
	}
	w.left.recount(units)
	w.right.recount(units)
	w.costs = make([]int, units)
	w.update()
}

// refuseTooCostly refuses those who wait and cost more now than a limit ever allows.
func (p *Pacer) refuseTooCostly() {
	p.each((*Pacer).refuseCostly)
}

func (p *Pacer) refuseCostly() {
	var costly []*waiter
	all := func(*waiter) bool { return false }
	p.queue.each(all, func(w *waiter) {
		for q := p; q != nil; q = q.parent {
			costs := w.slotAt(q).cost() // with the units that it counts in now
			if q.tree != nil {
				q.tree.dearest = atLeast(q.tree.dearest, costs)
			}
		}
		if err := p.unaffordable(w.slot); err != nil {
			w.refused = err
			costly = append(costly, w)
		}
	})
	for _, w := range costly {
		p.leave(w)
		w.notify()
	}
}
