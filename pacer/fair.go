package pacer

import "math/bits"

// maxWeight is the largest weight of a class.
const maxWeight = 1_000_000

// A fair queue shares starts among classes that wait, in proportion to their weights. It is
// start-time fair queueing (Goyal, Vin and Cheng, 1996): each class has a tag, the virtual time
// at which its next start begins; the least tag goes first, and of equal ones whichever has
// waited for its turn the longest. A start moves its class on by its share of what there is,
// divided by the weight. Virtual time is where the last start began; one that becomes ready
// begins there at the earliest, so that nobody saves up turns while it wants none.
//
// So while two classes are ready, what they get, each divided by its weight, differs by no more
// than the largest share of the one and that of the other, each divided by its weight: with
// weights 1:3:9 and like starts each 13 are 1, 3 and 9 of them, and between times no class is
// further than one start of its own from what its weight gives it. However many callers wait
// in a class, another that becomes ready has to let go before it one start of each class at most,
// and what others are behind.
//
// Nothing is rounded but a share, down to a 2⁶⁴th of the whole and alike for like starts, and
// where one begins that becomes ready: what division by the weight leaves over is kept. Virtual time ends after 2⁶⁴ wholes: a billion
// times a second all that there is for 584 years.
//
// A fair queue is guarded by its pacer's mu. Its zero value is empty.
type fair struct {
	heap     []*class // those that are ready, the least first
	now      u128     // virtual time; no ready class has a tag before it
	furthest u128     // tag of all
	turns    uint64
}

// A class is one of those that a fair queue shares starts among.
type class struct {
	pacer  *Pacer // whose it is; nil for a pacer's own callers
	weight uint64 // from 1 to maxWeight
	tag    u128
	over   uint64 // that weight did not divide
	turn   uint64 // in order of becoming ready, or of having been served since
	place  int    // in the heap, from 1; 0 = not ready
}

// share returns which share of a limit a cost is, in 2⁶⁴ths.
func share(cost, limit uint64) u128 {
	lo, _ := bits.Div64(cost%limit, 0, limit)
	return u128{cost / limit, lo}
}

// least returns the class whose turn it is, nil if none is ready.
func (f *fair) least() *class {
	if len(f.heap) == 0 {
		return nil
	}
	return f.heap[0]
}

// ready says that c wants a start from now on.
func (f *fair) ready(c *class) {
	if c.place > 0 {
		return
	}
	f.join(c)
	f.heap = append(f.heap, c)
	c.place = len(f.heap)
	f.up(c)
}

// unready says that c wants none any more, or cannot have one.
func (f *fair) unready(c *class) {
	if c.place == 0 {
		return
	}
	last := f.heap[len(f.heap)-1]
	f.heap[len(f.heap)-1] = nil
	f.heap = f.heap[:len(f.heap)-1]
	if last != c {
		f.put(last, c.place)
		f.up(last)
		f.down(last)
	}
	c.place = 0
	f.rest()
}

// served says that c has had a start of that share. It is the least as a rule; another, ready or
// not, holds nobody up.
func (f *fair) served(c *class, share u128) {
	f.join(c)
	began := c.tag
	c.advance(share)
	f.furthest = f.furthest.most(c.tag)
	if c.place > 0 {
		f.down(c)
	}
	if least := f.least(); least != nil {
		f.now = f.now.most(began.least(least.tag))
	}
	f.rest()
}

// join puts c behind those that wait for their turn with the same tag.
func (f *fair) join(c *class) {
	if c.tag.less(f.now) {
		c.tag, c.over = f.now, 0
	}
	f.turns++
	c.turn = f.turns
}

// rest makes all classes equal again once none is ready: nobody is owed anything then.
func (f *fair) rest() {
	if len(f.heap) == 0 {
		f.now = f.furthest
	}
}

func (c *class) advance(share u128) {
	hi, rest := bits.Div64(0, share.hi, c.weight)
	lo, rest := bits.Div64(rest, share.lo, c.weight)
	if c.over += rest; c.over >= c.weight {
		c.over -= c.weight
		c.tag = c.tag.plus(u128{lo: 1})
	}
	c.tag = c.tag.plus(u128{hi, lo})
}

func (c *class) before(other *class) bool {
	if c.tag != other.tag {
		return c.tag.less(other.tag)
	}
	over, others := product(c.over, other.weight), product(other.over, c.weight)
	return over.less(others) || over == others && c.turn < other.turn
}

func (f *fair) put(c *class, place int) {
	f.heap[place-1] = c
	c.place = place
}

func (f *fair) up(c *class) {
	for c.place > 1 {
		parent := f.heap[c.place/2-1]
		if !c.before(parent) {
			return
		}
		place := parent.place
		f.put(parent, c.place)
		f.put(c, place)
	}
}

func (f *fair) down(c *class) {
	for 2*c.place <= len(f.heap) {
		child := f.heap[2*c.place-1]
		if 2*c.place < len(f.heap) && f.heap[2*c.place].before(child) {
			child = f.heap[2*c.place]
		}
		if !child.before(c) {
			return
		}
		place := child.place
		f.put(child, c.place)
		f.put(c, place)
	}
}
