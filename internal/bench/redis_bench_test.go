package main

import (
	"fmt"
	"testing"
)

// BenchmarkRedis is what a start costs callers who share a quota through Redis and
// always wait: round trips, and the share of the rate held.
func BenchmarkRedis(b *testing.B) {
	addr, stop, err := startRedis()
	if err != nil {
		b.Skip(err)
	}
	defer stop()
	const perSecond = 1_000
	for _, callers := range []int{1, 8, 64} {
		for _, s := range sharing {
			b.Run(fmt.Sprintf("rate=%d/callers=%d/%s", perSecond, callers, s.name), func(b *testing.B) {
				trips, µs, rate, err := overRedis(addr, s.make, perSecond, callers, b.N+1)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(trips, "rtt/start")
				b.ReportMetric(µs, "redis-µs/start")
				b.ReportMetric(rate, "rate")
			})
		}
	}
}
