//go:build unix

package pacer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// BenchmarkWaitFreeSlot is the cost of Wait when nothing has to be waited for.
func BenchmarkWaitFreeSlot(b *testing.B) {
	ctx := context.Background()
	p := pacer.Burst(1_000_000, time.Nanosecond)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrecision measures how evenly Drip starts callers who are always
// waiting, as the callers see it when Wait has returned:
//
//	within10%   share of gaps within 10 % of the interval
//	p50err-ns   median distance of a gap from the interval
//	p99err-ns   99th percentile of it
//	rate        starts per second, as a share of the rate asked for
//	cpu%        CPU time used, of one core
func BenchmarkPrecision(b *testing.B) {
	for _, rate := range []int{100, 1_000, 5_000, 20_000, 100_000} {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("rate=%d/goroutines=%d", rate, goroutines), func(b *testing.B) {
				measurePrecision(b, pacer.Drip(rate, time.Second).Wait, time.Second/time.Duration(rate), goroutines)
			})
		}
	}
}

func measurePrecision(b *testing.B, wait func(context.Context) error, interval time.Duration, goroutines int) {
	starts := make([]time.Duration, b.N+1)
	var taken atomic.Int64
	var wg sync.WaitGroup
	epoch, cpu := time.Now(), cpuTime()
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
	cpu = cpuTime() - cpu
	elapsed := time.Since(epoch)

	slices.Sort(starts)
	off, within := make([]time.Duration, b.N), 0
	for i := range off {
		off[i] = (starts[i+1] - starts[i] - interval).Abs()
		if off[i] <= interval/10 {
			within++
		}
	}
	slices.Sort(off)
	b.ReportMetric(float64(within)/float64(b.N), "within10%")
	b.ReportMetric(float64(off[b.N/2]), "p50err-ns")
	b.ReportMetric(float64(off[b.N*99/100]), "p99err-ns")
	b.ReportMetric(float64(interval)*float64(b.N)/float64(starts[b.N]-starts[0]), "rate")
	b.ReportMetric(100*float64(cpu)/float64(elapsed), "cpu%")
	b.ReportMetric(0, "ns/op")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
