package pacer

import (
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// A schedule knows when the next start is due and remembers what starts cost, for all
// limits of a Config. It is the gate of a Pacer whose limits are its own.
//
// Windows come first and by themselves, since most pacers have nothing else and none
// should pay for what it does not use. A schedule is guarded by Pacer.mu.
type schedule struct {
	resumes time.Duration // no start before: the end of the pause
	holds   time.Duration // no start before: what nobody knows may have started, which is no pause
	last    time.Duration // the newest start, or what one was settled to; or longAgo
	plan    plan
	rules   []rule
	windows
}

// A rule is a limit on what starts cost in one unit, among them buckets of starts, where
// each costs 1.
type rule struct {
	unit int // in Pacer.units; 0 is starts
	most int // what one start may cost
	meter
}

// A meter remembers what starts cost, as long as it matters.
type meter interface {
	// due returns when there is room for a start of this cost; it may lie in the past. A
	// start that costs nothing needs no room, though there be less than none.
	due(cost int) time.Duration

	// charge records a cost at now, whether there is room for it or not.
	charge(now time.Duration, cost int)

	// settle makes what was charged at a time less, and reports whether it still counted.
	settle(now, at time.Duration, less int) bool

	// bound returns a moment before which nobody starts, from a time on, who has so
	// much ahead: everything ahead is a liquid that flows into each bit of room.
	bound(from time.Duration, ahead, cost int) time.Duration

	// busyUntil returns from when on nothing that was charged matters.
	busyUntil() time.Duration

	// used returns what counts at now, and what is left.
	used(now time.Duration) (used, left int)

	// memory returns for how long a start may matter.
	memory() time.Duration

	// history returns what was charged and still matters, oldest first.
	history(now time.Duration) []spent
}

var _ gate.Gate = (*schedule)(nil)

// oneStart is what a start costs where nothing but starts is counted.
var oneStart = []int{1}

// newSchedule returns a schedule for limits and the units that they count in, starts
// first.
func newSchedule(limits []Limit, margin time.Duration) (schedule, []string) {
	s := schedule{resumes: longAgo, holds: longAgo, last: longAgo}
	units := []string{""}
	for _, l := range limits {
		unit := slices.Index(units, l.Unit)
		if unit < 0 {
			unit = len(units)
			units = append(units, l.Unit)
		}
		s.add(l, unit, margin)
	}
	return s, units
}

// add adds a limit that counts in a unit.
func (s *schedule) add(l Limit, unit int, margin time.Duration) {
	switch {
	case l.isWindow():
		s.windows.add(l, margin)
	case l.Bucket > 0:
		s.rules = append(s.rules, rule{unit, l.Bucket, newBucket(l.Bucket, max(l.Calls, l.Cost), l.Period)})
	default:
		s.rules = append(s.rules, rule{unit, l.Cost, newCostWindow(l.Cost, add(l.Period, margin))})
	}
}

// Ask implements [gate.Gate].
func (s *schedule) Ask(now time.Duration, costs []int) gate.Answer {
	due := s.due(costs)
	if due <= now {
		s.start(now, costs)
	}
	return gate.Answer{At: due}
}

// due returns when a start of these costs may happen; it may lie in the past.
func (s *schedule) due(costs []int) time.Duration {
	due := max(s.resumes, s.holds, s.windows.due())
	for _, r := range s.rules {
		due = max(due, r.due(costs[r.unit]))
	}
	return due
}

// start records a start at now, which must not be before due.
func (s *schedule) start(now time.Duration, costs []int) {
	s.windows.start(now)
	for _, r := range s.rules {
		r.charge(now, costs[r.unit])
	}
	s.last = now
	s.plan.started(now)
}

// takeOver records starts, oldest first, that another schedule allowed, the newest of them,
// or of what they were settled to, at a time. What they cost is not known to the rules, which
// hold as if each could have been any, and for so much longer as the other is in debt.
func (s *schedule) takeOver(starts []time.Duration, complete bool, newest, debt time.Duration) {
	for _, r := range s.rules {
		s.holds = max(s.holds, add(add(newest, r.memory()), debt))
	}
	s.holds = max(s.holds, s.windows.takeOver(starts, complete, newest))
	s.plan.clear()
	s.last = max(s.last, newest)
}

// debt returns for how long starts are held back by what they were settled to beyond all that
// a bucket holds.
func (s *schedule) debt() (debt time.Duration) {
	for _, r := range s.rules {
		if paid, full := r.busyUntil(), add(s.last, r.memory()); paid > full {
			debt = max(debt, paid-full)
		}
	}
	return debt
}

// Charge implements [gate.Gate].
func (s *schedule) Charge(now time.Duration, unit, cost int) {
	if unit == 0 {
		s.windows.charge(now, cost)
	}
	for _, r := range s.rules {
		if r.unit == unit {
			r.charge(now, cost)
		}
	}
	s.last = now
	s.plan.clear()
}

// Settle implements [gate.Gate].
func (s *schedule) Settle(now, at time.Duration, unit, from, to int) bool {
	remembered := unit == 0 && s.windows.settle(now, at, from, to)
	for _, r := range s.rules {
		if r.unit == unit && r.settle(now, at, from-to) {
			remembered = true
		}
	}
	s.plan.clear()
	return remembered
}

// Pause implements [gate.Gate]. It never shortens an earlier pause.
func (s *schedule) Pause(until time.Duration, _ bool) bool {
	if until <= s.resumes {
		return false
	}
	s.resumes = until
	s.plan.clear()
	return true
}

// Resume implements [gate.Gate].
func (s *schedule) Resume() {
	s.resumes = longAgo
	s.plan.clear()
}

// Bound implements [gate.Gate].
func (s *schedule) Bound(now time.Duration, ahead, costs []int) time.Duration {
	from := max(now, s.resumes, s.holds)
	at := s.windows.bound(from, ahead[0])
	for _, r := range s.rules {
		at = max(at, r.bound(from, ahead[r.unit], costs[r.unit]))
	}
	return at
}

// lower makes the buckets of a unit hold no more than was left at a time, less what was spent
// since. It reports whether one did.
func (s *schedule) lower(now time.Duration, unit int, at time.Duration, left int, spent uint64) (some bool) {
	for _, r := range s.rules {
		if b, ok := r.meter.(*bucket); ok && r.unit == unit {
			some = b.lower(now, at, left, spent) || some
		}
	}
	return some
}

// hasBucket reports whether a bucket counts in a unit.
func (s *schedule) hasBucket(unit int) bool {
	return slices.ContainsFunc(s.rules, func(r rule) bool {
		_, ok := r.meter.(*bucket)
		return ok && r.unit == unit
	})
}

// counts reports whether any limit counts in a unit.
func (s *schedule) counts(unit int) bool {
	return unit == 0 && s.calls > 0 || slices.ContainsFunc(s.rules, func(r rule) bool { return r.unit == unit })
}

// busyUntil returns when the last start matters no more and the pause is over: from then
// on a schedule without starts would decide the same.
func (s *schedule) busyUntil() time.Duration {
	until := max(s.resumes, s.holds, s.windows.busyUntil())
	for _, r := range s.rules {
		until = max(until, r.busyUntil())
	}
	return until
}
