package pacer

import "time"

// Stats is what a Pacer did so far and what it is doing.
type Stats struct {
	Granted  uint64 // starts, by Wait and by Allow
	Rejected uint64 // calls turned away: ErrDeadline, ErrQueueFull, and Allow answering false
	Canceled uint64 // calls of Wait whose context was dead or died while waiting
	Waiting  int    // callers in the queue now

	// PausedUntil is the end of the current pause; zero if there is none.
	PausedUntil time.Time

	// Next is when the next start may happen: the moment of the call to Stats,
	// or later if a limit or a pause says so. It is for whoever waits longest.
	Next time.Time
}

// Stats returns a consistent picture of the pacer. Times far beyond the range
// of a time.Duration are cut to it (about 292 years).
func (p *Pacer) Stats() Stats {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next().Stats()
	}
	defer p.mu.Unlock()
	wall, now := time.Now(), p.clock.Now()
	stats := Stats{
		Granted:  p.granted,
		Rejected: p.rejected,
		Canceled: p.canceled,
		Waiting:  p.queue.len,
		Next:     wall.Add(max(now, p.schedule.due()) - now),
	}
	if p.schedule.resumes > now {
		stats.PausedUntil = wall.Add(p.schedule.resumes - now)
	}
	return stats
}
