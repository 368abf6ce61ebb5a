package pacer

import "time"

// stall is how late a start may be before the plan is drawn up anew. Until
// then the plan is a little early, which errs on the side of waiting.
const stall = 10 * time.Millisecond

// A plan says which starts those in the queue will get if all of them stay: the head's
// first; it is filled on demand. Slots belong to places in the queue, not to callers, so
// the plan holds when someone leaves: whoever stood behind moves up.
//
// It is exact, but only where nothing but windows, and what a server said of starts, decides.
// Where costs or flights do, places say too little, and schedule.Bound serves.
type plan struct{ ring[time.Duration] }

// started takes the head's start out of the plan.
func (p *plan) started(now time.Duration) {
	if p.len > 0 && now-p.popFront() >= stall {
		p.clear()
	}
}

// planned returns when the caller with n others ahead of it will start, given what a server
// said.
func (s *schedule) planned(n int, now time.Duration, said *learned) time.Duration {
	for s.plan.len <= n {
		s.planNext(now, said)
	}
	return max(now, s.plan.at(n))
}

func (s *schedule) planNext(now time.Duration, said *learned) {
	ahead := [1]int{s.plan.len}
	at := max(now, s.resumes, s.holds, said.due(ahead[:], oneStart))
	for i := range s.limits {
		w := &s.limits[i]
		at = max(at, s.planOpens(w))
		if g := w.grid; g != nil {
			if s.plan.len == 0 {
				g.planned = g.next
			}
			at = max(at, g.planned)
		}
	}
	for i := range s.limits {
		if w := &s.limits[i]; w.grid != nil {
			w.grid.plan(at, s.planOpens(w))
		}
	}
	s.plan.pushBack(at)
}

// planOpens returns when w has room for one more start after those that are planned.
func (s *schedule) planOpens(w *window) time.Duration {
	if i := s.plan.len - w.calls; i >= 0 {
		return add(s.plan.at(i), w.period)
	}
	return s.opens(w, s.plan.len)
}
