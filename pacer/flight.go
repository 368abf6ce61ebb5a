package pacer

import "time"

// flights are the slots that are not Done, where Config.MaxInFlight bounds them.
// Elsewhere nobody counts, since who need not say Done does not.
type flights struct {
	max            int // 0 = unbounded
	len            int
	oldest, newest *Slot // in order of start
}

func (f *flights) full() bool { return f.max > 0 && f.len >= f.max }

func (f *flights) begin(s *Slot) {
	if f.max == 0 {
		return
	}
	s.inFlight = true
	if s.older = f.newest; s.older != nil {
		s.older.newer = s
	} else {
		f.oldest = s
	}
	f.newest = s
	f.len++
	s.flights = f.len
}

// end reports whether s was in flight.
func (f *flights) end(s *Slot) bool {
	if !s.inFlight {
		return false
	}
	s.inFlight = false
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		f.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		f.newest = s.older
	}
	s.older, s.newer = nil, nil
	f.len--
	return true
}

// began returns when the oldest flight started; none may be in flight.
func (f *flights) began() (at time.Duration, ok bool) {
	if f.oldest == nil {
		return 0, false
	}
	return f.oldest.at, true
}
