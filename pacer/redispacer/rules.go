package redispacer

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

const (
	longAgo = time.Duration(math.MinInt64)
	forever = time.Duration(math.MaxInt64)
)

// Kinds of rules, as the script names them.
const (
	window = 1
	even   = 2
	cost   = 3
	bucket = 4
)

// rules are limits as the script takes them.
type rules struct {
	each []rule
	span time.Duration // the longest Period, or what a bucket takes to fill
	args []any
}

type rule struct {
	kind   int
	unit   int // 0 = starts
	amount int // starts, cost, or the bucket's size
	period time.Duration
	rate   int // what flows back into a bucket in a period
}

// newRules takes limits that count in units, starts first.
func newRules(limits []gate.Limit, units []string, margin time.Duration) *rules {
	rs := &rules{}
	var args []any
	all := fnv.New64a()
	for _, l := range limits {
		r := rule{kind: window, unit: slices.Index(units, l.Unit), amount: max(l.Calls, l.Cost), period: add(l.Period, margin)}
		aside := int64(0)
		switch {
		case l.Bucket > 0:
			r.kind, r.rate, r.amount, r.period = bucket, r.amount, l.Bucket, l.Period
			aside = int64(r.rate)
			rs.span = max(rs.span, min(portion(r.amount, r.period, r.rate), maxPeriod))
		case l.Cost > 0:
			r.kind = cost
		case l.Even:
			r.kind = even
			aside = max(1, microsUp(r.period)/int64(r.amount))
		}
		rs.each = append(rs.each, r)
		rs.span = max(rs.span, r.period)
		name := fmt.Sprint(l, margin)
		fmt.Fprintln(all, name)
		args = append(args, r.kind, r.unit, r.amount, microsUp(r.period), aside, number(name))
	}
	rs.args = append(rs.args, int64(all.Sum64()>>12), len(units)-1)
	for _, unit := range units[1:] {
		rs.args = append(rs.args, number(unit))
	}
	rs.args = append(append(rs.args, len(limits)), args...)
	return rs
}

// number is what a name is called in Redis. Lua is exact up to 53 bits.
func number(name string) int64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return int64(h.Sum64() >> 12)
}

// bound returns a moment before which nobody starts who has so much ahead, given when there
// was room for a start of certain costs.
func (r *rule) bound(now, room time.Duration, knownFor, ahead, costs []int) time.Duration {
	switch r.kind {
	case window:
		if full := ahead[0] / r.amount; full > 0 {
			return add(max(now, room), times(full, r.period))
		}
		return room
	case even:
		return add(max(now, room), times(ahead[0], r.period/time.Duration(r.amount)))
	}
	at := now
	if costs[r.unit] > 0 && (r.unit == 0 || knownFor != nil && costs[r.unit] >= knownFor[r.unit-1]) {
		at = max(at, room)
	}
	sum := ahead[r.unit] + costs[r.unit]
	switch {
	case costs[r.unit] == 0, sum <= r.amount:
		return at
	case r.kind == bucket:
		return max(at, add(now, portion(sum-r.amount, r.period, r.rate)))
	default:
		return max(at, add(now, times((sum-1)/r.amount, r.period)))
	}
}

// add returns t + d without overflow; d must not be negative.
func add(t, d time.Duration) time.Duration {
	if t > forever-d {
		return forever
	}
	return t + d
}

// times returns n·d without overflow; neither must be negative.
func times(n int, d time.Duration) time.Duration { return portion(n, d, 1) }

// portion returns n·d/of without overflow.
func portion(n int, d time.Duration, of int) time.Duration {
	hi, lo := bits.Mul64(uint64(n), uint64(d))
	if hi >= uint64(of) {
		return forever
	}
	q, _ := bits.Div64(hi, lo, uint64(of))
	return time.Duration(min(q, math.MaxInt64))
}
