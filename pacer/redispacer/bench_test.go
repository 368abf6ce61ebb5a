package redispacer

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// BenchmarkWait is what a start costs callers who always wait, on a quota of 1,000 a
// second: round trips, and the share of the rate that is held.
func BenchmarkWait(b *testing.B) {
	rdb := startServer(b).client(b)
	for _, goroutines := range []int{1, 8, 64} {
		for _, lease := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("goroutines=%d/lease=%d", goroutines, lease), func(b *testing.B) {
				p := newPacer(b, rdb, Config{Limits: drip(1000, time.Second), Lease: lease})
				waitAll(b, p, goroutines)
				stats := p.Stats()
				b.ReportMetric(float64(stats.RoundTrips)/float64(stats.Granted), "rtt/start")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1000, "rate")
			})
		}
	}
}

// BenchmarkProcesses is the share of the rate that competing processes hold, on the
// server's clock, in whole windows from the second on and as long as all of them compete.
func BenchmarkProcesses(b *testing.B) {
	for _, c := range contests() {
		b.Run(c.name, func(b *testing.B) {
			var reserved []int64
			last := int64(math.MaxInt64)
			for _, h := range c.hold(b, b.N) {
				reserved = append(reserved, h.Reserved...)
				last = min(last, h.Reserved[len(h.Reserved)-1])
			}
			slices.Sort(reserved)
			if len(reserved) <= c.Limit.Calls {
				return
			}
			if periods := micros(last-reserved[c.Limit.Calls]) / c.Limit.Period; periods > 0 {
				from, _ := slices.BinarySearch(reserved, last-(periods*c.Limit.Period).Microseconds())
				to, _ := slices.BinarySearch(reserved, last)
				b.ReportMetric(float64(to-from)/float64(c.Limit.Calls)/float64(periods), "rate")
			}
		})
	}
}

// BenchmarkOneKey is the most starts a second that one Pacer has from one key, where the
// quota never holds anyone up. The share of Redis's own core is in BenchmarkScript.
func BenchmarkOneKey(b *testing.B) {
	rdb := startServer(b).client(b)
	for _, lease := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("lease=%d", lease), func(b *testing.B) {
			p := newPacer(b, rdb, Config{Limits: burst(1_000_000, time.Second), Lease: lease, Timeout: 5 * time.Second})
			waitAll(b, p, 256)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "starts/s")
		})
	}
}

// waitAll lets b.N callers start, so many goroutines at a time.
func waitAll(b *testing.B, p *Pacer, goroutines int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := p.Wait(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// BenchmarkScript is what one call of the script costs Redis itself, as it counts.
func BenchmarkScript(b *testing.B) {
	rdb := startServer(b).client(b)
	for _, tt := range []struct {
		name   string
		limits []pacer.Limit
		starts int
	}{
		{"1", burst(1_000_000, time.Second), 1},
		{"1/even", drip(1_000_000, time.Second), 1},
		{"1/three-limits", []pacer.Limit{{Calls: 1_000_000, Period: time.Second}, {Calls: 2_000_000, Period: time.Minute}, {Calls: 3_000_000, Period: time.Hour}}, 1},
		{"8", burst(1_000_000, time.Second), 8},
		{"64", burst(1_000_000, time.Second), 64},
		{"1000", burst(1_000_000, time.Second), 1000},
	} {
		b.Run("starts="+tt.name, func(b *testing.B) {
			s := newScript(rdb, b.Name(), tt.limits)
			req := request{budgets: make([]time.Duration, tt.starts)}
			for i := range req.budgets {
				req.budgets[i] = -1
			}
			if _, err := s.run(b.Context(), req); err != nil {
				b.Fatal(err)
			}
			if err := rdb.ConfigResetStat(b.Context()).Err(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.run(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(evalMicros(b, rdb), "redis-µs/call")
			b.ReportMetric(1e6*float64(tt.starts)/evalMicros(b, rdb), "starts/s-of-redis")
		})
	}
}

// evalMicros returns the mean time that Redis spent on a call of a script.
func evalMicros(b *testing.B, rdb *redis.Client) float64 {
	b.Helper()
	info := rdb.InfoMap(b.Context(), "commandstats").Item("Commandstats", "cmdstat_evalsha")
	var calls, total int64
	var each float64
	if _, err := fmt.Sscanf(info, "calls=%d,usec=%d,usec_per_call=%f", &calls, &total, &each); err != nil {
		b.Skipf("commandstats %q: %v", info, err)
	}
	return each
}
