package redispacer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

const ms = time.Millisecond

func mustNew(t *testing.T, f *fakeRedis, cfg Config) *Pacer {
	t.Helper()
	p, err := New(f, "quota", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func burst(calls int, period time.Duration) []pacer.Limit {
	return []pacer.Limit{{Calls: calls, Period: period}}
}

func drip(calls int, period time.Duration) []pacer.Limit {
	return []pacer.Limit{{Calls: calls, Period: period, Even: true}}
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

func TestTimelines(t *testing.T) {
	s := time.Second
	for _, tt := range []struct {
		name   string
		limits []pacer.Limit
		want   []time.Duration
	}{
		{"burst", burst(5, 10*s), []time.Duration{0, 0, 0, 0, 0, 10 * s, 10 * s, 10 * s, 10 * s, 10 * s}},
		{"drip", drip(5, 10*s), []time.Duration{0, 2 * s, 4 * s, 6 * s, 8 * s, 10 * s, 12 * s, 14 * s, 16 * s, 18 * s}},
		{"drip whose interval is no whole microsecond", drip(3, s), []time.Duration{
			0, 333333 * time.Microsecond, 666666 * time.Microsecond, s, 1333333 * time.Microsecond}},
		{"two limits", []pacer.Limit{{Calls: 2, Period: s}, {Calls: 3, Period: 10 * s}}, []time.Duration{0, 0, s, 10 * s, 10 * s, 11 * s}},
	} {
		for _, lease := range []int{1, 3, 100} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := mustNew(t, newFakeRedis(t), Config{Limits: tt.limits, Lease: lease})
					if got := starts(t, p, len(tt.want)); !slices.Equal(got, tt.want) {
						t.Errorf("lease %d: started at %v, want %v", lease, got, tt.want)
					}
				})
			})
		}
	}
}

func TestDeadlineRefusesAtOnceAndReservesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a start exactly at the deadline is too late
		defer cancel()
		began := time.Now()
		err := p.Wait(ctx)
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Wait() != time.Second {
			t.Errorf("refused with %v, want a predicted wait of 1s", err)
		}
		if !errors.Is(err, pacer.ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v matches not both ErrDeadline and context.DeadlineExceeded", err)
		}
		if time.Since(began) != 0 {
			t.Errorf("refused after %v, want at once", time.Since(began))
		}
		if got := starts(t, p, 1); got[0] != time.Second {
			t.Errorf("the next start came after %v, want 1s: the refusal used a slot", got[0])
		}
	})
}

func TestDeadContextTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if err := p.Wait(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("got %v, want context.Canceled and its cause", err)
		}
		if f.calls != 0 {
			t.Errorf("%d round trips for a dead context", f.calls)
		}
	})
}

func TestCanceledWaiterCostsNothing(t *testing.T) {
	for name, order := range map[string][]int{
		"head": {0}, "middle": {1}, "tail": {3}, "all but the last": {0, 1, 2}, "from the tail": {3, 2, 1}, "mixed": {2, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				f.delay = func(int) (time.Duration, time.Duration) { return ms, 2 * ms }
				p := mustNew(t, f, Config{Limits: drip(1, time.Second)})
				starts(t, p, 1)
				cancels := make([]context.CancelFunc, 4)
				var mu sync.Mutex
				var started []int
				var wg sync.WaitGroup
				for i := range cancels {
					ctx, cancel := context.WithCancel(t.Context())
					cancels[i] = cancel
					wg.Go(func() {
						if p.Wait(ctx) == nil {
							mu.Lock()
							started = append(started, i)
							mu.Unlock()
						}
					})
					synctest.Wait()
				}
				time.Sleep(100 * ms)
				for _, i := range order {
					cancels[i]()
					synctest.Wait()
				}
				wg.Wait()
				for _, cancel := range cancels {
					cancel()
				}
				if left := 4 - len(order); len(started) != left || !slices.IsSorted(started) {
					t.Errorf("%v started, want the %d that stayed, in order", started, left)
				}
				// 1 before, those that stayed, and this: one second apart each, as if nobody had left.
				began := time.Now()
				if err := p.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				if got, want := time.Since(began), time.Second-5*ms; got > time.Second+5*ms || got < want {
					t.Errorf("the next start came after %v, want about a second: a slot was lost", got)
				}
				stats := p.Stats()
				if int(stats.Returned) != len(order) || stats.Lost != 0 || int(stats.Canceled) != len(order) {
					t.Errorf("%d given back, %d lost, %d canceled; want %d, 0, %d", stats.Returned, stats.Lost, stats.Canceled, len(order), len(order))
				}
			})
		})
	}
}

// A caller with a deadline may have asked before one ahead of it, whose place then has the
// earlier start.
func TestDeadlineRefusesWhoseStartWentToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		began := time.Now()
		f.delay = func(call int) (time.Duration, time.Duration) {
			if call == 1 {
				return 10 * ms, 0
			}
			return 0, 0
		}
		ahead := callAfter(t.Context(), p)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*ms)
		defer cancel()
		behind := callAfter(ctx, p)
		if err := <-ahead; err != nil || time.Since(began) != time.Second {
			t.Errorf("the first got %v after %v, want a start after 1s", err, time.Since(began))
		}
		if err := <-behind; !errors.Is(err, ErrDeadline) || time.Since(began) != time.Second {
			t.Errorf("the second got %v after %v, want ErrDeadline after 1s", err, time.Since(began))
		}
		synctest.Wait() // its start goes back
		if at := starts(t, p, 1); at[0] != time.Second {
			t.Errorf("the next start came after %v, want 1s: the second kept its own", at[0])
		}
	})
}

func TestDeadlineRefusesWhoMovesUpToALateStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second), Lease: 4})
		starts(t, p, 1)
		f.delay = func(int) (time.Duration, time.Duration) { return 0, 50 * ms }
		first, leave := context.WithCancel(t.Context())
		defer leave()
		callAfter(first, p)
		second := callAfter(t.Context(), p)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*ms)
		defer cancel()
		third := callAfter(ctx, p) // stands behind two that Redis was asked for, and is not known to be late
		time.Sleep(100 * ms)
		leave()
		synctest.Wait()
		select {
		case err := <-third:
			if !errors.Is(err, ErrDeadline) {
				t.Errorf("got %v, want ErrDeadline", err)
			}
		default:
			t.Error("waits for a start in two seconds, with a deadline in one and a half")
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
	})
}
