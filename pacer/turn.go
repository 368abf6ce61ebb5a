package pacer

import (
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// Whose turn it is in a tree of pacers, and how it starts in all of them. All of this needs p.mu.

// passes reports whether the states of p and those above let a kind of callers start.
func (p *Pacer) passes(heard bool, now time.Duration) bool {
	for q := p; q != nil; q = q.parent {
		if q.states.state != StateFlowing {
			if q.pass(now); q.states.due(heard) > now {
				return false
			}
		}
	}
	return true
}

// only reports whether states let just one kind of callers pass, and which.
func (p *Pacer) only(now time.Duration) (heard, one bool) {
	heard = p.passes(true, now)
	return heard, heard != p.passes(false, now)
}

// first returns who goes first of p's own queue, nil if nobody waits there.
func (p *Pacer) first(now time.Duration) *waiter {
	head := p.queue.head
	if head == nil {
		return nil
	}
	if heard, one := p.only(now); one && heard != head.heard {
		if other := p.queue.firstOf(heard); other != nil {
			return other
		}
	}
	return head
}

// candidate returns who stands for p, nil if nobody can.
func (p *Pacer) candidate(now time.Duration) *waiter {
	if !p.tree.children {
		return p.first(now)
	}
	p.settleOwn()
	_, w := p.turnOf(now)
	return w
}

// candidate returns who stands for a class of p's, nil if nobody may start as far as p is not
// concerned.
func (c *class) candidate(p *Pacer, now time.Duration) *waiter {
	if c.pacer != nil {
		return c.pacer.ready(now)
	}
	return p.first(now)
}

// settleOwn has p's own callers take part if there are any.
func (p *Pacer) settleOwn() {
	if p.queue.len > 0 {
		p.tree.fair.ready(&p.tree.own)
	} else {
		p.tree.fair.unready(&p.tree.own)
	}
}

// turnOf returns the class whose turn it is and who stands for it. One that may not start any
// more leaves, and its candidate keeps time again.
func (p *Pacer) turnOf(now time.Duration) (*class, *waiter) {
	f := &p.tree.fair
	for c := f.least(); c != nil; c = f.least() {
		if w := c.candidate(p, now); w != nil {
			return p.ofKind(c, w, now)
		}
		f.unready(c)
	}
	return nil, nil
}

// ofKind returns c, for which w stands, or, where states let only the other kind of callers
// pass, the first class which has one to start.
func (p *Pacer) ofKind(c *class, w *waiter, now time.Duration) (*class, *waiter) {
	heard, one := p.only(now)
	if !one || w.heard == heard || p.tree.kinds[kind(heard)] == 0 {
		return c, w
	}
	first, its := c, w
	for _, other := range p.tree.fair.heap {
		if other == c || first != c && !other.before(first) { // asked again, c would ask anew all that is below
			continue
		}
		if w := other.candidate(p, now); w != nil && w.heard == heard {
			first, its = other, w
		}
	}
	return first, its
}

// ready returns who may start as far as p and those below are concerned. If nobody may, who
// stands for p is told to keep time.
func (p *Pacer) ready(now time.Duration) *waiter {
	w := p.candidate(now)
	if w == nil {
		return nil
	}
	if p.dueFor(w.slotAt(p), w.heard, now) > now {
		w.notify()
		return nil
	}
	return w
}

// dueFor returns when p lets a start happen, though nobody is ahead; forever where a flight
// must end first. Of a remote gate it knows nothing.
func (p *Pacer) dueFor(s *Slot, heard bool, now time.Duration) time.Duration {
	p.pass(now)
	due := max(p.states.due(heard), p.learned.due(nil, s.cost()))
	if p.flights.full() || p.schedule.tooCostly(s.cost()) != nil { // SetLimits is about to refuse it
		return forever
	}
	if p.remote == nil {
		due = max(due, p.schedule.due(s.cost()))
	}
	return due
}

// refresh judges anew, after something has changed in p, who stands for p and for those above,
// and tells those who are to ask or to keep time.
func (p *Pacer) refresh(now time.Duration) {
	if p.queue.head != nil && p.states.state != StateFlowing {
		p.queue.head.notify() // it may be held for too long
	}
	for q := p; q != nil; q = q.parent {
		w := q.ready(now)
		up := q.parent
		if up == nil {
			if w != nil {
				w.notify()
			}
			return
		}
		if w != nil {
			up.tree.fair.ready(&q.tree.class)
		} else {
			up.tree.fair.unready(&q.tree.class)
		}
		q.within(up.tree)
	}
}

// askTree asks for w, who waits, at p and all above, and takes the start everywhere if it may
// be. Who does not lead is told when it does.
func (p *Pacer) askTree(w *waiter, now time.Duration) (answer gate.Answer, leads bool) {
	at := longAgo
	for q := p; q != nil; q = q.parent {
		if first := q.candidate(now); first != w {
			if first != nil {
				first.notify()
			}
			return gate.Answer{At: forever, Again: true}, false
		}
		due := q.dueFor(w.slotAt(q), w.heard, now)
		at = max(at, due)
		if due > now {
			if q.states.state == StateProbing && q.states.due(w.heard) <= now && q.remote == nil {
				if q.states.limited(); q.states.state == StateFlowing {
					q.look()
					return p.askTree(w, now) // another may be first now
				}
			}
			if q.parent != nil {
				q.parent.tree.fair.unready(&q.tree.class)
				q.parent.refresh(now) // w may have come in place of one who stood there, and does not now
			}
			return gate.Answer{At: p.changes(w.heard, due, now), Again: true}, true
		}
		if q.parent != nil {
			q.parent.tree.fair.ready(&q.tree.class)
		}
	}
	answer = p.takeAll(w, at, now)
	if root := p.root(); root.states.state == StateProbing && !answer.Now(now) && answer.At < forever {
		if root.states.limited(); root.states.state == StateFlowing {
			root.look()
			return p.askTree(w, now)
		}
	}
	return answer, true
}

// changes returns due or, if that is earlier, when states let the other kind of callers pass.
func (p *Pacer) changes(heard bool, due, now time.Duration) time.Duration {
	for q := p; q != nil; q = q.parent {
		if at := q.states.due(!heard); q.states.state != StateFlowing && at > now {
			due = min(due, at)
		}
	}
	return due
}

// precedesOwn reports whether w, who has not joined, goes before all of p's own callers whom
// states let start.
func (p *Pacer) precedesOwn(w *waiter, now time.Duration) bool {
	first := p.first(now)
	return first == nil || w.before(first) || !p.passes(first.heard, now)
}

// askFirst is askTree for one who does not wait, and goes before those who do only where its
// turn is before theirs.
func (p *Pacer) askFirst(w *waiter, now time.Duration) gate.Answer {
	no := gate.Answer{At: forever, Again: true}
	if !p.passes(w.heard, now) || !p.precedesOwn(w, now) {
		return no
	}
	at := longAgo
	c := &p.tree.own
	for q := p; q != nil; q = q.parent {
		if q.tree.children {
			q.settleOwn()
			least, first := q.turnOf(now)
			if least != nil && least != c && !q.tree.fair.precedes(c, least) && q.passes(first.heard, now) {
				return no
			}
		}
		due := q.dueFor(w.slotAt(q), w.heard, now)
		if due > now {
			return no
		}
		at, c = max(at, due), &q.tree.class
	}
	return p.takeAll(w, at, now)
}

// takeAll takes a start at p and all above, which is due everywhere but in a remote gate.
func (p *Pacer) takeAll(w *waiter, at, now time.Duration) gate.Answer {
	if root := p.root(); root.remote != nil {
		answer := root.remote.Ask(now, w.slotAt(root).cost())
		if !answer.Now(now) {
			return answer
		}
		p.lent = answer.Err
	}
	if p.tree.children {
		p.tree.fair.served(&p.tree.own, p.share(w.slotAt(p).cost()))
	}
	for q := p; q != nil; q = q.parent {
		s := w.slotAt(q)
		if q.remote == nil {
			q.schedule.start(now, s.cost())
		}
		q.granted++
		q.begun++
		if q.learned != nil {
			q.learned.start(s.cost())
		}
		if s != nil {
			s.begin(q, now)
		}
		if q.states.state != StateFlowing {
			if q.states.started(now, q.number(), w.heard); q.states.state == StateFlowing || q.states.probed == now {
				q.look() // what a probe holds, and for how long, is known now
			}
		}
		if q.parent != nil {
			q.parent.tree.fair.served(&q.tree.class, q.parent.share(w.slotAt(q.parent).cost()))
		}
	}
	return gate.Answer{At: at}
}

// share returns the largest share that a start takes of any limit of p. What costs nothing is
// taken for 1: it needs a turn, a flight maybe, and without a share would always be the next.
func (p *Pacer) share(costs []int) (most u128) {
	for _, l := range p.limits {
		cost, whole := 1, max(l.Calls, l.Cost)
		if l.Cost > 0 {
			cost = max(1, costs[slices.Index(p.units, l.Unit)])
		}
		if l.Bucket > 0 {
			whole = l.Bucket
		}
		most = most.most(share(uint64(cost), uint64(whole)))
	}
	if len(p.limits) == 0 {
		most = share(1, uint64(max(1, p.flights.max)))
	}
	return most
}

// precedes reports whether c, if it were ready now, would have a turn before other's.
func (f *fair) precedes(c, other *class) bool {
	return c.tag.most(f.now).less(other.tag)
}

// turnFor asks for w, who waits, and reports whether it leads: whether it is to keep time.
func (p *Pacer) turnFor(w *waiter, now time.Duration) (answer gate.Answer, leads bool) {
	if p.tree != nil {
		return p.askTree(w, now)
	}
	if leads = p.leads(w, now); leads {
		answer = p.ask(w.slot, w.heard, now)
	}
	return answer, leads
}

// free takes a start for w, who has not joined, if it may be now.
func (p *Pacer) free(w *waiter, now time.Duration) bool {
	if p.tree != nil {
		return p.askFirst(w, now).Now(now)
	}
	return p.leads(w, now) && p.ask(w.slot, w.heard, now).Now(now)
}
