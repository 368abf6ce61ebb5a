package redispacer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// BenchmarkWait is what a start costs callers who always wait, on a quota of 1,000 a
// second: round trips, and the share of the rate that is held.
func BenchmarkWait(b *testing.B) {
	rdb := startServer(b).client(b)
	for _, goroutines := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			p := newPacer(b, rdb, Config{Limits: drip(1000, time.Second)})
			waitAll(b, p, goroutines)
			stats := p.Stats()
			b.ReportMetric(float64(stats.Shared.RoundTrips)/float64(stats.Granted), "rtt/start")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1000, "rate")
		})
	}
}

// BenchmarkOneKey is the most starts a second that one Pacer has from one key, where the
// quota never holds anyone up. The share of Redis's own core is in BenchmarkScript.
func BenchmarkOneKey(b *testing.B) {
	rdb := startServer(b).client(b)
	p := newPacer(b, rdb, Config{Limits: burst(1_000_000, time.Second), Timeout: 5 * time.Second})
	waitAll(b, p, 256)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "starts/s")
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

// BenchmarkScript is what one call of the script costs Redis itself, as it counts, and what
// a start adds to its append-only file.
func BenchmarkScript(b *testing.B) {
	s := startServer(b, "--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")
	rdb := s.client(b)
	second := time.Second
	tokens := pacer.Limit{Cost: 1_000_000_000, Unit: "tokens", Period: time.Minute}
	for _, tt := range []struct {
		name   string
		limits []pacer.Limit
		starts int
		line   int // other processes in line
	}{
		{"starts=1", burst(1_000_000, second), 1, 0},
		{"starts=1/even", drip(1_000_000, second), 1, 0},
		{"starts=1/three-limits", []pacer.Limit{{Calls: 1_000_000, Period: second}, {Calls: 2_000_000, Period: time.Minute}, {Calls: 3_000_000, Period: time.Hour}}, 1, 0},
		{"starts=1/bucket", []pacer.Limit{{Calls: 1_000_000, Period: second, Bucket: 1_000_000}}, 1, 0},
		{"starts=1/cost", []pacer.Limit{tokens}, 1, 0},
		{"starts=8", burst(1_000_000, second), 8, 0},
		{"starts=64", burst(1_000_000, second), 64, 0},
		{"starts=256", burst(1_000_000, second), 256, 0},
		{"waits", burst(1, time.Hour), 1, 0},
		{"waits/line=10", drip(1, second), 1, 10},
		{"waits/line=100", drip(1, second), 1, 100},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var limits []gate.Limit
			for _, l := range tt.limits {
				limits = append(limits, gate.Limit(l))
			}
			units := unitsOf(limits)
			s := newScript(rdb, "", b.Name(), 1)
			req := request{rules: newRules(limits, units, 0), horizon: 10 * ms}
			for range tt.starts {
				req.wanted = append(req.wanted, make([]int, len(units)-1))
				for u := range units[1:] {
					req.wanted[len(req.wanted)-1][u] = 10
				}
			}
			run := func(s *script) {
				if _, err := s.run(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
			run(s)
			if err := rdb.ConfigResetStat(b.Context()).Err(); err != nil {
				b.Fatal(err)
			}
			before, n := aofBytes(b, rdb), 0
			for b.Loop() {
				if n++; tt.line > 0 && n%10 == 1 {
					b.StopTimer() // they would be struck out soon
					for i := range tt.line {
						run(newScript(rdb, "", b.Name(), int64(2+i)))
					}
					b.StartTimer()
				}
				run(s)
			}
			b.ReportMetric(evalMicros(b, rdb), "redis-µs/call")
			b.ReportMetric(float64(aofBytes(b, rdb)-before)/float64(n*tt.starts), "aof-B/start")
			b.ReportMetric(float64(rdb.MemoryUsage(b.Context(), s.keys[0]).Val()), "memory-B")
		})
	}
}

func aofBytes(b *testing.B, rdb *redis.Client) (size int64) {
	b.Helper()
	fmt.Sscan(rdb.InfoMap(b.Context(), "persistence").Item("Persistence", "aof_current_size"), &size)
	return size
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
