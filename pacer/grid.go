package pacer

import "time"

// A grid spaces the starts of an even limit. Each start takes a slot of it, and the next
// slot is an interval after the newest one that is taken.
type grid struct {
	interval time.Duration
	next     time.Duration       // longAgo: no start is remembered, the next begins a grid
	planned  time.Duration       // the slot after the last planned start
	taken    ring[time.Duration] // by each start on the record of windows
}

// notOnGrid is what a start takes that was not sent, but settled to.
const notOnGrid = longAgo

func newGrid(interval time.Duration) *grid {
	return &grid{interval: interval, next: longAgo}
}

// start takes a slot at now. Where the window opens later than the next slot, the grid
// goes with it.
func (g *grid) start(now, opens time.Duration) {
	slot := g.slotOf(now, max(g.next, opens))
	g.taken.pushBack(slot)
	g.next = add(slot, g.interval)
}

// plan is start for a start that is only planned.
func (g *grid) plan(at, opens time.Duration) {
	g.planned = add(g.slotOf(at, max(g.planned, opens)), g.interval)
}

// slotOf returns the slot that a start at now takes which was due at slot.
//
// A start that came late by less than an interval leaves the grid where it was,
// or lateness would add up and the rate would creep. A later one, after idling or
// on a stalled machine, is where the grid begins anew: slots that were missed
// are never made up for in a bunch.
func (g *grid) slotOf(now, slot time.Duration) time.Duration {
	if now >= add(slot, g.interval) {
		return now
	}
	return slot
}

// remove gives back what n of the starts from first on took, all of one moment; those that
// were not sent go before those that were. If the newest goes, its slot is free again.
func (g *grid) remove(first, after, n int) {
	for i := first; i < after; i++ {
		if slot := g.taken.at(i); slot != notOnGrid {
			*g.taken.ref(i) = notOnGrid
			*g.taken.ref(first) = slot
			first++
		}
	}
	g.taken.remove(after-n, n)
	g.follow()
}

// follow makes the next slot the one after the newest that is taken.
func (g *grid) follow() {
	for i := g.taken.len - 1; i >= 0; i-- {
		if slot := g.taken.at(i); slot != notOnGrid {
			g.next = add(slot, g.interval)
			return
		}
	}
	g.next = longAgo
}

// bound returns a moment before which nobody starts, from a time on, who has n others
// ahead.
func (g *grid) bound(from, opens time.Duration, n int) time.Duration {
	return add(g.slotOf(from, max(g.next, opens)), times(time.Duration(n), g.interval))
}
