package pacer

import (
	"context"
	"sync"
	"time"
)

// A tree is what a pacer knows of its children, and of its place among its parent's. It is nil
// where there are neither, and guarded by Pacer.mu.
//
// One waiter of each pacer is its candidate: that of its own queue, or of the child whose turn
// it is. Who is candidate keeps time for that pacer's limits, and when these let it start it
// stands for its pacer one level up. So whoever is candidate of the root, and may start there,
// starts in all.
type tree struct {
	class class // this pacer among its parent's children
	own   class // its own callers among its children
	fair  fair  // of its children and its own callers those that may start as far as it is not concerned
	below
}

// A mutex is a pacer's own, or its root's: what happens in a tree happens at one moment.
type mutex struct {
	own    sync.Mutex
	shared *sync.Mutex
}

func (m *mutex) Lock()   { m.the().Lock() }
func (m *mutex) Unlock() { m.the().Unlock() }

func (m *mutex) the() *sync.Mutex {
	if m.shared != nil {
		return m.shared
	}
	return &m.own
}

// Parent returns Config.Parent, nil where there is none.
func (p *Pacer) Parent() *Pacer { return p.parent }

// The methods below need p.mu, but for adopted.

// adopts makes p ready to have children. It returns p or, where a Keyed has forgotten it, the
// pacer that is in its place.
func (p *Pacer) adopts() *Pacer {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next(0).adopts()
	}
	defer p.mu.Unlock()
	if p.tree == nil {
		p.tree = newTree(p, 1)
	}
	if !p.tree.children {
		p.tree.children = true
		p.countQueue()
	}
	p.refresh(p.clock.Now())
	return p
}

// adopted makes p, which nobody knows yet, a child.
func (p *Pacer) adopted(by *Pacer, weight int) {
	p.parent, p.mu.shared = by, by.mu.the()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tree = newTree(p, weight)
	p.states.deaf = p.speaker() != p
}

func newTree(p *Pacer, weight int) *tree {
	return &tree{class: class{pacer: p, weight: uint64(weight)}, own: class{weight: 1}}
}

func (p *Pacer) root() *Pacer {
	for p.parent != nil {
		p = p.parent
	}
	return p
}

// speaker returns the pacer whose business is what a server says to starts of p.
func (p *Pacer) speaker() *Pacer {
	for p.parent != nil && (p.passUp || len(p.limits) == 0) {
		p = p.parent
	}
	return p
}

// level returns the slot that s is part of as counted by a pacer above.
func (s *Slot) level(of *Pacer) *Slot {
	for s != nil && s.pacer != of {
		s = s.up
	}
	return s
}

// slotAt returns w's slot as q counts it, w's pacer or one above.
func (w *waiter) slotAt(q *Pacer) *Slot {
	s := w.slot
	for p := w.pacer; p != q && s != nil; p = p.parent {
		s = s.up
	}
	if len(q.units) > len(s.cost()) {
		w.slot = w.pacer.estimate(w.ctx, w.slot) // SetLimits has added a unit
		return w.slotAt(q)
	}
	return s
}

// look has all heads of p and below see who is held for too long, or starts too late.
func (p *Pacer) look() {
	p.each(func(q *Pacer) {
		if head := q.queue.head; head != nil {
			q.expires = longAgo
			head.notify()
		}
	})
}

// rouseTree tells those who stand for p and for those above. While a state may let only one kind
// of callers pass, others may stand for what is below than before.
func (p *Pacer) rouseTree(now time.Duration) {
	if !p.flows() {
		p.rouseBelow()
	}
	p.refresh(now)
}

// rouseBelow has p and all below find out who stands for them, where both kinds of callers wait:
// one that is held by a state of its own may have let another kind stand while p held all.
func (p *Pacer) rouseBelow() {
	if kinds := p.tree.kinds; kinds[0] == 0 || kinds[1] == 0 {
		return
	}
	p.each(func(q *Pacer) {
		if head := q.queue.head; head != nil {
			head.notify()
			if other := q.queue.firstOf(!head.heard); other != nil {
				other.notify()
			}
		}
	})
}

// flows reports whether nobody is held by a state, here or above.
func (p *Pacer) flows() bool {
	for q := p; q != nil; q = q.parent {
		if q.states.state != StateFlowing {
			return false
		}
	}
	return true
}

// advance lets time pass for the states of p and those above.
func (p *Pacer) advance(now time.Duration) {
	for q := p; q != nil; q = q.parent {
		q.pass(now)
	}
}

// pass lets time pass for the states of p. When callers flow again by that, it can be told by
// their places whether they start in time.
func (p *Pacer) pass(now time.Duration) {
	if p.states.state == StateFlowing {
		return
	}
	if p.states.advance(now); p.states.state == StateFlowing {
		p.look()
	}
}

// holds reports whether flights are bounded, here or above.
func (p *Pacer) holds() bool {
	for q := p; q != nil; q = q.parent {
		if q.flights.max > 0 {
			return true
		}
	}
	return false
}

// lastFreed returns when something was last given back, here or above.
func (p *Pacer) lastFreed() time.Duration {
	freed := p.freed
	for q := p.parent; q != nil; q = q.parent {
		freed = max(freed, q.freed)
	}
	return freed
}

// boundAbove returns a moment before which the pacers above let nobody start who has so many
// of p's callers ahead. What those cost there is not added up, and others' callers are not
// foreseen.
func (p *Pacer) boundAbove(ahead int, w *waiter, now time.Duration) time.Duration {
	at := longAgo
	if p.parent != nil && !p.inPlace(w.heard) {
		ahead = 0
	}
	for q := p.parent; q != nil; q = q.parent {
		clear(q.ahead)
		q.ahead[0] = ahead
		at = max(at, q.bound(q.ahead, w.slotAt(q).cost(), now))
	}
	return at
}

// estimateUp notes what a start costs in the pacers above.
func (p *Pacer) estimateUp(ctx context.Context, s *Slot) {
	for q := p.parent; q != nil; q = q.parent {
		if s.up == nil {
			s.up = new(Slot)
		}
		s = s.up
		if keys := q.keys.Load(); keys != nil {
			s.estimate(ctx, *keys)
		}
	}
}
