package pacer

import (
	"context"
	"time"
)

// Stats is what a Pacer did so far and what it is doing.
type Stats struct {
	Granted  uint64 // starts, those whose slot was canceled taken off again
	Rejected uint64 // calls turned away by an Error, and Allow answering false
	Canceled uint64 // calls whose context was dead or died while waiting
	Waiting  int    // callers in the queue now

	// InFlight is how many slots are not Done, and OldestInFlight when the oldest of
	// them started: one that lies too far back was forgotten. They are zero where
	// Config.MaxInFlight is not set, since nobody counts there.
	InFlight       int
	OldestInFlight time.Time

	// State is how callers are let through now, and Cause why they are held back, in one of
	// these texts: "throttled", "paused by the program", "quota of requests used up" (or of a
	// Unit of the limits; "a quota used up" where it is none of them), "5 failures in a row".
	// It is "" where State is StateFlowing.
	State State
	Cause string

	// PausedUntil is the end of the current pause; zero if there is none. Where a server
	// said that nothing is left of a quota that is its reset.
	PausedUntil time.Time

	// Next is when the next start may happen: the moment of the call to Stats,
	// or later if a limit or a pause says so. It is for whoever waits longest, and for
	// a start that costs 1 if nobody does. When a flight ends, or a probe is answered, is not
	// known to it.
	Next time.Time

	// Predicted is when a caller would start who came now and whose call costs 1. Where
	// costs or flights decide it may be later, and while State is not StateFlowing it is
	// but a moment before which nobody starts.
	Predicted time.Time

	// Late is how many starts came more than a millisecond, or an even limit's
	// interval, after their slot: a sign of too little CPU.
	Late uint64

	// Limits is how each of Config.Limits stands, in their order.
	Limits []LimitStats

	// Shared is what a pacer did that shares its limits with other processes, such as one of
	// package redispacer; nil for a local one.
	Shared *SharedStats

	// Quotas is what servers said of theirs, by [Slot.Report], while it matters; nil if
	// nothing does.
	Quotas []QuotaStats
}

// SharedStats is what one process did to share its limits with others.
type SharedStats struct {
	Fallback    uint64        // starts that the fallback let happen
	Unavailable uint64        // calls that failed since the limits could not be reached and there is no fallback
	Returned    uint64        // starts given back: who wanted them left, or canceled them
	Lost        uint64        // reserved starts neither used nor given back
	RoundTrips  uint64        // begun so far
	Failures    uint64        // of these, how many failed or were not answered in time
	Reserved    int           // starts reserved for those who wait now
	RoundTrip   time.Duration // the time of a round trip, as measured lately
	Err         error         // why the limits cannot be reached at present; nil while they can
}

// LimitStats is how one limit stands. Where limits are shared, Used and Left are 0, since
// processes do not know them.
type LimitStats struct {
	Limit    Limit
	Used     int       // starts or cost in the window that ends now, or drawn from the bucket; may be more than the limit after a Settle
	Left     int       // what may still start or be spent now
	Uncosted uint64    // starts so far that named no cost in the limit's Unit, and so cost 1
	Next     time.Time // when this limit has room for a start that costs 1: the moment of the call, or later
}

// QuotaStats is how a quota stands of which a server said something.
type QuotaStats struct {
	Name, Unit string    // as in quota.State
	Remaining  int       // what is left now: what the server said, or the whole after the reset, less what started since
	Limit      int       // what is the whole; 0 if the server did not say
	Reset      time.Time // when it will be whole again; zero if it is, and nothing was heard since
}

