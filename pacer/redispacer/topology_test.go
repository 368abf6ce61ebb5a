package redispacer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// fakeCluster is a cluster's client. Its calls go to a master that may be lost, until it has read
// the topology after another's promotion.
type fakeCluster struct {
	*fakeRedis
	mu             sync.Mutex
	lost, promoted bool
	follows        bool // it has read of the promotion
	stale          map[int]bool
	reads          int
	silent         func(read int) bool // that reading asks the lost master, and no answer comes
}

// newFakeCluster returns a cluster that takes so long to fail a call to the lost master.
func newFakeCluster(t *testing.T, fails time.Duration) *fakeCluster {
	f := &fakeCluster{fakeRedis: newFakeRedis(t), stale: make(map[int]bool), silent: func(int) bool { return false }}
	f.delay = func(call int) (there, back time.Duration) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.stale[call] = f.lost && !f.follows; f.stale[call] {
			there = fails
		}
		return there, 0
	}
	f.fail = func(call int) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.stale[call] {
			return errors.New("connection refused")
		}
		return nil
	}
	return f
}

func (f *fakeCluster) ForEachMaster(ctx context.Context, _ func(context.Context, *redis.Client) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.silent(f.reads) {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return ctx.Err()
	}
	f.follows = f.promoted
	return nil
}

func (f *fakeCluster) readings() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func (f *fakeCluster) set(what *bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*what = true
}

func TestAPromotionIsFollowedWheneverItComes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fails  time.Duration
		silent bool // the lost master does not answer, so that half of the readings fail as well
		within time.Duration
	}{
		{name: "the lost master refuses connections", fails: 1700 * ms, within: 3 * time.Second}, // what four attempts of five dials take
		{name: "the lost master is silent", fails: time.Minute, silent: true, within: 5 * time.Second},
	} {
		for name, fallback := range map[string]bool{"without a Fallback": false, "with a Fallback": true} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				var longest time.Duration
				all := seeds(40, 400)
				for n := range all {
					after := 20 * time.Second * time.Duration(n) / time.Duration(all) // a cluster's own time-out is 15 s
					synctest.Test(t, func(t *testing.T) {
						f := newFakeCluster(t, tt.fails)
						f.silent = func(read int) bool { return tt.silent && (read+int(n))%2 == 0 }
						cfg := Config{Limits: burst(1000, time.Second)}
						if fallback {
							cfg.Fallback = pacer.Drip(10, time.Second)
						}
						p := mustNew(t, f, cfg)
						starts(t, p, 1)
						starts(t, p, 1) // so that it knows how long an answer takes
						f.set(&f.lost)
						promotion := time.Now().Add(after)
						time.AfterFunc(after, func() { f.set(&f.promoted) })
						longest = max(longest, nextShared(t, p).Sub(promotion))
						time.Sleep(time.Hour)
					})
				}
				if longest > tt.within {
					t.Errorf("followed after up to %v, want at most %v", longest, tt.within)
				}
			})
		}
	}
}

// Who comes when nobody has asked since the failure is no worse off.
func TestAPromotionIsFollowedByWhoComesLater(t *testing.T) {
	for first := range 2 {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(t, time.Minute)
			p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
			starts(t, p, 2)
			f.set(&f.lost)
			if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			f.set(&f.promoted)
			reads := f.readings()
			f.silent = func(read int) bool { return (read-reads)%2 == first }
			began := time.Now()
			if took := nextShared(t, p).Sub(began); took > 5*time.Second {
				t.Errorf("followed after %v, want at most 5s", took)
			}
			time.Sleep(time.Hour)
		})
	}
}

// nextShared lets a caller wait until it has had a start of the shared quota, but no longer than
// an hour, and says when that was.
func nextShared(t *testing.T, p *Pacer) time.Time {
	for began := time.Now(); time.Since(began) < time.Hour; {
		before := p.Stats().Shared.Fallback
		switch err := p.Wait(t.Context()); {
		case errors.Is(err, ErrUnavailable):
			time.Sleep(20 * ms)
		case err != nil:
			t.Fatal(err)
		case p.Stats().Shared.Fallback == before:
			return time.Now()
		}
	}
	return time.Now()
}

func TestTheTopologyIsReadAfterAFailureAndNoLongerThanThereAreProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 0)
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		starts(t, p, 1)
		time.Sleep(time.Hour)
		if f.readings() != 0 {
			t.Error("read without a failure")
		}
		f.set(&f.lost)
		for n := range 3 {
			if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			if got := f.readings(); got != n+1 {
				t.Errorf("read %d times after %d failures", got, n+1)
			}
		}
	})
}
