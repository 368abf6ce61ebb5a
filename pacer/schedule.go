package pacer

import (
	"math"
	"time"
)

const (
	longAgo = time.Duration(math.MinInt64) // before every reading of the clock
	forever = time.Duration(math.MaxInt64) // after every reading of the clock

	// stall is how late a start may be before the plan is drawn up anew. Until
	// then the plan is a little early, which errs on the side of waiting.
	stall = 10 * time.Millisecond
)

// A schedule knows when the next start is due. It remembers the last starts,
// as many as the largest Limit counts; each Limit looks back by its own Calls,
// and its next start is due when that one is a Period old.
//
// It also plans: which starts those in the queue will get if all of them stay.
// Slots belong to places in the queue, not to callers, so the plan holds when
// someone leaves: whoever stood behind moves up.
//
// Times are readings of the Pacer's clock. A schedule is guarded by Pacer.mu.
type schedule struct {
	limits  []limit
	calls   int           // the largest Calls
	period  time.Duration // the longest Period
	starts  ring          // the last starts, oldest first
	plan    ring          // the starts to come, for the head of the queue first; filled on demand
	resumes time.Duration // no start before: the end of the pause
}

type limit struct {
	calls    int
	period   time.Duration
	even     bool
	interval time.Duration // even: between two slots of the grid
	slot     time.Duration // even: the grid's next slot after the last start
	planned  time.Duration // even: the grid's next slot after the last planned start
}

func newSchedule(limits []Limit) schedule {
	s := schedule{resumes: longAgo}
	for _, l := range limits {
		s.limits = append(s.limits, limit{
			calls:    l.Calls,
			period:   l.Period,
			even:     l.Even,
			interval: l.Period / time.Duration(l.Calls),
			slot:     longAgo,
		})
		s.calls = max(s.calls, l.Calls)
		s.period = max(s.period, l.Period)
	}
	return s
}

// due returns when the next start may happen; it may lie in the past.
func (s *schedule) due() time.Duration {
	due := s.resumes
	for i := range s.limits {
		l := &s.limits[i]
		due = max(due, s.windowOpens(l, 0), l.slotOr(l.slot))
	}
	return due
}

// start records a start at now, which must not be before due.
func (s *schedule) start(now time.Duration) {
	for i := range s.limits {
		if l := &s.limits[i]; l.even {
			l.slot = l.slotAfter(now, max(l.slot, s.windowOpens(l, 0)))
		}
	}
	if s.starts.len == s.calls {
		s.starts.popFront()
	}
	if s.starts.full() {
		for s.starts.len > 0 && add(s.starts.at(0), s.period) <= now {
			s.starts.popFront() // no window reaches back to it: better than growing
		}
	}
	s.starts.pushBack(now)
	if s.plan.len > 0 && now-s.plan.popFront() >= stall {
		s.plan.clear()
	}
}

// takeOver records starts, oldest first, that another schedule allowed. If they are
// not complete, the missing ones are no later than the first. A limit that needs a
// missing one is paused until that cannot be in its window any more; so is every
// limit until none of them is, if s has starts of its own to put them between.
func (s *schedule) takeOver(starts []time.Duration, complete bool) {
	n := len(starts)
	if n == 0 {
		return
	}
	shared := s.starts.len > 0
	for i := range s.limits {
		l := &s.limits[i]
		if l.even {
			l.slot = max(l.slot, add(starts[n-1], l.interval))
		}
		switch {
		case shared:
			s.pause(add(starts[n-1], l.period))
		case n < l.calls && !complete:
			s.pause(add(starts[0], l.period))
		}
	}
	if shared {
		return
	}
	for _, t := range starts {
		s.starts.pushBack(t)
	}
}

// planned returns when the caller with n others ahead of it will start.
func (s *schedule) planned(n int, now time.Duration) time.Duration {
	for s.plan.len <= n {
		s.planNext(now)
	}
	return max(now, s.plan.at(n))
}

func (s *schedule) planNext(now time.Duration) {
	at := max(now, s.resumes)
	for i := range s.limits {
		l := &s.limits[i]
		if s.plan.len == 0 {
			l.planned = l.slot
		}
		at = max(at, s.windowOpens(l, s.plan.len), l.slotOr(l.planned))
	}
	for i := range s.limits {
		if l := &s.limits[i]; l.even {
			l.planned = l.slotAfter(at, max(l.planned, s.windowOpens(l, s.plan.len)))
		}
	}
	s.plan.pushBack(at)
}

// pause lets no start happen before t. It never shortens an earlier pause, and
// reports whether it changed anything.
func (s *schedule) pause(t time.Duration) bool {
	if t <= s.resumes {
		return false
	}
	s.resumes = t
	s.plan.clear()
	return true
}

// busyUntil returns when the last start leaves every window and the pause is
// over: from then on a schedule without starts would decide the same.
func (s *schedule) busyUntil() time.Duration {
	until := s.resumes
	if n := s.starts.len; n > 0 {
		until = max(until, add(s.starts.at(n-1), s.period))
	}
	return until
}

// windowOpens returns when l's window has room for one more start after those
// that happened and the first n planned.
func (s *schedule) windowOpens(l *limit, n int) time.Duration {
	i := s.starts.len + n - l.calls
	switch {
	case i < 0:
		return longAgo
	case i < s.starts.len:
		return add(s.starts.at(i), l.period)
	default:
		return add(s.plan.at(i-s.starts.len), l.period)
	}
}

func (l *limit) slotOr(slot time.Duration) time.Duration {
	if l.even {
		return slot
	}
	return longAgo
}

// slotAfter returns the slot that follows a start at now which was due at slot.
//
// A start that came late by less than an interval leaves the grid where it was,
// or lateness would add up and the rate would creep. A later one, after idling or
// on a stalled machine, is where the grid begins anew: slots that were missed
// are never made up for in a bunch.
func (l *limit) slotAfter(now, slot time.Duration) time.Duration {
	if now >= add(slot, l.interval) {
		slot = now
	}
	return add(slot, l.interval)
}

// add returns t + d without overflow; d must not be negative.
func add(t, d time.Duration) time.Duration {
	if t > forever-d {
		return forever
	}
	return t + d
}
