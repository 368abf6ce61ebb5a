package pacer

import (
	"math"
	"math/bits"
	"time"
)

// A u128 holds the product of any two numbers in a Limit. Its sums are cut to its range.
type u128 struct{ hi, lo uint64 }

func product(a, b uint64) u128 {
	hi, lo := bits.Mul64(a, b)
	return u128{hi, lo}
}

// plus returns x + y, or the largest u128 if that is more.
func (x u128) plus(y u128) u128 {
	lo, carry := bits.Add64(x.lo, y.lo, 0)
	hi, carry := bits.Add64(x.hi, y.hi, carry)
	if carry != 0 {
		return u128{math.MaxUint64, math.MaxUint64}
	}
	return u128{hi, lo}
}

// minus returns x - y, or 0 if y is more.
func (x u128) minus(y u128) u128 {
	lo, borrow := bits.Sub64(x.lo, y.lo, 0)
	hi, borrow := bits.Sub64(x.hi, y.hi, borrow)
	if borrow != 0 {
		return u128{}
	}
	return u128{hi, lo}
}

func (x u128) less(y u128) bool { return x.hi < y.hi || x.hi == y.hi && x.lo < y.lo }

func (x u128) least(y u128) u128 {
	if y.less(x) {
		return y
	}
	return x
}

func (x u128) most(y u128) u128 {
	if x.less(y) {
		return y
	}
	return x
}

func (x u128) isZero() bool { return x == u128{} }

// over returns x / d, rounded down, or the largest uint64 if that is less.
func (x u128) over(d uint64) uint64 {
	if x.hi >= d {
		return math.MaxUint64
	}
	quotient, _ := bits.Div64(x.hi, x.lo, d)
	return quotient
}

// rescaled returns x · to / from, rounded up.
func (x u128) rescaled(from, to uint64) u128 {
	whole := x.over(from)
	part := product(x.minus(product(whole, from)).lo, to)
	return product(whole, to).plus(u128{lo: part.up(from)})
}

// up returns x / d, rounded up.
func (x u128) up(d uint64) uint64 { return x.plus(u128{lo: d - 1}).over(d) }

// duration returns n nanoseconds, or forever if that is less.
func duration(n uint64) time.Duration { return time.Duration(min(n, uint64(forever))) }

// number returns n, or the largest int if that is less.
func number(n uint64) int { return int(min(n, math.MaxInt)) }

// sum returns a + b, or the largest uint64 if that is less.
func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
