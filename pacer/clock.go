package pacer

import (
	"math"
	"math/bits"
	"time"
)

// Times are readings of a Pacer's clock, and never wrap around.
const (
	longAgo = time.Duration(math.MinInt64) // before every reading of the clock
	forever = time.Duration(math.MaxInt64) // after every reading of the clock
)

// add returns t + d without overflow; d must not be negative.
func add(t, d time.Duration) time.Duration {
	if t > forever-d {
		return forever
	}
	return t + d
}

// times returns n·d without overflow; neither must be negative.
func times(n, d time.Duration) time.Duration {
	hi, lo := bits.Mul64(uint64(n), uint64(d))
	if hi != 0 || lo > uint64(forever) {
		return forever
	}
	return time.Duration(lo)
}
