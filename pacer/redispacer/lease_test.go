package redispacer

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeaseSavesRoundTrips counts the script's calls for each start while callers are
// always waiting. One process only asks; nobody polls.
func TestLeaseSavesRoundTrips(t *testing.T) {
	for _, tt := range []struct {
		waiting, lease int
		most           float64 // round trips for each start
	}{
		{1, 1, 1}, {8, 1, 1}, {64, 1, 1},
		{1, 8, 1}, {8, 8, 0.3}, {64, 8, 0.15},
		{1, 64, 1}, {8, 64, 0.3}, {64, 64, 0.05},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			f.delay = func(int) (time.Duration, time.Duration) { return ms / 2, ms / 2 }
			const each, rate = 512, 1000
			p := mustNew(t, f, Config{Limits: drip(rate, time.Second), Lease: tt.lease})
			began := time.Now()
			var wg sync.WaitGroup
			for range tt.waiting {
				wg.Go(func() {
					for range each / tt.waiting {
						if err := p.Wait(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			stats := p.Stats()
			per := float64(stats.RoundTrips) / float64(stats.Granted)
			t.Logf("%2d waiting, lease %2d: %.3f round trips a start, %.3f of the rate", tt.waiting, tt.lease,
				per, each/time.Since(began).Seconds()/rate)
			if per > tt.most {
				t.Errorf("%d waiting, lease %d: %.3f round trips a start, want at most %v", tt.waiting, tt.lease, per, tt.most)
			}
		})
	}
}
