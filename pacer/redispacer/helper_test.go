package redispacer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

const ms = time.Millisecond

func burst(calls int, period time.Duration) []pacer.Limit {
	return []pacer.Limit{{Calls: calls, Period: period}}
}

func drip(calls int, period time.Duration) []pacer.Limit {
	return []pacer.Limit{{Calls: calls, Period: period, Even: true}}
}

func mustNew(t testing.TB, rdb redis.UniversalClient, cfg Config) *Pacer {
	t.Helper()
	p, err := New(rdb, "quota", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// starts lets n callers wait, one after the other in the queue, and returns when they started.
func starts(t *testing.T, p *Pacer, n int) []time.Duration {
	t.Helper()
	began := time.Now()
	var mu sync.Mutex
	var at []time.Duration
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := p.Wait(t.Context()); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(began))
		})
	}
	wg.Wait()
	slices.Sort(at)
	return at
}

// callAfter lets somebody wait and returns how that ended. The caller is in the queue then.
func callAfter(ctx context.Context, p *Pacer) <-chan error {
	result := make(chan error, 1)
	go func() { result <- p.Wait(ctx) }()
	synctest.Wait()
	return result
}

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// scriptWithClock is the script on a clock of the test's own, which is under a key of Redis.
func scriptWithClock() *redis.Script {
	return redis.NewScript(strings.NewReplacer(
		"local now = time[1] * 1000000 + time[2]", "local now = tonumber(redis.call('GET', 'clock'))",
		"'PEXPIRE', record, ", "'PEXPIRE', record, 1000 * ", // the server's own clock goes on, however slow the test is
		"'PX', ", "'PX', 1000 * ",
	).Replace(source))
}

// seeds returns how many worlds a random test makes.
func seeds(usual, all uint64) uint64 {
	if *whole {
		return all
	}
	return usual
}
