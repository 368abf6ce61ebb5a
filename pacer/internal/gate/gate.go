// Package gate is what stands between the head of a pacer's queue and a start.
//
// The queue, its order, flights and refusals exist once, in package pacer. Where the
// record of the starts is kept is a [Gate]'s business: in the process, or beyond it.
package gate

import "time"

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
	// what held before.
	Pause(until time.Duration) bool

	// Resume ends what Pause began.
	Resume()
}

// An Answer says when the start may happen. At or before the time of asking, it has
// been taken.
type Answer struct {
	At    time.Duration
	Again bool // nobody knows yet: ask again then, or when woken
}

// Now reports whether the start was taken.
func (a Answer) Now(now time.Duration) bool { return a.At <= now && !a.Again }