// Stats returns a consistent picture of the pacer. Times far beyond the range
// of a time.Duration are cut to it (about 292 years).
func (p *Pacer) Stats() Stats {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next(0).Stats()
	}
	defer p.mu.Unlock()
	wall, now := time.Now(), p.clock.Now()
	when := func(at time.Duration) time.Time { return wall.Add(max(now, at) - now) }
	stats := Stats{
		Granted:  p.granted - p.revoked,
		Rejected: p.rejected,
		Canceled: p.canceled,
		Waiting:  p.queue.len,
		InFlight: p.flights.len,
		Late:     p.late,
	}
	if p.sleeper == nil {
		return stats
	}
	if at, ok := p.flights.began(); ok {
		stats.OldestInFlight = wall.Add(at - now)
	}
	p.pass(now)
	var until time.Duration
	if stats.State, stats.Cause, until = p.shows(now); until > now {
		stats.PausedUntil = when(until)
	}
	one := p.estimate(context.Background(), new(Slot))
	head := &waiter{pacer: p, ctx: context.Background(), slot: one}
	if p.queue.head != nil {
		head = p.queue.head
	}
	stats.Next = when(max(p.states.bound(), p.due(head.slot)))
	stats.Predicted = when(p.predict(&waiter{pacer: p, ctx: context.Background(), slot: one, heard: true, arrived: max(now, p.root().came)}, now))
	p.statsAbove(&stats, head, now, when)
	stats.Limits = p.limitStats(now, when)
	if p.remote != nil {
		shared := SharedStats(p.remote.Stats())
		stats.Shared = &shared
		for i := range stats.Limits {
			l := &stats.Limits[i]
			l.Used, l.Left, l.Next = 0, 0, when(p.remote.Due(i))
		}
	}
	stats.Quotas = p.learned.stats(now, when)
	return stats
}

// shows returns p's own state, its cause, and the end of the pause, which may lie in the past. A
// quota that is used up shows as a pause. It needs p.mu.
func (p *Pacer) shows(now time.Duration) (state State, cause string, until time.Duration) {
	state, cause, until = p.states.state, p.states.cause, p.pausedUntil()
	if until > now && state != StateDown && p.learned.pausedUntil() == until {
		state, cause = StatePaused, p.learned.cause(now)
	}
	return state, cause, until
}

// statsAbove makes stats tell what holds callers of p back above: the strictest there is on the
// way up. It needs p.mu.
func (p *Pacer) statsAbove(stats *Stats, head *waiter, now time.Duration, when func(time.Duration) time.Time) {
	strict := [...]int{StateFlowing: 0, StateProbing: 1, StatePaused: 2, StateDown: 3}
	for q := p.parent; q != nil; q = q.parent {
		q.pass(now)
		state, cause, until := q.shows(now)
		if until > now {
			if at := when(until); at.After(stats.PausedUntil) {
				stats.PausedUntil = at
				if state == StatePaused && stats.State == StatePaused {
					stats.Cause = cause
				}
			}
		}
		if strict[state] > strict[stats.State] {
			stats.State, stats.Cause = state, cause
		}
		if next := when(max(q.states.bound(), q.due(head.slotAt(q)))); next.After(stats.Next) {
			stats.Next = next
		}
	}
}

// limitStats needs p.mu.
func (p *Pacer) limitStats(now time.Duration, when func(time.Duration) time.Time) []LimitStats {
	all := make([]LimitStats, len(p.limits))
	windows, rules := p.schedule.limits, p.schedule.rules
	for i, l := range p.limits {
		all[i].Limit = l
		if l.isWindow() {
			w := &windows[0]
			windows = windows[1:]
			all[i].Used = p.schedule.used(w, now)
			all[i].Left = max(0, w.calls-all[i].Used)
			all[i].Next = when(p.schedule.dueIn(w))
			continue
		}
		r := rules[0]
		rules = rules[1:]
		all[i].Used, all[i].Left = r.used(now)
		all[i].Uncosted = p.uncosted[r.unit]
		all[i].Next = when(r.due(1))
	}
	return all
}

// stats needs Pacer.mu.
func (l *learned) stats(now time.Duration, when func(time.Duration) time.Time) (all []QuotaStats) {
	for _, q := range l.known(now, now) {
		one := QuotaStats{Name: q.name, Unit: q.unit, Remaining: q.left(now), Limit: number(q.limit)}
		if q.reset > now {
			one.Reset = when(q.reset)
		}
		all = append(all, one)
	}
	return all
}
