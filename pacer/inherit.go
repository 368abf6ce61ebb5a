package pacer

import (
	"slices"
	"sort"
	"time"
)

// This is how a schedule goes on under other limits. Each limit that stays goes on as it was.
// One that is new begins with what the earlier ones of its unit had to remember, as if it had
// been there already; but a bucket that takes the place of another is as empty as that one was.

// spent is what was charged at one moment.
type spent struct {
	at   time.Duration
	cost uint64
}

// under returns s with other limits, whose units are among those given.
func (s *schedule) under(was, limits []Limit, units []string, margin, now time.Duration) schedule {
	next := *s
	next.windows, next.rules, next.plan = windows{}, nil, plan{}
	earlier := predecessors(was, limits)
	var grids []*grid // that go on, by window
	for i, l := range limits {
		unit := slices.Index(units, l.Unit)
		next.add(l, unit, margin)
		j := earlier[i]
		switch {
		case l.isWindow():
			grids = append(grids, nil)
			if j >= 0 {
				grids[len(grids)-1] = s.limits[place(was, j)].grid
			}
		case j < 0:
			for _, c := range s.history(unit, now) {
				next.rules[len(next.rules)-1].charge(c.at, number(c.cost))
			}
		case was[j] == l:
			next.rules[len(next.rules)-1].meter = s.rules[place(was, j)].meter
		default:
			next.rules[len(next.rules)-1].meter.(*bucket).replace(s.rules[place(was, j)].meter.(*bucket), now)
		}
	}
	if next.calls > 0 {
		next.windows.inherit(&s.windows, s.ruled(0, now), grids, now)
		next.forgot = next.forgot || s.calls == 0 && s.last != longAgo
	}
	return next
}

// predecessors returns for each limit the place of the one before the change that it is, or is
// in place of; -1 where it is new.
func predecessors(was, limits []Limit) []int {
	places := slices.Repeat([]int{-1}, len(limits))
	for _, fits := range []func(old, l Limit) bool{
		func(old, l Limit) bool { return old == l },
		func(old, l Limit) bool { return old.Unit == l.Unit && old.Bucket > 0 && l.Bucket > 0 },
	} {
		for i, l := range limits {
			for j, old := range was {
				if places[i] < 0 && !slices.Contains(places, j) && fits(old, l) {
					places[i] = j
				}
			}
		}
	}
	return places
}

// place returns the place of limit j among windows, if it is one, or among rules.
func place(limits []Limit, j int) (n int) {
	for _, l := range limits[:j] {
		if l.isWindow() == limits[j].isWindow() {
			n++
		}
	}
	return n
}

// history returns what was charged in a unit, as far back as any limit has to remember.
func (s *schedule) history(unit int, now time.Duration) []spent {
	all := s.ruled(unit, now)
	if unit == 0 {
		all = longer(all, s.windows.history(now))
	}
	return all
}

// ruled is history without windows.
func (s *schedule) ruled(unit int, now time.Duration) (all []spent) {
	for _, r := range s.rules {
		if r.unit == unit {
			all = longer(all, r.history(now))
		}
	}
	return all
}

// longer returns the one that goes back further.
func longer(a, b []spent) []spent {
	if len(a) == 0 || len(b) > 0 && b[0].at < a[0].at {
		return b
	}
	return a
}

func (ws *windows) history(now time.Duration) (all []spent) {
	for i := ws.oldest(now); i < ws.starts.len; i++ {
		at := ws.starts.at(i)
		if n := len(all); n > 0 && all[n-1].at == at {
			all[n-1].cost++
		} else {
			all = append(all, spent{at, 1})
		}
	}
	return all
}

// oldest returns the place of the oldest start that a window or a grid has to remember.
func (ws *windows) oldest(now time.Duration) int {
	return sort.Search(ws.starts.len, func(i int) bool { return add(ws.starts.at(i), max(ws.period, ws.reach)) > now })
}

// inherit records what is on the record of other windows, and before that what buckets alone
// remember. Of the grids of ws those given go on; the others begin after what was sent last.
func (ws *windows) inherit(other *windows, remembered []spent, grids []*grid, now time.Duration) {
	first := other.oldest(now)
	ws.forgot = other.forgot || first > 0
	matters := func(at time.Duration) bool { return add(at, max(ws.period, ws.reach)) > now }
	for _, c := range remembered {
		if first < other.starts.len && c.at >= other.starts.at(first) {
			break
		}
		if !matters(c.at) {
			ws.forgot = true
			continue
		}
		for range ws.counted(c.at, number(c.cost)) {
			ws.record(c.at, grids, func(*grid) time.Duration { return c.at })
		}
	}
	for i := range other.cut.len {
		ws.cut.pushBack(other.cut.at(i))
	}
	for i := first; i < other.starts.len; i++ {
		at := other.starts.at(i)
		if !matters(at) {
			ws.forgot = true
			continue
		}
		sent := at
		for _, w := range other.limits {
			if w.grid != nil && w.grid.taken.at(i) == notOnGrid {
				sent = notOnGrid
			}
		}
		ws.record(at, grids, func(earlier *grid) time.Duration {
			if earlier != nil {
				return earlier.taken.at(i)
			}
			return sent
		})
	}
	for i := range ws.limits {
		if g := ws.limits[i].grid; g != nil {
			g.follow()
		}
	}
}

// record puts a start at the end of the record, on each grid at the slot that it took there.
func (ws *windows) record(at time.Duration, grids []*grid, slot func(earlier *grid) time.Duration) {
	ws.starts.pushBack(at)
	for i := range ws.limits {
		if g := ws.limits[i].grid; g != nil {
			g.taken.pushBack(slot(grids[i]))
		}
	}
}

func (w *costWindow) history(now time.Duration) (all []spent) {
	w.forget(now)
	for i := range w.costs.len {
		all = append(all, spent{w.costs.at(i).at, w.total(i) - w.total(i-1)})
	}
	return all
}

func (b *bucket) history(now time.Duration) (all []spent) {
	if b.drawnAt(now).isZero() {
		return nil
	}
	for i := range b.draws.len {
		if d := b.draws.at(i); d.cost > d.said && add(d.at, b.memory()) > now {
			all = append(all, spent{d.at, d.cost - d.said})
		}
	}
	return all
}

// replace puts b in the place of another bucket: what is drawn stays drawn, though it be more
// than b holds, and flows back as it does in b from now on.
func (b *bucket) replace(other *bucket, now time.Duration) {
	drawn := other.drawnAt(now)
	if drawn.isZero() {
		return
	}
	scaled := func(u u128) u128 { return u.rescaled(other.period, b.period) }
	b.drawn, b.last = scaled(drawn), now
	for i := range other.draws.len {
		if d := other.draws.at(i); add(d.at, other.memory()) > now {
			// What was drawn before may be given back: then there is as much as if it had never been.
			b.draws.pushBack(draw{d.at, d.cost, d.said, b.drawn.minus(scaled(drawn.minus(d.before)))})
		}
	}
	for b.draws.len > 0 && b.draws.last().cost == 0 {
		b.draws.len--
	}
	if b.draws.len == 0 || b.draws.last().at < now {
		b.draws.pushBack(draw{at: now, before: b.drawn}) // no more of what was drawn before can be given back
	}
}
