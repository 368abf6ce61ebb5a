package redispacer

import "time"

// Stats is what a Pacer did so far and what it is doing: this Pacer, not all that
// share its quota.
type Stats struct {
	Granted     uint64 // starts on the shared quota
	Fallback    uint64 // calls handed to Config.Fallback
	Rejected    uint64 // calls refused for their deadline's sake
	Unavailable uint64 // calls that failed with ErrUnavailable
	Canceled    uint64 // calls whose context was dead or died while waiting for the shared quota

	Returned   uint64 // reserved starts given back, since who wanted them left
	Lost       uint64 // reserved starts neither used nor given back: others had reserved behind them, a pause came, or Redis was gone
	RoundTrips uint64 // calls of the script begun
	Failures   uint64 // of these, how many failed or were not answered within Config.Timeout

	Waiting  int // callers in this process's queue now
	Reserved int // starts reserved for them now

	// PausedUntil is the end of the current pause as far as this process knows;
	// zero if there is none.
	PausedUntil time.Time

	// Err is why Redis is not used at present; nil while it is.
	Err error
}

// Stats returns a consistent picture of the pacer.
func (p *Pacer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.counts
	stats.Waiting = p.queue.len
	stats.Reserved = len(p.slots)
	stats.Err = p.health.cause
	if left := p.resumes - p.clock.Now(); left > 0 {
		stats.PausedUntil = time.Now().Add(left)
	}
	return stats
}
