package pacer

import (
	"container/heap"
	"slices"
	"time"
)

// below is what a pacer knows of all who wait at it and below it, so that whoever has become too
// late is found without looking at every child. It is part of a tree, and guarded like it.
type below struct {
	kinds    [2]int // how many wait: of those of whom nothing more will be heard, and of others
	ends     ending // children in which, or below which, somebody waits
	first    time.Duration
	place    int   // among the parent's ends, from 1; 0 = none
	lengths  []int // how many queues are so long
	longest  int   // of the queues
	dearest  []int // costs no less than of anybody who waits
	cheapest []int // costs no more than of any start
	children bool  // there have been some
}

// ending is a heap of pacers, the one first where the first time is up of somebody who waits at
// or below it.
type ending []*Pacer

func (e ending) Len() int           { return len(e) }
func (e ending) Less(i, j int) bool { return e[i].tree.first < e[j].tree.first }
func (e ending) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].tree.place, e[j].tree.place = i+1, j+1
}
func (e *ending) Push(p any) {
	*e = append(*e, p.(*Pacer))
	p.(*Pacer).tree.place = len(*e)
}
func (e *ending) Pop() any {
	last := len(*e) - 1
	p := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	p.tree.place = 0
	return p
}

// by returns those where somebody's time is up by t. Place counts from 1.
func (e ending) by(t time.Duration, place int, found []*Pacer) []*Pacer {
	if place > len(e) || e[place-1].tree.first > t {
		return found
	}
	found = append(found, e[place-1])
	return e.by(t, 2*place+1, e.by(t, 2*place, found))
}

// kind returns the place of a kind of callers in below.kinds.
func kind(heard bool) int {
	if heard {
		return 1
	}
	return 0
}

// The methods below need p.mu.

// each calls f for p and those below it in which somebody waits. It may make them wait no more.
func (p *Pacer) each(f func(*Pacer)) {
	f(p)
	if p.tree != nil {
		for _, child := range slices.Clone(p.tree.ends) {
			child.each(f)
		}
	}
}

// endingBy is each where somebody's time is up by t.
func (p *Pacer) endingBy(t time.Duration, f func(*Pacer)) {
	if all := p.queue.root; all != nil && all.ends <= t {
		f(p)
	}
	if p.tree != nil {
		for _, child := range p.tree.ends.by(t, 1, nil) {
			child.endingBy(t, f)
		}
	}
}

// joined and left count w, which has joined or left p's queue, there and above.
func (p *Pacer) joined(w *waiter) {
	for q := p; q != nil; q = q.parent {
		b := &q.tree.below
		b.kinds[kind(w.heard)]++
		if !b.children {
			continue
		}
		b.count(p.queue.len, 1)
		b.count(p.queue.len-1, -1)
		b.dearest = atLeast(b.dearest, w.slotAt(q).cost())
	}
}

func (p *Pacer) left(w *waiter) {
	for q := p; q != nil; q = q.parent {
		b := &q.tree.below
		b.kinds[kind(w.heard)]--
		if !b.children {
			continue
		}
		b.count(p.queue.len+1, -1)
		b.count(p.queue.len, 1)
		if b.kinds == [2]int{} {
			clear(b.dearest)
		}
	}
}

// countQueue counts all who wait at p itself, which is about to have children.
func (p *Pacer) countQueue() {
	b := &p.tree.below
	b.kinds = [2]int{}
	if p.queue.len > 0 {
		b.kinds = [2]int{p.queue.root.size - p.queue.root.reports, p.queue.root.reports}
	}
	b.count(p.queue.len, 1)
	p.queue.each(func(*waiter) bool { return false }, func(w *waiter) { b.dearest = atLeast(b.dearest, w.slot.cost()) })
}

// count counts more queues of a length.
func (b *below) count(length, more int) {
	if length == 0 {
		return
	}
	if length >= len(b.lengths) {
		b.lengths = slices.Grow(b.lengths, length+1-len(b.lengths))[:length+1]
	}
	b.lengths[length] += more
	for b.longest = max(b.longest, length); b.longest > 0 && b.lengths[b.longest] == 0; {
		b.longest--
	}
}

// atLeast returns the larger of most and costs, by unit.
func atLeast(most, costs []int) []int {
	if len(most) < len(costs) {
		most = append(most, make([]int, len(costs)-len(most))...)
	}
	for u, cost := range costs {
		most[u] = max(most[u], cost)
	}
	return most
}

// within puts p into its place among those of its parent's children where somebody waits.
func (p *Pacer) within(up *tree) {
	first := forever
	if all := p.queue.root; all != nil {
		first = all.ends
	}
	if len(p.tree.ends) > 0 {
		first = min(first, p.tree.ends[0].tree.first)
	}
	was, place := p.tree.first, p.tree.place
	p.tree.first = first
	switch {
	case p.tree.kinds == [2]int{}:
		if place > 0 {
			heap.Remove(&up.ends, place-1)
		}
	case place == 0:
		heap.Push(&up.ends, p)
	case first != was:
		heap.Fix(&up.ends, place-1)
	}
}

// refuseLater is refuseTooLate where nothing has happened but that p lets starts happen later.
func (p *Pacer) refuseLater(now time.Duration) {
	if p.tree == nil || !p.tree.children || p.held(now) {
		p.refuseTooLate(now)
		return
	}
	p.refuseLate(now)
	clear(p.ahead)
	p.ahead[0] = max(0, p.tree.longest-1)
	p.tree.dearest = atLeast(p.tree.dearest, p.none)
	last := p.bound(p.ahead, p.tree.dearest, now) // of anybody, as far as p knows
	for _, child := range p.tree.ends.by(last, 1, nil) {
		child.endingBy(last, func(q *Pacer) { q.refuseLate(now) })
	}
}

// refuseBehind refuses those who were waiting for the start that another child has had just now.
func (p *Pacer) refuseBehind(now time.Duration) {
	for q := p; q != nil; q = q.parent {
		if !q.tree.children || q.tree.kinds == [2]int{} || q.held(now) {
			continue
		}
		q.tree.cheapest = atLeast(q.tree.cheapest, q.none)
		q.tree.cheapest[0] = 1
		next := q.bound(q.none, q.tree.cheapest, now)
		q.endingBy(next, func(q *Pacer) { q.refuseLate(now) })
	}
}
