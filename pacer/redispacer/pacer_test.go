package redispacer

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestAnInvalidConfigIsAnErrorThatNamesItsFields(t *testing.T) {
	f := newFakeRedis(t)
	for _, tt := range []struct {
		key  string
		cfg  Config
		want string
	}{
		{"", Config{Limits: burst(1, time.Second)}, "the key is empty"},
		{"k", Config{}, "Config.Limits has 0"},
		{"k", Config{Limits: slices.Repeat(burst(1, time.Second), 9)}, "Config.Limits has 9"},
		{"k", Config{Limits: burst(maxCalls+1, time.Second)}, "Calls is 20000001"},
		{"k", Config{Limits: burst(0, time.Second)}, "Calls is 0"},
		{"k", Config{Limits: burst(1, maxPeriod+1)}, "Period is"},
		{"k", Config{Limits: []pacer.Limit{{Cost: maxCost + 1, Unit: "tokens", Period: time.Second}}}, "Cost is 4294967297"},
		{"k", Config{Limits: []pacer.Limit{{Calls: 1, Bucket: maxCost + 1, Period: time.Second}}}, "Bucket is 4294967297"},
		{"k", Config{Limits: burst(1, time.Second), Timeout: -1}, "Config.Timeout is -1ns"},
		{"k", Config{Limits: burst(1, time.Second), MaxWaiting: -1}, "Config.MaxWaiting is -1"},
	} {
		if _, err := New(f, tt.key, tt.cfg); err == nil || !contains(err, tt.want) {
			t.Errorf("New: %v, want an error with %q", err, tt.want)
		}
	}
	if _, err := New(nil, "k", Config{Limits: burst(1, time.Second)}); err == nil || !contains(err, "the client is nil") {
		t.Errorf("New without a client: %v", err)
	}
}

func TestADeadContextTakesNoStartAndAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if err := p.Wait(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || f.calls != 0 {
			t.Errorf("got %v after %d round trips, want context.Canceled and its cause", err, f.calls)
		}
	})
}

// One caller after the other leaves, whoever it is: those behind move up, and no start is lost.
func TestACanceledCallerCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 50 * ms }
		p := mustNew(t, f, Config{Limits: drip(10, time.Second)})
		starts(t, p, 5)
		began := time.Now()
		var leave []context.CancelFunc
		for range 10 { // several have a start reserved
			ctx, cancel := context.WithCancel(t.Context())
			leave = append(leave, cancel)
			callAfter(ctx, p)
		}
		time.Sleep(150 * ms)
		for _, i := range []int{3, 0, 9, 5, 7, 1, 2, 8} {
			leave[i]()
			synctest.Wait()
		}
		time.Sleep(time.Second) // the two who stayed have started
		at := starts(t, p, 5)
		if gap := at[4] - at[0]; gap != 400*ms {
			t.Errorf("after %v started at %v, want 100ms apart", time.Since(began), at)
		}
		if got := p.Stats(); got.Granted+got.Canceled != 20 || got.Canceled < 7 || got.Shared.Lost != 0 || got.Shared.Returned == 0 || got.Shared.Reserved != 0 {
			t.Errorf("%d started, %d left, %+v; want 20 in all, and what was reserved given back", got.Granted, got.Canceled, got.Shared)
		}
		for _, cancel := range leave {
			cancel()
		}
		time.Sleep(time.Minute)
	})
}

// A start that was given back is used by another process, in the place that it had.
func TestWhatIsGivenBackInTheMiddleIsUsedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 50 * ms }
		limit := drip(20, time.Second) // 50 ms apart, and 200 ms of horizon
		p, q := mustNew(t, f, Config{Limits: limit}), mustNew(t, f, Config{Limits: limit})
		starts(t, p, 3)
		starts(t, q, 3)
		ctx, cancel := context.WithCancel(t.Context())
		for range 4 {
			callAfter(ctx, p)
		}
		for p.Stats().Shared.Reserved < 2 {
			time.Sleep(ms)
		}
		cancel()
		at := starts(t, q, 4)
		if late := slices.Max(at); late > 350*ms {
			t.Errorf("another process starts at %v", at)
		}
		if got := p.Stats().Shared; got.Lost != 0 || got.Returned == 0 {
			t.Errorf("stats %+v, want some returned", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestCostsSettlesAndCancelsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		limits := []pacer.Limit{{Cost: 100, Unit: "tokens", Period: 10 * time.Second}}
		p, q := mustNew(t, f, Config{Limits: limits}), mustNew(t, f, Config{Limits: limits})
		acquire := func(p *Pacer, tokens int) (*pacer.Slot, time.Duration) {
			t.Helper()
			began := time.Now()
			s, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", tokens))
			if err != nil {
				t.Fatal(err)
			}
			return s, time.Since(began)
		}
		first, _ := acquire(p, 60)
		second, _ := acquire(q, 40)
		time.Sleep(time.Second)
		if !first.Settle("tokens", 20) || first.Settle("points", 1) {
			t.Error("Settle to less does not count, or an unknown unit does")
		}
		time.Sleep(2 * ride)
		if _, waited := acquire(q, 40); waited != 0 {
			t.Errorf("what was not used is there after %v, want at once", waited)
		}
		second.Settle("tokens", 70) // 30 more, from now
		time.Sleep(2 * ride)
		_, waited := acquire(p, 30)
		if want := 10*time.Second - time.Second - 4*ride; waited != want { // until 20 and 40 have left
			t.Errorf("started after %v, want %v", waited, want)
		}
		third, _ := acquire(p, 30)
		third.Cancel()
		synctest.Wait()
		if _, waited := acquire(q, 30); waited != 0 {
			t.Errorf("what was canceled is there after %v, want at once", waited)
		}
		if _, err := q.Acquire(pacer.WithCost(t.Context(), "tokens", 101)); !errors.Is(err, pacer.ErrTooCostly) {
			t.Errorf("got %v, want ErrTooCostly", err)
		}
	})
}

func TestABucketIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		limits := []pacer.Limit{{Calls: 2, Period: time.Second, Bucket: 5}}
		p, q := mustNew(t, f, Config{Limits: limits}), mustNew(t, f, Config{Limits: limits})
		starts(t, p, 3)
		if at := starts(t, q, 4); !slices.Equal(at, []time.Duration{0, 0, 500 * ms, time.Second}) {
			t.Errorf("started at %v, want two at once, then every 500ms", at)
		}
	})
}

func TestSetLimitsCountsWhatHasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(5, 10*time.Second)})
		starts(t, p, 5)
		began := time.Now()
		waits := callAfter(t.Context(), p)
		if err := p.SetLimits(pacer.Limit{Calls: 6, Period: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if err := <-waits; err != nil || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want a start at once", err, time.Since(began))
		}
		if err := p.SetLimits(burst(7, 10*time.Second)[0], pacer.Limit{Cost: 10, Unit: "tokens", Period: time.Second}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 10)); err != nil || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want a start at once: the unit begins empty", err, time.Since(began))
		}
		if at := starts(t, p, 1); at[0] != 10*time.Second {
			t.Errorf("started after %v, want 10s", at)
		}
		if err := p.SetLimits(burst(maxCalls+1, time.Second)...); err == nil || p.Stats().Limits[0].Limit.Calls != 7 {
			t.Errorf("SetLimits: %v, want an error and the limits as before", err)
		}
	})
}

// Tenants and priorities work over Redis: a Pacer is a Parent like any other.
func TestAPacerIsAParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return ms, ms }
		p := mustNew(t, f, Config{Limits: drip(10, time.Second)})
		heavy := pacer.Must(pacer.Config{Parent: p.Pacer, Weight: 3})
		light := pacer.Must(pacer.Config{Parent: p.Pacer})
		ctx, cancel := context.WithCancel(t.Context())
		count := make([]int, 2)
		for i, child := range []*pacer.Pacer{heavy, light} {
			for range 5 {
				go func() {
					for ctx.Err() == nil {
						if child.Wait(ctx) == nil {
							p.remote.queue.Lock()
							count[i]++
							p.remote.queue.Unlock()
						}
					}
				}()
			}
		}
		time.Sleep(10 * time.Second)
		cancel()
		time.Sleep(time.Second)
		synctest.Wait()
		if count[0]+count[1] < 95 || count[0] < 70 || count[0] > 80 {
			t.Errorf("%d and %d starts, want 100 in all, three in four by the heavier", count[0], count[1])
		}
	})
}

// A quota for each tenant: that a Keyed forgets a Pacer loses nothing, since Redis does not.
func TestAKeyedMayHoldPacers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		keyed, err := pacer.NewKeyed(pacer.KeyedConfig{MaxKeys: 1, New: func(key string) *pacer.Pacer {
			p, err := New(f, key, Config{Limits: burst(2, time.Minute)})
			if err != nil {
				t.Error(err)
				return nil
			}
			return p.Pacer
		}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 2 {
			for _, key := range []string{"one", "other"} {
				if err := keyed.Get(key).Wait(t.Context()); err != nil || time.Since(began) != 0 {
					t.Errorf("%s: %v after %v, want a start at once", key, err, time.Since(began))
				}
				synctest.Wait()
			}
		}
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		if err := keyed.Get("one").Wait(ctx); !errors.Is(err, pacer.ErrDeadline) {
			t.Errorf("got %v, want ErrDeadline: two have started in this minute", err)
		}
	})
}

func TestFlightsAreBoundedInEachProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(10, time.Second), MaxInFlight: 1})
		slot, err := p.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.AfterFunc(300*ms, slot.Done)
		if _, err := p.Acquire(t.Context()); err != nil || time.Since(began) != 300*ms {
			t.Errorf("got %v after %v, want a start when the first is over", err, time.Since(began))
		}
	})
}

func TestTryAcquireAndAllowWaitForNothingButAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 20 * ms, 20 * ms }
		p := mustNew(t, f, Config{Limits: burst(2, time.Hour)})
		began := time.Now()
		if _, err := p.TryAcquire(t.Context()); err != nil || time.Since(began) != 40*ms {
			t.Errorf("TryAcquire: %v after %v, want a start after a round trip", err, time.Since(began))
		}
		if !p.Allow() || time.Since(began) != 80*ms {
			t.Errorf("Allow is false after %v", time.Since(began))
		}
		if _, err := p.TryAcquire(t.Context()); !errors.Is(err, pacer.ErrNotNow) || time.Since(began) > 120*ms {
			t.Errorf("TryAcquire: %v after %v, want ErrNotNow after a round trip at most", err, time.Since(began))
		}
		if p.Allow() {
			t.Error("Allow is true")
		}
		time.Sleep(time.Second)
		if got := p.Stats(); got.Granted != 2 || got.Waiting != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}
