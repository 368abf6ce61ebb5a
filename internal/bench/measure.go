package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// effort is how much is measured: 1 to see that it works, 10 for a page.
type effort int

// record has callers take n starts, and returns when each saw its own, in order.
func record(wait func(context.Context) error, callers, n int) ([]time.Duration, error) {
	starts := make([]time.Duration, n)
	var taken atomic.Int64
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	epoch := time.Now()
	for range callers {
		wg.Go(func() {
			for i := taken.Add(1); i <= int64(n); i = taken.Add(1) {
				if err := wait(context.Background()); err != nil {
					once.Do(func() { failed = err })
				}
				starts[i-1] = time.Since(epoch)
			}
		})
	}
	wg.Wait()
	slices.Sort(starts)
	return starts, failed
}

// evenness returns the share of gaps that are within a tenth of the interval, and the share of the
// rate that was held.
func evenness(starts []time.Duration, interval time.Duration) (within, held float64) {
	n := 0
	for i := range len(starts) - 1 {
		if (starts[i+1] - starts[i] - interval).Abs() <= interval/10 {
			n++
		}
	}
	gaps := len(starts) - 1
	return float64(n) / float64(gaps), float64(interval) * float64(gaps) / float64(starts[gaps]-starts[0])
}

// most returns how many starts the fullest window of a length holds.
func most(starts []time.Duration, window time.Duration) int {
	fullest, first := 0, 0
	for i, at := range starts {
		for at-starts[first] >= window {
			first++
		}
		fullest = max(fullest, i-first+1)
	}
	return fullest
}

// inTurn calls each so many times, in turn, and returns the median times of one call. The order
// changes from turn to turn, since who comes after the one that leaves most garbage pays for it.
func inTurn(times int, calls ...func()) []time.Duration {
	took := make([][]time.Duration, len(calls))
	for range times {
		for _, i := range rand.Perm(len(calls)) {
			began := time.Now()
			calls[i]()
			took[i] = append(took[i], time.Since(began))
		}
	}
	medians := make([]time.Duration, len(calls))
	for i := range took {
		medians[i] = median(took[i])
	}
	return medians
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
