package pacer

import (
	"sort"
	"time"
)

// windows are all limits on Calls that are no buckets. They share one record of the
// last starts; each looks back by its own Calls, and has room for the next start when
// that one is a Period old.
//
// A start that was settled to more than one is on the record more than once. Only then
// may a window be too full.
type windows struct {
	limits []window
	calls  int                 // the largest Calls
	period time.Duration       // the longest Period
	reach  time.Duration       // how old a start may be and still say where a grid goes on; 0 = there is none
	starts ring[time.Duration] // oldest first; no more are remembered than limits look back to
	cut    ring[spent]         // what was charged beyond the largest Calls, and how much of it is on the record
	forgot bool                // a start that was made
}

type window struct {
	calls  int
	period time.Duration
	grid   *grid // nil: not even
}

// maxFurther is how many further starts one may be settled to count for.
const maxFurther = 1 << 20

func (ws *windows) add(l Limit, margin time.Duration) {
	w := window{calls: l.Calls, period: add(l.Period, margin)}
	if l.Even {
		w.grid = newGrid(w.period / time.Duration(l.Calls))
		ws.reach = max(ws.reach, add(w.period, w.grid.interval))
	}
	ws.limits = append(ws.limits, w)
	ws.calls = max(ws.calls, w.calls)
	ws.period = max(ws.period, w.period)
}

// tolerance returns how late after its slot a start is not late.
func (ws *windows) tolerance() time.Duration {
	tolerance := time.Millisecond
	for i := range ws.limits {
		if g := ws.limits[i].grid; g != nil {
			tolerance = g.interval
		}
	}
	return tolerance
}

// due returns when there is room for one more start in all of them.
func (ws *windows) due() time.Duration {
	due := longAgo
	for i := range ws.limits {
		due = max(due, ws.dueIn(&ws.limits[i]))
	}
	return due
}

func (ws *windows) dueIn(w *window) time.Duration {
	due := ws.opens(w, 0)
	if w.grid != nil {
		due = max(due, w.grid.next)
	}
	return due
}

// opens returns when w has room for n more starts beside the next one.
func (ws *windows) opens(w *window, n int) time.Duration {
	i := ws.starts.len + n - w.calls
	if i < 0 {
		return longAgo
	}
	return add(ws.starts.at(i), w.period)
}

// start records a start at now, which must not be before due.
func (ws *windows) start(now time.Duration) {
	if ws.calls == 0 {
		return
	}
	if ws.reach > 0 {
		for i := range ws.limits {
			if w := &ws.limits[i]; w.grid != nil {
				w.grid.start(now, ws.opens(w, 0))
			}
		}
	}
	// What is older than the largest Calls has left every window, or this start would not
	// be due.
	for ws.starts.len >= ws.calls && add(ws.starts.at(0), ws.reach) <= now {
		ws.forgetFirst()
	}
	if ws.starts.full() {
		for ws.starts.len > 0 && add(ws.starts.at(0), max(ws.period, ws.reach)) <= now {
			ws.forgetFirst() // nothing reaches back to it: better than growing
		}
	}
	ws.starts.pushBack(now)
}

func (ws *windows) forgetFirst() {
	ws.forgot = true
	ws.starts.popFront()
	if ws.reach > 0 {
		ws.forgetTaken()
	}
}

func (ws *windows) forgetTaken() {
	for i := range ws.limits {
		if g := ws.limits[i].grid; g != nil {
			g.taken.popFront()
		}
	}
}

// takeOver records starts of others, oldest first, the newest of all at a time, and returns
// until when nobody may start. If they are not complete, the missing ones are no later than
// the first: a limit that needs a missing one waits until that cannot be in its window any
// more; so does every limit until none of them is, if there are starts already to put them
// between.
func (ws *windows) takeOver(starts []time.Duration, complete bool, newest time.Duration) (pause time.Duration) {
	n, shared := len(starts), ws.starts.len > 0
	pause = longAgo
	for i := range ws.limits {
		w := &ws.limits[i]
		if w.grid != nil {
			w.grid.next = max(w.grid.next, add(newest, w.grid.interval))
		}
		switch {
		case shared, n == 0 && !complete:
			pause = max(pause, add(newest, w.period))
		case n < w.calls && !complete:
			pause = max(pause, add(starts[0], w.period))
		}
	}
	if shared {
		return pause
	}
	for _, t := range starts {
		ws.starts.pushBack(t)
		for i := range ws.limits {
			if g := ws.limits[i].grid; g != nil {
				g.taken.pushBack(t)
			}
		}
	}
	return pause
}

// charge counts n further starts at now. They fill windows but are not on the grid,
// since nothing was sent at that time.
func (ws *windows) charge(now time.Duration, n int) {
	if ws.calls == 0 {
		return
	}
	for range ws.counted(now, n) {
		for i := range ws.limits {
			if g := ws.limits[i].grid; g != nil {
				g.taken.pushBack(notOnGrid)
			}
		}
		ws.starts.pushBack(now)
	}
}

// counted returns how often n starts at one time are to be recorded: more than the largest
// Calls fill a window no more than that. It notes where that is less.
func (ws *windows) counted(at time.Duration, n int) int {
	most := min(ws.calls, maxFurther)
	if n <= most {
		return n
	}
	for ws.cut.len > 0 && add(ws.cut.at(0).at, ws.period) <= at {
		ws.cut.popFront()
	}
	if ws.cut.len == 0 || ws.cut.last().at < at {
		ws.cut.pushBack(spent{at, uint64(most)})
	}
	return most
}

// recorded returns how many of n starts that were charged at a time are on the record.
func (ws *windows) recorded(at time.Duration, n int) int {
	i := sort.Search(ws.cut.len, func(i int) bool { return ws.cut.at(i).at >= at })
	if i < ws.cut.len && ws.cut.at(i).at == at {
		n = min(n, number(ws.cut.at(i).cost))
	}
	return n
}

// settle makes the starts recorded at a time fewer, if they still count, and reports that.
func (ws *windows) settle(now, at time.Duration, from, to int) bool {
	if add(at, ws.period) <= now {
		return false
	}
	first := sort.Search(ws.starts.len, func(i int) bool { return ws.starts.at(i) >= at })
	after := sort.Search(ws.starts.len, func(i int) bool { return ws.starts.at(i) > at })
	if first == after {
		return false
	}
	n := min(ws.recorded(at, from)-ws.recorded(at, to), after-first)
	ws.starts.remove(after-n, n)
	for i := range ws.limits {
		if g := ws.limits[i].grid; g != nil {
			g.remove(first, after, n)
		}
	}
	return true
}

// used returns how many starts are in the window that ends with now.
func (ws *windows) used(w *window, now time.Duration) int {
	return ws.starts.len - sort.Search(ws.starts.len, func(i int) bool { return add(ws.starts.at(i), w.period) > now })
}

// bound returns a moment before which nobody starts, from a time on, who has n others
// ahead. It is when everything would start as soon as each window alone allows it.
func (ws *windows) bound(from time.Duration, n int) time.Duration {
	at := from
	for i := range ws.limits {
		w := &ws.limits[i]
		full := time.Duration(n / w.calls) // windows that those ahead fill
		at = max(at, add(max(from, ws.opens(w, n%w.calls)), times(full, w.period)))
		if w.grid != nil {
			at = max(at, w.grid.bound(from, ws.opens(w, 0), n))
		}
	}
	return at
}

// busyUntil returns when the last start leaves every window.
func (ws *windows) busyUntil() time.Duration {
	if ws.starts.len == 0 {
		return longAgo
	}
	return add(*ws.starts.last(), ws.period)
}
