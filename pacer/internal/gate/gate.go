// Package gate is what stands between the head of a pacer's queue and a start.
//
// The queue, its order, flights and refusals exist once, in package pacer. Where the
// record of the starts is kept is a [Gate]'s business: in the process, or beyond it.
package gate

import (
	"sync"
	"time"
)

// A Gate decides when the head of a queue may start, and remembers what starts cost.
//
// Times are readings of the pacer's clock. Costs are by unit, starts first. All methods
// are called with the pacer's lock held, so they return at once; a Gate that learns
// something later wakes the head, which then asks again.
type Gate interface {
	// Ask asks for a start at now. If the answer is that it may, the start is taken.
	Ask(now time.Duration, costs []int) Answer

	// Bound returns a moment before which nobody starts who has so much ahead of it.
	Bound(now time.Duration, ahead, costs []int) time.Duration

	// Charge adds to what was asked for, as of now.
	Charge(now time.Duration, unit, cost int)

	// Settle makes what was charged at a moment less, from one cost to another. It
	// reports whether that was still remembered.
	Settle(now, at time.Duration, unit, from, to int) bool

	// Pause lets nobody start before a time, and reports whether that is later than
	// what held before. told says that a report asked for it, and not the program.
	Pause(until time.Duration, told bool) bool

	// Resume ends what Pause began.
	Resume()
}

// An Answer says when the start may happen. At or before the time of asking, it has
// been taken.
type Answer struct {
	At    time.Duration
	Again bool  // nobody knows yet: ask again then, or when woken
	Err   error // with Again: why there will be no start; else why a fallback let it happen, if one did
}

// Now reports whether the start was taken.
func (a Answer) Now(now time.Duration) bool { return a.At <= now && !a.Again }

// A Remote is a Gate beyond the process.
type Remote interface {
	Gate

	// Limit changes the limits, which count in units, starts first. On an error they stay.
	Limit(limits []Limit, units []string) error

	// Due returns when a limit, by its place, has room for a start that costs 1, as far as
	// is known; it may lie in the past.
	Due(limit int) time.Duration

	// Said tells what the answer to a start, of a number and granted at a moment, said of a
	// quota: so much is left of it until a time. Its unit is -1 where no limit counts in it.
	Said(now, at time.Duration, start int64, name string, unit, left int, until time.Duration)

	// Probed tells whether a start has worked that others waited for.
	Probed(worked bool)

	// Left says that somebody does not wait any more.
	Left()

	// Stats returns what it did so far.
	Stats() Stats
}

// A Limit converts to a pacer.Limit.
type Limit struct {
	Calls  int
	Cost   int
	Unit   string
	Period time.Duration
	Even   bool
	Bucket int
}

// Stats converts to a pacer.SharedStats.
type Stats struct {
	Fallback    uint64
	Unavailable uint64
	Returned    uint64
	Lost        uint64
	RoundTrips  uint64
	Failures    uint64
	Reserved    int
	RoundTrip   time.Duration
	Err         error
}

// A Queue is the pacer as a Remote sees it. Its lock is the one that a Gate is called with.
type Queue interface {
	sync.Locker

	// Now reads the pacer's clock. It needs no lock.
	Now() time.Duration

	// The methods below need the lock.

	// Wake makes the head ask again.
	Wake()

	// Next calls f with what those cost who would start now if the Gate let them, in order,
	// as long as f returns true.
	Next(now time.Duration, f func(costs []int) bool)

	// Begun returns the number of the last start.
	Begun() int64

	// Waiting returns how many wait.
	Waiting() int

	// Pause begins or lengthens a pause of which the Gate has heard, which may be over by now;
	// told says that it was by a report.
	Pause(now, until time.Duration, told bool)

	// Resume ends it.
	Resume(now time.Duration)
}

// New makes a *pacer.Pacer of a pacer.Config, whose starts a Remote decides. Package pacer
// sets it, so that no name of its own need be exported for that.
var New func(config any, remote func(Queue) Remote) (pacer any, err error)
