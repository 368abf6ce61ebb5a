package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

// tokensEach is what each start costs where there is a limit of tokens.
const tokensEach = 10

// charging are limiters that keep limits in Redis which hold nobody up.
var charging = []struct {
	name string
	make func(rdb *redis.Client) (func(context.Context) error, error)
}{
	{"redispacer, a window", paces(pacer.Limit{Calls: 1000, Period: time.Millisecond})},
	{"redispacer, Even", paces(pacer.Limit{Calls: 1_000_000, Period: time.Second, Even: true})},
	{"redispacer, a bucket", paces(pacer.Limit{Calls: 1_000_000, Period: time.Second, Bucket: 1000})},
	{"redispacer, a window and tokens", paces(
		pacer.Limit{Calls: 1000, Period: time.Millisecond},
		pacer.Limit{Cost: 1_000_000, Unit: "tokens", Period: 100 * time.Millisecond})},
	{"redispacer, three windows", paces(
		pacer.Limit{Calls: 1000, Period: time.Millisecond},
		pacer.Limit{Calls: 2000, Period: 2 * time.Millisecond},
		pacer.Limit{Calls: 3000, Period: 3 * time.Millisecond})},
	{"redis_rate, a bucket", allows(1)},
	{"redis_rate, a bucket and tokens", allows(1, tokensEach)},
	{"redis_rate, three buckets", allows(1, 1, 1)},
}

func paces(limits ...pacer.Limit) func(*redis.Client) (func(context.Context) error, error) {
	return func(rdb *redis.Client) (func(context.Context) error, error) {
		p, err := redispacer.New(rdb, "quota", redispacer.Config{Limits: limits})
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return p.Wait(pacer.WithCost(ctx, "tokens", tokensEach)) }, nil
	}
}

// allows asks redis_rate for each of several limits, as it has one to a call.
func allows(costs ...int) func(*redis.Client) (func(context.Context) error, error) {
	return func(rdb *redis.Client) (func(context.Context) error, error) {
		limiter := redis_rate.NewLimiter(rdb)
		limit := redis_rate.Limit{Rate: 1_000_000, Burst: 1_000_000, Period: time.Second}
		return func(ctx context.Context) error {
			for i, cost := range costs {
				if _, err := limiter.AllowN(ctx, fmt.Sprint("quota", i), limit, cost); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
}

// redisCost is what a start costs the server, by its own count.
func redisCost(e effort) (table, error) {
	t := table{
		About: "What a start costs the server where the limits hold nobody up and one caller starts after the other: its own time, by its " +
			"own count, what its append-only file grows by, and the memory that is in use after it.",
		Columns: []string{"µs", "AOF bytes", "memory, bytes"},
		Chart:   chart{Name: "rediscost", Title: "Microseconds of Redis a start"},
	}
	addr, stop, err := startRedis("--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")
	if err != nil {
		t.About += " Not measured: " + err.Error() + "."
		return t, nil
	}
	defer stop()
	for _, c := range charging {
		values, err := charged(addr, c.make, 1000*int(e))
		if err != nil {
			return t, fmt.Errorf("%s: %w", c.name, err)
		}
		t.add(c.name, values...)
	}
	return t, nil
}

// charged returns what each of n starts costs the server.
func charged(addr string, limiter func(*redis.Client) (func(context.Context) error, error), n int) ([]float64, error) {
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	ctx := context.Background()
	wait, err := limiter(rdb)
	if err != nil {
		return nil, err
	}
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		return nil, err
	}
	if err := wait(ctx); err != nil { // loads the script
		return nil, err
	}
	if err := rdb.ConfigResetStat(ctx).Err(); err != nil {
		return nil, err
	}
	before, err := aofSize(ctx, rdb)
	if err != nil {
		return nil, err
	}
	for range n {
		if err := wait(ctx); err != nil {
			return nil, err
		}
	}
	after, err := aofSize(ctx, rdb)
	if err != nil {
		return nil, err
	}
	µs, err := scriptMicros(ctx, rdb)
	if err != nil {
		return nil, err
	}
	memory := 0.0
	keys, err := rdb.Keys(ctx, "*").Result()
	for _, key := range keys {
		memory += float64(rdb.MemoryUsage(ctx, key).Val())
	}
	return []float64{µs / float64(n), (after - before) / float64(n), memory}, err
}

// aofSize is how long the server's append-only file is.
func aofSize(ctx context.Context, rdb *redis.Client) (size float64, err error) {
	_, err = fmt.Sscan(rdb.InfoMap(ctx, "persistence").Item("Persistence", "aof_current_size"), &size)
	return size, err
}
