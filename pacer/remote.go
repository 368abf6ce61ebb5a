package pacer

import (
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

func init() {
	gate.New = func(config any, remote func(gate.Queue) gate.Remote) (any, error) {
		return newPacer(config.(Config), remote)
	}
}

// A viewed is a Pacer as its remote gate sees it.
type viewed struct{ *Pacer }

var _ gate.Queue = viewed{}

func (v viewed) Lock()              { v.mu.Lock() }
func (v viewed) Unlock()            { v.mu.Unlock() }
func (v viewed) Now() time.Duration { return v.clock.Now() }
func (v viewed) Wake()              { v.rouse() }

func (v viewed) Begun() int64 { return v.begun }

func (v viewed) Waiting() int {
	if v.tree == nil {
		return v.queue.len
	}
	return v.tree.kinds[0] + v.tree.kinds[1]
}

func (v viewed) Next(now time.Duration, f func(costs []int) bool) {
	v.nextBelow(now, func(w *waiter) bool { return f(w.slotAt(v.Pacer).cost()) })
}

func (v viewed) Pause(now, until time.Duration, told bool) {
	v.turn(now, func() { v.states.pause(min(now, until-1), until, told) })
}

func (v viewed) Resume(now time.Duration) {
	v.turn(now, func() { v.states.resume() })
}

// nextBelow calls f for those of p and of the pacers below it who would start now if nothing
// above p held them. It stops when f returns false, and reports whether it did not. It needs
// p.mu.
func (p *Pacer) nextBelow(now time.Duration, f func(*waiter) bool) bool {
	left, goesOn := -1, true
	take := func(w *waiter) bool {
		if left < 0 {
			left = p.room(w, now)
		}
		if left--; left >= 0 {
			goesOn = f(w)
		}
		return left > 0 && goesOn
	}
	if head := p.first(now); head != nil {
		more := take(head)
		p.queue.each(func(*waiter) bool { return !more }, func(w *waiter) {
			if w != head && more {
				more = take(w)
			}
		})
	}
	if p.tree == nil {
		return goesOn
	}
	for _, child := range p.tree.ends {
		if left == 0 || !goesOn {
			break
		}
		child.nextBelow(now, take)
	}
	return goesOn
}

// room returns how many may start now as far as p is concerned, of whom w is the first. Of a
// remote gate it knows nothing. It needs p.mu.
func (p *Pacer) room(w *waiter, now time.Duration) int {
	s := w.slotAt(p)
	switch {
	case p.dueFor(s, w.heard, now) > now:
		return 0
	case p.states.state != StateFlowing:
		return 1
	}
	most := maxNext
	if p.flights.max > 0 {
		most = p.flights.max - p.flights.len
	}
	if p.remote != nil && p.learned == nil {
		return most
	}
	ahead := make([]int, len(p.units))
	for n := 1; n < most; n++ {
		addCosts(ahead, s.cost())
		if p.learned.due(ahead, s.cost()) > now || p.remote == nil && p.schedule.Bound(now, ahead, s.cost()) > now {
			return n
		}
	}
	return most
}

// maxNext bounds what room looks at.
const maxNext = 1000

// beyond returns limits as a remote gate takes them.
func beyond(limits []Limit) []gate.Limit {
	all := make([]gate.Limit, len(limits))
	for i, l := range limits {
		all[i] = gate.Limit(l)
	}
	return all
}
