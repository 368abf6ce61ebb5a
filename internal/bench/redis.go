package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

// sharing are limiters that share a quota through Redis, each letting one call through every interval.
var sharing = []struct {
	name string
	make func(rdb *redis.Client, perSecond int) (func(context.Context) error, error)
}{
	{"pacedhttp, redispacer", func(rdb *redis.Client, perSecond int) (func(context.Context) error, error) {
		p, err := redispacer.New(rdb, "quota", redispacer.Config{
			Limits: []pacer.Limit{{Calls: 1, Period: time.Second / time.Duration(perSecond)}},
		})
		if err != nil {
			return nil, err
		}
		return p.Wait, nil
	}},
	{"redis_rate", func(rdb *redis.Client, perSecond int) (func(context.Context) error, error) {
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
		}, nil
	}},
}

// shared is what a start costs callers who share a quota through Redis and always wait.
func shared(e effort) (table, error) {
	const perSecond = 1_000
	t := table{
		About: "1,000 calls a second, shared through Redis by 1, 8 and 64 callers who always wait: round trips a start, the server's own " +
			"microseconds a start, and the share of the rate that is held, in per cent.",
		Columns: []string{"trips, 1", "trips, 8", "trips, 64", "µs, 1", "µs, 8", "µs, 64", "rate, 1", "rate, 8", "rate, 64"},
		Chart:   chart{Name: "redis", Title: "Round trips to Redis a start, 64 callers", Column: 2},
	}
	addr, stop, err := startRedis()
	if err != nil {
		t.About += " Not measured: " + err.Error() + "."
		return t, nil
	}
	defer stop()
	for _, s := range sharing {
		var trips, micros, rates []float64
		for _, callers := range []int{1, 8, 64} {
			trip, µs, rate, err := overRedis(addr, s.make, perSecond, callers, perSecond*int(e)/3)
			if err != nil {
				return t, fmt.Errorf("%s: %w", s.name, err)
			}
			trips, micros, rates = append(trips, trip), append(micros, µs), append(rates, 100*rate)
		}
		t.add(s.name, slices.Concat(trips, micros, rates)...)
	}
	return t, nil
}

// overRedis returns how many round trips a start takes, and how many microseconds of the server, and
// the share of the rate that is held.
func overRedis(addr string, limiter func(*redis.Client, int) (func(context.Context) error, error), perSecond, callers, n int) (trips, µs, rate float64, err error) {
	// A connection for each caller, or those who poll would wait for one another.
	rdb := redis.NewClient(&redis.Options{Addr: addr, PoolSize: callers + 1})
	defer rdb.Close()
	ctx := context.Background()
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		return 0, 0, 0, err
	}
	wait, err := limiter(rdb, perSecond)
	if err != nil {
		return 0, 0, 0, err
	}
	if err := wait(ctx); err != nil { // loads the script
		return 0, 0, 0, err
	}
	if err := rdb.ConfigResetStat(ctx).Err(); err != nil {
		return 0, 0, 0, err
	}
	var counter tripCounter
	rdb.AddHook(&counter)
	starts, err := record(wait, callers, n)
	if err != nil {
		return 0, 0, 0, err
	}
	trips = float64(counter.n.Load()) / float64(n)
	_, held := evenness(starts, time.Second/time.Duration(perSecond))
	µs, err = scriptMicros(ctx, rdb)
	return trips, µs / float64(n), held, err
}

// scriptMicros is how long the server has run scripts for since its statistics were reset.
func scriptMicros(ctx context.Context, rdb *redis.Client) (µs float64, err error) {
	var calls float64
	stats := rdb.InfoMap(ctx, "commandstats").Item("Commandstats", "cmdstat_evalsha")
	if _, err := fmt.Sscanf(stats, "calls=%g,usec=%g,", &calls, &µs); err != nil {
		return 0, fmt.Errorf("commandstats %q: %w", stats, err)
	}
	return µs, nil
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

// startRedis starts a redis-server on a free port of loopback, with further options.
func startRedis(options ...string) (addr string, stop func(), err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, fmt.Errorf("needs a redis-server on PATH: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(path, append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", dir}, options...)...)
	stop = func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		_ = os.RemoveAll(dir)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		stop()
		return "", nil, err
	}
	var log strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&log, lines.Text())
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return addr, stop, nil // it logs no more than the pipe holds
		}
	}
	stop()
	return "", nil, fmt.Errorf("redis-server ended:\n%s", &log)
}
