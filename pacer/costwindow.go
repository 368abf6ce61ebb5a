package pacer

import (
	"math"
	"sort"
	"time"
)

// A costWindow is a limit on what starts cost in any window of its period.
type costWindow struct {
	limit  uint64
	period time.Duration

	costs ring[cost] // oldest first
	gone  uint64     // total when those before the first had been charged
}

// A cost is what starts at one moment cost.
type cost struct {
	at    time.Duration
	total uint64 // of all up to this one, so that differences are what a window holds
}

func newCostWindow(limit int, period time.Duration) *costWindow {
	return &costWindow{limit: uint64(limit), period: period}
}

// total returns what all up to cost i cost, of those remembered.
func (w *costWindow) total(i int) uint64 {
	if i < 0 {
		return 0
	}
	return w.costs.at(i).total - w.gone
}

func (w *costWindow) due(cost int) time.Duration {
	if cost == 0 {
		return longAgo
	}
	return w.frees(sum(w.total(w.costs.len-1), uint64(cost)))
}

// frees returns when so much of what is remembered, and of what comes on top of it, is
// no more than the limit. What comes on top must not be more by itself.
func (w *costWindow) frees(wanted uint64) time.Duration {
	if wanted <= w.limit {
		return longAgo
	}
	excess := wanted - w.limit
	i := sort.Search(w.costs.len, func(i int) bool { return w.total(i) >= excess })
	return add(w.costs.at(i).at, w.period)
}

// bound knows that a period later than anything, just as much may happen again.
func (w *costWindow) bound(from time.Duration, ahead, cost int) time.Duration {
	wanted := sum(uint64(ahead), uint64(cost))
	if wanted == 0 {
		return from
	}
	periods := (wanted - 1) / w.limit
	rest := wanted - periods*w.limit
	first := max(from, w.frees(sum(w.total(w.costs.len-1), rest)))
	return add(first, times(duration(periods), w.period))
}

func (w *costWindow) charge(now time.Duration, n int) {
	w.forget(now)
	total := w.total(w.costs.len - 1)
	n64 := min(uint64(n), math.MaxUint64/2-total) // beyond counting
	switch {
	case n64 == 0:
	case w.costs.len > 0 && w.costs.last().at == now:
		w.costs.last().total += n64
	default:
		w.costs.pushBack(cost{now, w.gone + total + n64})
	}
}

// forget drops what has left the window.
func (w *costWindow) forget(now time.Duration) {
	for w.costs.len > 0 && add(w.costs.at(0).at, w.period) <= now {
		w.gone = w.costs.popFront().total
	}
}

func (w *costWindow) settle(now, at time.Duration, less int) bool {
	w.forget(now)
	i := sort.Search(w.costs.len, func(i int) bool { return w.costs.at(i).at >= at })
	if i == w.costs.len || w.costs.at(i).at != at {
		return false
	}
	n := min(uint64(less), w.total(i)-w.total(i-1))
	for ; i < w.costs.len; i++ {
		w.costs.ref(i).total -= n
	}
	return true
}

func (w *costWindow) busyUntil() time.Duration {
	if w.costs.len == 0 {
		return longAgo
	}
	return add(w.costs.last().at, w.period)
}

func (w *costWindow) memory() time.Duration { return w.period }

func (w *costWindow) used(now time.Duration) (used, left int) {
	w.forget(now)
	total := w.total(w.costs.len - 1)
	return number(total), number(w.limit - min(total, w.limit))
}
