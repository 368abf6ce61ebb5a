package retrypolicy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Backoff gives the delay before a retry. Retries count from 1; previous is the
// delay before the attempt that just failed, zero before the first retry. A
// negative result counts as zero. A Backoff must be safe for concurrent use.
type Backoff interface {
	Delay(retry int, previous time.Duration) time.Duration
}

// BackoffFunc is a function that is a [Backoff].
type BackoffFunc func(retry int, previous time.Duration) time.Duration

// Delay returns f(retry, previous).
func (f BackoffFunc) Delay(retry int, previous time.Duration) time.Duration {
	return f(retry, previous)
}

// Constant returns a [Backoff] that always waits d, without jitter. A negative d
// counts as zero; [New] refuses it.
func Constant(d time.Duration) Backoff { return constant(d) }

// Exponential returns a [Backoff] with full jitter: before retry n it draws
// uniformly from zero to min(max, base·2^(n-1)), both included. Jitter keeps
// callers that failed together from coming back together.
//
// A base of zero or less means no delay, and a max below the base is the ceiling
// from the first retry on; [New] refuses a negative base and a max below the base.
func Exponential(base, max time.Duration) Backoff { return exponential{base, max} }

// Decorrelated returns a [Backoff] that draws uniformly from base to three times
// the previous delay, or to max if that is less. It grows like [Exponential] but
// forgets how many retries there were, and never waits less than base. The draw is
// made below the ceiling instead of being cut off there, so that the jitter does
// not shrink as the delays approach it.
//
// The bounds are treated as in [Exponential].
func Decorrelated(base, max time.Duration) Backoff { return decorrelated{base, max} }

func (f BackoffFunc) validate() error {
	if f == nil {
		return errors.New("a nil BackoffFunc, must be a function (a nil Backoff means the default)")
	}
	return nil
}

type constant time.Duration

func (d constant) Delay(int, time.Duration) time.Duration { return max(0, time.Duration(d)) }

func (d constant) validate() error {
	if d < 0 {
		return fmt.Errorf("Constant(%v), must not be negative", time.Duration(d))
	}
	return nil
}

type exponential struct{ base, max time.Duration }

func (b exponential) Delay(retry int, _ time.Duration) time.Duration {
	return between(0, b.ceiling(retry))
}

// ceiling is min(max, base·2^(retry-1)). The comparison is made by shifting max
// down: shifting base up would overflow.
func (b exponential) ceiling(retry int) time.Duration {
	doublings := max(1, retry) - 1
	if b.base > b.max>>min(doublings, 63) {
		return b.max
	}
	if b.base <= 0 {
		return 0
	}
	return b.base << doublings
}

func (b exponential) validate() error { return validateRange("Exponential", b.base, b.max) }

// doubling waits what is the ceiling of an exponential of the same bounds.
type doubling exponential

func (b doubling) Delay(retry int, _ time.Duration) time.Duration {
	return exponential(b).ceiling(retry)
}

type decorrelated struct{ base, max time.Duration }

func (b decorrelated) Delay(_ int, previous time.Duration) time.Duration {
	if b.base <= 0 {
		return 0
	}
	previous = max(previous, b.base)
	if previous > b.max/3 {
		return between(b.base, b.max)
	}
	return between(b.base, 3*previous)
}

func (b decorrelated) validate() error { return validateRange("Decorrelated", b.base, b.max) }

// between draws uniformly from low to high, both included; high wins over low, and
// zero over both.
func between(low, high time.Duration) time.Duration {
	high = max(0, high)
	low = min(max(0, low), high)
	return low + time.Duration(rand.Uint64N(uint64(high-low)+1))
}

func validateRange(name string, base, max time.Duration) error {
	switch {
	case base < 0:
		return fmt.Errorf("%s(%v, %v), the base must not be negative", name, base, max)
	case max < base:
		return fmt.Errorf("%s(%v, %v), the maximum must be at least the base", name, base, max)
	default:
		return nil
	}
}
