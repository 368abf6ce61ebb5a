// Package sleep waits for an instant more precisely than the runtime's timer can.
//
// On Linux the runtime rounds its timer waits up to whole milliseconds, so a
// goroutine that sleeps 200 µs wakes up to 1 ms late. A [Sleeper] therefore
// approaches the instant in stages: the runtime timer while there is time,
// a sleep of the thread itself (Linux only) for the last two milliseconds,
// and a short spin on the clock for the last microseconds. How early to leave
// a stage is learned from how late the earlier ones were.
//
// Inside a testing/synctest bubble the clock stands still while anyone runs,
// so sleeping a thread or spinning would wait for ever: a Sleeper notices and
// leaves the whole wait to the runtime timer, which is exact there.
package sleep

import (
	"sync/atomic"
	"time"
)

const (
	// maxSpin bounds how long one wait may spin, and so the margin too.
	maxSpin = 200 * time.Microsecond

	// firstMargin is assumed until a lateness was measured: Linux lets a
	// thread sleep 50 µs longer than asked (prctl(2), PR_SET_TIMERSLACK).
	firstMargin = 80 * time.Microsecond

	// frozenReads is how many equal readings show that the clock stands still.
	// A running clock advances between any two; a coarse one (Windows) may not,
	// and is left to the timer like a frozen one.
	frozenReads = 300
)

// A Clock tells the time since it was made, on the monotonic clock.
// Steps of the wall clock do not move it.
type Clock struct{ epoch time.Time }

// NewClock returns a Clock that reads zero now.
func NewClock() Clock { return Clock{epoch: time.Now()} }

// Now returns the time since the Clock was made.
func (c Clock) Now() time.Duration { return time.Since(c.epoch) }

// Time returns the moment at which the Clock reads now.
func (c Clock) Time(now time.Duration) time.Time { return c.epoch.Add(now) }

// Reading returns what the Clock reads at t.
func (c Clock) Reading(t time.Time) time.Duration { return t.Sub(c.epoch) }

// A Sleeper waits until a [Clock] reads a given time, and learns how late this
// machine wakes a sleeper. It is safe for concurrent use.
type Sleeper struct {
	clock  Clock
	coarse bool
	margin atomic.Int64 // time.Duration; 0 = nothing learned yet
}

// New returns a Sleeper on clock. A coarse one uses the runtime timer only:
// no thread sleeps and nothing spins, at the price of about a millisecond.
func New(clock Clock, coarse bool) *Sleeper {
	return &Sleeper{clock: clock, coarse: coarse}
}

// Until returns once the clock reads due, or early when done or wake has a
// value or is closed. During the last two milliseconds it looks at neither.
func (s *Sleeper) Until(due time.Duration, done, wake <-chan struct{}) {
	for {
		now := s.clock.Now()
		if due <= now { // compared, not subtracted: the difference may overflow
			return
		}
		left, margin := due-now, s.currentMargin()
		switch {
		case s.coarse:
			if !timer(left, done, wake) {
				return
			}
		case left > timerLead+margin:
			asked := due - timerLead - margin
			if !timer(left-timerLead-margin, done, wake) {
				return
			}
			if timerLead == 0 {
				s.learn(s.clock.Now() - asked)
			}
		case timerLead > 0 && left > margin && s.clockMoves():
			asked := due - margin
			threadSleep(left - margin)
			s.learn(s.clock.Now() - asked)
		case left > margin || !s.spin(due):
			if !timer(due-s.clock.Now(), done, wake) {
				return
			}
		}
	}
}

// timer waits for d on a runtime timer and reports whether the wait was whole.
func timer(d time.Duration, done, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
	case <-wake:
	}
	return false
}

// spin reads the clock until due and reports false if the clock stands still.
func (s *Sleeper) spin(due time.Duration) bool {
	last, equal := s.clock.Now(), 0
	for last < due {
		now := s.clock.Now()
		if now != last {
			last, equal = now, 0
			continue
		}
		if equal++; equal == frozenReads {
			return false
		}
	}
	return true
}

// clockMoves reports whether time passes for a goroutine that does not block.
func (s *Sleeper) clockMoves() bool {
	first := s.clock.Now()
	for range frozenReads {
		if s.clock.Now() != first {
			return true
		}
	}
	return false
}

func (s *Sleeper) currentMargin() time.Duration {
	if m := s.margin.Load(); m > 0 {
		return time.Duration(m)
	}
	return firstMargin
}

// learn moves the margin towards a measured lateness: half the way up at once,
// since a margin too small makes a start late, and slowly down, since one too
// large merely spins a little longer. An early wake-up (a signal) teaches nothing.
func (s *Sleeper) learn(late time.Duration) {
	if late < 0 {
		return
	}
	late = min(late, maxSpin)
	margin := s.currentMargin()
	if late > margin {
		margin += (late - margin) / 2
	} else {
		margin -= (margin - late) / 32
	}
	s.margin.Store(int64(max(margin, 1)))
}
