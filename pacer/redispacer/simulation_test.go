package redispacer

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// TestThousandClientsWithABadNetwork lets 1,000 processes, 60 where it is not run whole, share
// 500 starts a second, with
// round trips of 5 to 50 ms of which 1 % are lost, half of them on the way back, and 1 % of the
// processes dying each second.
func TestThousandClientsWithABadNetwork(t *testing.T) {
	warm, end := 1500*ms, 3000*ms
	clients := 60
	if *whole {
		clients, end = 1000, 4500*ms
	}
	for name, limit := range map[string]pacer.Limit{
		"burst": {Calls: 250, Period: 500 * ms},
		"drip":  {Calls: 250, Period: 500 * ms, Even: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				f.saw = &witness{reserved: make(map[reservation]int64)}
				random := rand.New(rand.NewPCG(1, 2))
				var mu sync.Mutex // of random and of what is counted
				chance := func() float64 {
					mu.Lock()
					defer mu.Unlock()
					return random.Float64()
				}
				f.delay = func(int) (time.Duration, time.Duration) {
					trip := 5*ms + time.Duration(chance()*float64(45*ms))
					there := time.Duration(chance() * float64(trip))
					return there, trip - there
				}
				f.fail = func(int) error {
					if chance() >= 0.005 {
						return nil
					}
					time.Sleep(time.Second) // the client's own timeout
					return errors.New("i/o timeout")
				}
				f.drop = func(int) bool { return chance() < 0.005 }

				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				var starts []int64
				var pacers []*Pacer
				var wg sync.WaitGroup
				live := func() {
					life, end := context.WithCancel(ctx)
					rdb := &harmed{UniversalClient: f, end: end}
					p := mustNew(t, rdb, Config{Limits: []pacer.Limit{limit}, Timeout: 250 * ms})
					mu.Lock()
					pacers = append(pacers, p)
					lifetime := time.Duration(random.ExpFloat64() * float64(100*time.Second))
					mu.Unlock()
					time.AfterFunc(lifetime, rdb.die) // it gives back nothing
					wg.Go(func() {
						for life.Err() == nil {
							switch err := p.Wait(life); {
							case err == nil:
								mu.Lock()
								starts = append(starts, time.Now().UnixMicro())
								mu.Unlock()
							case errors.Is(err, ErrUnavailable):
								time.Sleep(20 * ms) // a caller that tries again
							}
						}
					})
				}
				for range clients {
					live()
				}
				for range clients * 45 / 1000 { // others take the place of those who die
					time.AfterFunc(time.Duration(chance()*float64(end)), live)
				}
				time.Sleep(end)
				cancel()
				wg.Wait()
				time.Sleep(time.Minute) // until the last round trips have ended

				reserved := f.saw.times()
				checkWindows(t, reserved, limit)
				checkEven(t, reserved, limit, 2)
				slices.Sort(starts)
				var inTime, failures uint64
				for _, at := range starts {
					if at >= began.Add(warm).UnixMicro() && at < began.Add(end).UnixMicro() {
						inTime++
					}
				}
				for _, p := range pacers {
					failures += p.Stats().Shared.Failures
				}
				used := float64(inTime) / float64(limit.Calls) * limit.Period.Seconds() / (end - warm).Seconds()
				t.Logf("%d starts, %d reservations, %d calls of which %d failed: %.4f of the quota was used", len(starts), len(reserved), f.calls, failures, used)
				if used < 0.97 {
					t.Errorf("%.4f of the quota was used, want at least 0.97", used)
				}
			})
		})
	}
}
