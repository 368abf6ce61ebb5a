package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"go.uber.org/ratelimit"
	"golang.org/x/time/rate"
)

// waiters are the limiters compared, each letting one call through every interval.
var waiters = []struct {
	name string
	make func(perSecond int) func(context.Context) error
}{
	{"pacer", func(n int) func(context.Context) error { return pacer.Drip(n, time.Second).Wait }},
	{"x-time-rate", func(n int) func(context.Context) error { return rate.NewLimiter(rate.Limit(n), 1).Wait }},
	{"uber-ratelimit", func(n int) func(context.Context) error {
		limiter := ratelimit.New(n, ratelimit.WithoutSlack)
		return func(context.Context) error { limiter.Take(); return nil }
	}},
}

// BenchmarkFreeSlot is the cost of a wait that does not have to wait.
func BenchmarkFreeSlot(b *testing.B) {
	for _, w := range []struct {
		name string
		wait func(context.Context) error
	}{
		{"pacer", pacer.Burst(1_000_000, time.Nanosecond).Wait},
		{"x-time-rate", rate.NewLimiter(1e12, 1_000_000).Wait},
	} {
		b.Run(w.name, func(b *testing.B) {
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := w.wait(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrecision is how evenly callers who always wait are started, as they see
// it: the share of gaps within 10 % of the interval, and the share of the rate held.
func BenchmarkPrecision(b *testing.B) {
	for _, perSecond := range []int{1_000, 5_000} {
		for _, goroutines := range []int{1, 64} {
			for _, w := range waiters {
				b.Run(fmt.Sprintf("rate=%d/goroutines=%d/%s", perSecond, goroutines, w.name), func(b *testing.B) {
					interval := time.Second / time.Duration(perSecond)
					starts := record(b, w.make(perSecond), goroutines)
					within := 0
					for i := range b.N {
						if (starts[i+1] - starts[i] - interval).Abs() <= interval/10 {
							within++
						}
					}
					b.ReportMetric(float64(within)/float64(b.N), "within10%")
					b.ReportMetric(float64(interval)*float64(b.N)/float64(starts[b.N]-starts[0]), "rate")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}

// record returns when b.N+1 starts happened, in order.
func record(b *testing.B, wait func(context.Context) error, goroutines int) []time.Duration {
	starts := make([]time.Duration, b.N+1)
	var taken atomic.Int64
	var wg sync.WaitGroup
	epoch := time.Now()
	for range goroutines {
		wg.Go(func() {
			for i := taken.Add(1); i <= int64(len(starts)); i = taken.Add(1) {
				if err := wait(context.Background()); err != nil {
					b.Error(err)
				}
				starts[i-1] = time.Since(epoch)
			}
		})
	}
	wg.Wait()
	slices.Sort(starts)
	return starts
}
