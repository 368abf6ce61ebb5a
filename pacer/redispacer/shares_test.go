package redispacer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A sharer is a process of so many callers, each of whom waits again a moment after it started.
type sharer struct {
	callers int
	away    time.Duration // from Redis, each way
}

// share lets processes wait without a break and returns how often each of them started in a span
// of time, and how many round trips all made for a start. No caller is as late as another, and no
// trip takes as long.
func share(t *testing.T, limit pacer.Limit, processes []sharer, span time.Duration) (starts []int, trips float64) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) {
			return rand.N(5 * ms), 100 * time.Microsecond
		}
		ctx, cancel := context.WithCancel(t.Context())
		warm := time.Now().Add(3 * time.Second)
		var mu sync.Mutex
		counted, calls := 0, 0
		starts = make([]int, len(processes))
		var wg sync.WaitGroup
		for i, s := range processes {
			p := mustNew(t, distant{f, s.away}, Config{Limits: []pacer.Limit{limit}, Timeout: 5 * time.Second})
			for range s.callers {
				wg.Go(func() {
					for p.Wait(ctx) == nil {
						mu.Lock()
						if time.Now().After(warm) {
							starts[i]++
							counted++
						}
						mu.Unlock()
						time.Sleep(rand.N(3 * ms))
					}
				})
			}
		}
		time.Sleep(time.Until(warm))
		f.mu.Lock()
		calls = f.calls
		f.mu.Unlock()
		time.Sleep(span)
		f.mu.Lock()
		calls = f.calls - calls
		f.mu.Unlock()
		cancel()
		wg.Wait()
		time.Sleep(10 * time.Second) // until the last round trips have ended
		trips = float64(calls) / float64(counted)
		if possible := int(span.Seconds() * float64(limit.Calls) / limit.Period.Seconds()); counted < possible*98/100-1 {
			t.Errorf("%d of %d starts, want 0.98 at least", counted, possible)
		}
	})
	return starts, trips
}

// A distant is a client so far away from Redis.
type distant struct {
	redis.UniversalClient
	away time.Duration
}

func (d distant) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	time.Sleep(d.away)
	defer time.Sleep(d.away)
	return d.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

func (d distant) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	time.Sleep(d.away)
	defer time.Sleep(d.away)
	return d.UniversalClient.Eval(ctx, script, keys, args...)
}

// wantShares checks that none has more or less than an equal part by more than 20 % and one start.
func wantShares(t *testing.T, starts []int) {
	t.Helper()
	total := 0
	for _, n := range starts {
		total += n
	}
	fair := float64(total) / float64(len(starts))
	for i, n := range starts {
		if float64(n) < 0.8*fair-1 || float64(n) > 1.2*fair+1 {
			t.Errorf("process %d has %d starts, want %.1f: %v", i, n, fair, starts)
			return
		}
	}
}

func TestProcessesThatWaitShareEqually(t *testing.T) {
	for _, c := range []struct {
		processes int
		limit     pacer.Limit
		span      time.Duration
		trips     float64 // a start at most; in a burst nobody knows who comes first
	}{
		{2, perSecond(20, true), 5 * time.Second, 3},
		{9, perSecond(10, true), 20 * time.Second, 4},
		{9, perSecond(50, false), 5 * time.Second, 3},
		{25, perSecond(25, true), 8 * time.Second, 4},
		{100, perSecond(10, true), time.Minute, 20},
		{100, perSecond(100, true), 20 * time.Second, 4},
		{100, perSecond(1000, true), 3 * time.Second, 3},
	} {
		t.Run(fmt.Sprintf("%d at %d a second, even %v", c.processes, c.limit.Calls, c.limit.Even), func(t *testing.T) {
			if c.processes > 25 && !*whole {
				t.Skip("takes some 20 s: run with -whole")
			}
			processes := make([]sharer, c.processes)
			for i := range processes {
				processes[i].callers = 1
			}
			starts, trips := share(t, c.limit, processes, c.span)
			wantShares(t, starts)
			t.Logf("%.2f round trips a start", trips)
			if trips > c.trips {
				t.Errorf("%.2f round trips a start, want %.0f at most", trips, c.trips)
			}
		})
	}
}

// In a burst it has less: its callers are on their way when the burst is taken.
func TestAFarProcessHasItsShareAndNoMore(t *testing.T) {
	for _, limit := range []pacer.Limit{perSecond(20, true), perSecond(100, true)} {
		t.Run(fmt.Sprintf("%d a second", limit.Calls), func(t *testing.T) {
			near := sharer{callers: 20}
			starts, _ := share(t, limit, []sharer{{callers: 20, away: 100 * ms}, near, near, near}, 10*time.Second)
			wantShares(t, starts)
		})
	}
}

func TestManyCallersOfAProcessAreOneInLine(t *testing.T) {
	starts, _ := share(t, perSecond(50, true), []sharer{{callers: 100}, {callers: 5}, {callers: 2}}, 10*time.Second)
	wantShares(t, starts)
}
