package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

// redisWaiters are limiters that share a quota through Redis, each letting one call
// through every interval.
var redisWaiters = []struct {
	name string
	make func(b *testing.B, rdb *redis.Client, perSecond int) func(context.Context) error
}{
	{"redispacer", redisPacer(1)},
	{"redispacer-lease-8", redisPacer(8)},
	{"redis-rate", func(_ *testing.B, rdb *redis.Client, perSecond int) func(context.Context) error {
		limiter := redis_rate.NewLimiter(rdb)
		limit := redis_rate.Limit{Rate: perSecond, Burst: 1, Period: time.Second}
		return func(ctx context.Context) error {
			// It says how long to wait, and reserves nothing: whoever waited asks again.
			for {
				res, err := limiter.Allow(ctx, "quota", limit)
				if err != nil || res.Allowed > 0 {
					return err
				}
				time.Sleep(res.RetryAfter)
			}
		}
	}},
}

func redisPacer(lease int) func(*testing.B, *redis.Client, int) func(context.Context) error {
	return func(b *testing.B, rdb *redis.Client, perSecond int) func(context.Context) error {
		p, err := redispacer.New(rdb, "quota", redispacer.Config{
			Limits: []pacer.Limit{{Calls: 1, Period: time.Second / time.Duration(perSecond)}},
			Lease:  lease,
		})
		if err != nil {
			b.Fatal(err)
		}
		return p.Wait
	}
}

// BenchmarkRedis is what a start costs callers who share a quota through Redis and
// always wait: round trips, time, and the share of the rate held.
func BenchmarkRedis(b *testing.B) {
	addr := startRedis(b)
	const perSecond = 1_000
	for _, goroutines := range []int{1, 8, 64} {
		for _, w := range redisWaiters {
			b.Run(fmt.Sprintf("rate=%d/goroutines=%d/%s", perSecond, goroutines, w.name), func(b *testing.B) {
				// A connection for each caller, or those who poll would wait for one another.
				rdb := redis.NewClient(&redis.Options{Addr: addr, PoolSize: goroutines + 1})
				defer rdb.Close()
				if err := rdb.FlushAll(b.Context()).Err(); err != nil {
					b.Fatal(err)
				}
				wait := w.make(b, rdb, perSecond)
				if err := wait(b.Context()); err != nil { // loads the script
					b.Fatal(err)
				}
				var trips tripCounter
				rdb.AddHook(&trips)

				b.ResetTimer()
				starts := record(b, wait, goroutines)
				b.StopTimer()
				interval := time.Second / perSecond
				b.ReportMetric(float64(trips.n.Load())/float64(len(starts)), "rtt/start")
				b.ReportMetric(float64(interval)*float64(b.N)/float64(starts[b.N]-starts[0]), "rate")
			})
		}
	}
}

// A tripCounter counts commands: neither limiter pipelines, so each is a round trip.
type tripCounter struct{ n atomic.Int64 }

func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// startRedis starts a redis-server that ends with the benchmark, and returns its
// address.
func startRedis(b *testing.B) (addr string) {
	b.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		b.Skipf("needs a redis-server on PATH: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	l.Close()

	cmd := exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", b.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var log strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&log, lines.Text())
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return addr // it logs no more than the pipe holds
		}
	}
	b.Fatalf("redis-server did not start:\n%s", log.String())
	return ""
}
