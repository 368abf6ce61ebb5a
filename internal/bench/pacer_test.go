package main

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// BenchmarkFreeSlot is the cost of a start that is free at once, by as many goroutines as there are
// cores.
func BenchmarkFreeSlot(b *testing.B) {
	for _, l := range unlimited {
		b.Run(l.name, func(b *testing.B) {
			wait := l.make(0)
			b.ReportAllocs()
			for b.Loop() {
				if err := wait(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(l.name+", contended", func(b *testing.B) {
			wait := l.make(0)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := wait(context.Background()); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkPrecision is how evenly callers who always wait are started, as they see
// it: the share of gaps within 10 % of the interval, and the share of the rate held.
func BenchmarkPrecision(b *testing.B) {
	for _, perSecond := range []int{1_000, 5_000} {
		for _, callers := range []int{1, 64} {
			for _, l := range evenly {
				b.Run(fmt.Sprintf("rate=%d/callers=%d/%s", perSecond, callers, l.name), func(b *testing.B) {
					starts, err := record(l.make(perSecond), callers, b.N+1)
					if err != nil {
						b.Fatal(err)
					}
					within, held := evenness(starts, time.Second/time.Duration(perSecond))
					b.ReportMetric(within, "within10%")
					b.ReportMetric(held, "rate")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
