package pacer

import (
	"sort"
	"time"
)

// A bucket is what AWS, Stripe and Shopify limit by: it holds size, a start draws its
// cost, and rate flows back per period. So no window of length t holds more than
// size + t·rate/period.
//
// What is drawn and has not flowed back is kept in whole fractions of a nanosecond's
// flow, cost × period, so nothing is rounded but the moment of a start, which is
// rounded up.
type bucket struct {
	rate, period uint64
	size         u128

	drawn u128          // at last, after its draw
	last  time.Duration // the newest draw
	draws ring[draw]    // those that may still be settled, oldest first
}

// A draw is what was drawn at one moment.
type draw struct {
	at     time.Duration
	cost   uint64
	said   uint64 // of cost: what no start drew, but a server said is gone
	before u128   // what was drawn already
}

func newBucket(size, rate int, period time.Duration) *bucket {
	return &bucket{
		rate:   uint64(rate),
		period: uint64(period),
		size:   product(uint64(size), uint64(period)),
		last:   longAgo,
	}
}

func (b *bucket) amount(cost int) u128 { return product(uint64(cost), b.period) }

// flowed returns what is left of something drawn after so long.
func (b *bucket) flowed(drawn u128, after time.Duration) u128 {
	if drawn.isZero() {
		return drawn
	}
	return drawn.minus(product(uint64(after), b.rate))
}

func (b *bucket) drawnAt(now time.Duration) u128 { return b.flowed(b.drawn, now-b.last) }

func (b *bucket) due(cost int) time.Duration {
	return b.bound(b.last, 0, cost)
}

func (b *bucket) bound(from time.Duration, ahead, cost int) time.Duration {
	if ahead == 0 && cost == 0 || from == longAgo {
		return from
	}
	wanted := b.amount(ahead).plus(b.amount(cost)).plus(b.drawnAt(from))
	return add(from, duration(wanted.minus(b.size).up(b.rate)))
}

func (b *bucket) charge(now time.Duration, cost int) {
	if cost == 0 {
		return
	}
	before := b.drawnAt(now)
	switch {
	case before.isZero():
		b.draws.clear() // all has flowed back: nothing that was drawn before matters
	case b.last == now:
		d := b.draws.last()
		d.cost = sum(d.cost, uint64(cost))
		b.drawn = b.drawn.plus(b.amount(cost))
		return
	}
	for b.draws.len > 0 && add(b.draws.at(0).at, b.memory()) <= now {
		b.draws.popFront()
	}
	b.draws.pushBack(draw{at: now, cost: uint64(cost), before: before})
	b.drawn, b.last = before.plus(b.amount(cost)), now
}

// lower makes no more be left than was left at a time, less what was spent since. Parts of
// a cost are drawn whole.
func (b *bucket) lower(now, at time.Duration, left int, spent uint64) bool {
	most := b.size.plus(product(spent, b.period)).minus(b.amount(left)).minus(product(uint64(now-at), b.rate))
	more := most.minus(b.drawnAt(now))
	if more.isZero() {
		return false
	}
	gone := number(more.up(b.period))
	b.charge(now, gone)
	b.draws.ref(b.draws.len - 1).said += uint64(gone)
	return true
}

// settle lowers what was drawn from that moment on. What had flowed back by the next draw is
// none of it.
func (b *bucket) settle(now, at time.Duration, less int) bool {
	i := sort.Search(b.draws.len, func(i int) bool { return b.draws.at(i).at >= at })
	if i == b.draws.len || b.draws.at(i).at != at || add(at, b.memory()) <= now || b.drawnAt(now).isZero() {
		return false
	}
	d := b.draws.ref(i)
	back := min(d.cost, uint64(less))
	d.cost -= back
	lower := product(back, b.period)
	for i++; i < b.draws.len; i++ {
		next := b.draws.ref(i)
		if lower = lower.least(next.before); lower.isZero() {
			return false // all of it had flowed back by then
		}
		next.before = next.before.minus(lower)
	}
	b.drawn = b.drawn.minus(lower)
	return true
}

func (b *bucket) busyUntil() time.Duration {
	if b.draws.len == 0 {
		return longAgo
	}
	return add(b.last, duration(b.drawn.up(b.rate)))
}

// memory returns how long a full bucket takes to flow back.
func (b *bucket) memory() time.Duration { return duration(b.size.up(b.rate)) }

func (b *bucket) used(now time.Duration) (used, left int) {
	drawn := b.drawnAt(now)
	return number(drawn.up(b.period)), number(b.size.minus(drawn).over(b.period))
}
