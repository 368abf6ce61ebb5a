package pacer

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// How a grove is judged.

// working checks that nobody waits for nothing: whoever goes first of a pacer's own callers, and
// whom all levels let start, has; and so has who stands for the root.
func (g *grove) working() {
	root := g.pacers[0]
	root.mu.Lock()
	defer root.mu.Unlock()
	now := root.clock.Now()
	for i, p := range g.pacers {
		w := p.first(now)
		free := w != nil
		for q := p; free && q != nil; q = q.parent {
			free = q.dueFor(w.slotAt(q), w.heard, now) <= now
		}
		if free && !g.costs {
			g.Errorf("at %v the head of pacer %d could start and waits", g.now(), i)
		}
	}
	for i, p := range g.pacers {
		if w := p.queue.head; w != nil && !p.held(now) && !g.costs { // with costs another is found out later
			if at := p.predict(w, now); w.misses(at) != nil {
				g.Errorf("at %v the head of pacer %d waits until %v and cannot start before %v", g.now(), i, w.deadline, at)
			}
		}
	}
	if w := root.candidate(now); w != nil && root.dueFor(w.slotAt(root), w.heard, now) <= now {
		g.Errorf("at %v one whose turn it is could start and waits", g.now())
	}
}

// refused notes a refusal, to be judged when all starts of its moment are known: had nobody else
// been there, and nothing given back, c could not have started sooner than it was told, behind
// those ahead of it.
func (g *grove) refused(c *treeCaller, refusal *Error, ahead []*treeCaller) {
	what := "refused and judged"
	switch {
	case errors.Is(refusal, ErrNotNow):
		if what = "not now and judged"; refusal.Wait() == time.Millisecond {
			return // nobody knows
		}
	case !errors.Is(refusal, ErrDeadline):
		return
	}
	now, from := g.now(), g.now()
	path := g.path(c.pacer)
	limits := make([][]Limit, len(path))
	for i, q := range path {
		p := g.pacers[q]
		p.mu.Lock()
		p.pass(p.clock.Now())
		state := p.states
		p.mu.Unlock()
		switch {
		case state.state == StatePaused && len(ahead) == 0:
			from = max(from, now+state.until-p.clock.Now())
		case state.state != StateFlowing:
			return
		}
		if most := g.most[q]; most > 0 && g.flying[q]+len(ahead) >= most {
			return
		}
		limits[i] = g.limits[q][len(g.limits[q])-1].limits
	}
	g.reached[what]++
	line := append(slices.Clone(ahead), c)
	g.refusals = append(g.refusals, func() {
		if at := g.soonest(line, path, limits, now, from); now+refusal.Wait() > at {
			g.Errorf("pacer %d: %v at %v, but it could have started at %v, behind %d", c.pacer, refusal, now, at, len(ahead))
		}
	})
}

// soonest returns when the last of a line at a pacer, with that path and those limits, would have
// started for sure if nobody else had after now, and these not before a time.
func (g *grove) soonest(line []*treeCaller, path []int, limits [][]Limit, now, at time.Duration) time.Duration {
	starts := make([][]treeStart, len(path))
	for i, q := range path {
		for _, s := range g.record {
			if s.at <= now && slices.Contains(g.path(s.pacer), q) {
				starts[i] = append(starts[i], *s)
			}
		}
	}
	for _, w := range line {
		for again := true; again; {
			again = false
			for i := range path {
				for _, l := range limits[i] {
					if opens := l.roomFor(w.cost, starts[i], at); opens > at {
						at, again = opens, true
					}
				}
			}
		}
		for i := range path {
			starts[i] = append(starts[i], treeStart{treeCaller: *w, at: at})
		}
	}
	return at
}

// roomFor returns when l has room for one more start for sure, from a time on.
func (l Limit) roomFor(cost int, starts []treeStart, at time.Duration) time.Duration {
	most := l.Calls
	if l.Cost > 0 {
		most = l.Cost - cost
		if most < 0 {
			return forever // it will be refused as too costly
		}
		most++ // below what is used
		if cost == 0 {
			return at
		}
	}
	used := 0
	for _, s := range slices.Backward(starts) {
		if used += s.in(l); used >= most {
			at = max(at, s.at+l.Period)
			break
		}
	}
	if n := len(starts); n > 0 && l.Even {
		at = max(at, starts[n-1].at+l.Period/time.Duration(l.Calls)+1)
	}
	return at
}

// in returns what a start counts in a limit.
func (s *treeStart) in(l Limit) int {
	if l.Cost > 0 {
		return s.cost
	}
	return 1
}

func (g *grove) judge() {
	for _, judged := range g.refusals {
		judged()
	}
	for q, p := range g.pacers {
		var all []*treeStart
		for _, s := range g.record {
			if slices.Contains(g.path(s.pacer), q) {
				all = append(all, s)
			}
		}
		g.judgeLimits(q, all)
		canceled := 0
		for _, s := range all {
			if s.slot != nil && s.slot.canceled {
				canceled++
			}
		}
		if got := p.Stats().Granted; got != uint64(len(all)-canceled) {
			g.Errorf("pacer %d counts %d starts, want the %d of its own callers and those below", q, got, len(all)-canceled)
		}
		g.judgeOrder(q, all)
	}
}

// judgeLimits checks at each start that the limits of then hold.
func (g *grove) judgeLimits(q int, all []*treeStart) {
	for i, s := range all {
		if s.slot != nil && s.slot.canceled {
			continue
		}
		for _, l := range g.loosest(q, s.at) {
			used := 0
			for _, o := range all[:i+1] {
				if o.at > s.at-l.Period && (o.slot == nil || !o.slot.canceled) {
					used += o.in(l)
				}
			}
			if s.in(l) > 0 && used > max(l.Calls, l.Cost) {
				g.Errorf("pacer %d, %v: %d in the window to %v", q, l, used, s.at)
			}
		}
	}
}

// loosest returns the limits of a pacer at a time, of those at one moment the looser: nobody
// knows which was first.
func (g *grove) loosest(q int, at time.Duration) (limits []Limit) {
	for _, then := range g.limits[q] {
		switch {
		case then.from < at || limits == nil:
			limits = slices.Clone(then.limits)
		case then.from == at:
			for i, l := range then.limits {
				limits[i].Calls, limits[i].Cost = max(limits[i].Calls, l.Calls), max(limits[i].Cost, l.Cost)
			}
		}
	}
	return limits
}

// judgeOrder checks that those of a kind started in the order they came.
func (g *grove) judgeOrder(q int, all []*treeStart) {
	heard := slices.DeleteFunc(slices.Clone(all), func(s *treeStart) bool { return s.slot == nil })
	slices.SortStableFunc(heard, func(a, b *treeStart) int {
		return cmp.Compare(a.slot.level(g.pacers[q]).number, b.slot.level(g.pacers[q]).number)
	})
	last := -1
	for _, s := range heard {
		if s.pacer == q && s.waited {
			if s.number < last {
				g.Errorf("pacer %d: caller %d started after %d", q, s.number, last)
			}
			last = max(last, s.number)
		}
	}
	for _, s := range all {
		for _, o := range all {
			if s.pacer == q && o.pacer == q && s.slot == nil && o.slot == nil && s.waited && s.number < o.number && s.at > o.at {
				g.Errorf("pacer %d: caller %d of Wait started after %d", q, s.number, o.number)
			}
		}
	}
}
