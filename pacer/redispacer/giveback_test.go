package redispacer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestStartsGivenBackAreNoLossWhenTheStateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			callAfter(ctx, p)
		}
		cancel()
		synctest.Wait()
		if s := p.Stats(); s.Returned != 10 || s.Lost != 0 {
			t.Errorf("stats %+v, want 10 returned", s)
		}
		for _, idle := range []time.Duration{5 * time.Second, time.Minute} {
			time.Sleep(idle)
			if at := starts(t, p, 1); at[0] != 0 {
				t.Errorf("the next starts after %v, want at once", at[0])
			}
		}
	})
}

func TestRefusalIsNoClaimThatTheStateLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		q, p := mustNew(t, f, Config{Limits: burst(60, time.Hour)}), mustNew(t, f, Config{Limits: burst(60, time.Hour)})
		starts(t, q, 60)
		time.Sleep(59 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Wait(ctx); !errors.Is(err, ErrDeadline) {
			t.Errorf("got %v", err)
		}
		time.Sleep(91 * time.Minute)
		if at := starts(t, p, 3); at[2] != 0 {
			t.Errorf("starts after %v, want at once", at)
		}
	})
}

func TestLateAnswerIsNoClaimThatTheStateLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(5, 100*ms)})
		f.delay = func(call int) (there, back time.Duration) {
			if call == 0 {
				back = 3 * time.Second
			}
			return 0, back
		}
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		time.Sleep(2760 * ms)
		if at := starts(t, p, 2); at[1] != 0 {
			t.Errorf("starts after %v, want at once", at)
		}
	})
}

func TestAnyNumberOfStartsIsGivenBack(t *testing.T) {
	for _, n := range []int{10, 256, 257, 1000, 3000} {
		for _, lease := range []int{1, 100, 1000} {
			t.Run(fmt.Sprint(n, "/", lease), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFakeRedis(t)
					p := mustNew(t, f, Config{Limits: burst(5, time.Second), Lease: lease})
					q := mustNew(t, f, Config{Limits: burst(5, time.Second)})
					starts(t, p, 5)
					for range 2 {
						ctx, cancel := context.WithCancel(t.Context())
						for range n {
							go p.Wait(ctx)
						}
						synctest.Wait()
						cancel()
						synctest.Wait()
					}
					if s := p.Stats(); s.Lost != 0 || lease == 1 && s.Returned != uint64(2*min(n, maxAhead)) {
						t.Errorf("stats %+v, want none lost and %d returned", s, 2*min(n, maxAhead))
					}
					if at := starts(t, q, 1); at[0] != time.Second {
						t.Errorf("another process starts after %v, want 1s", at[0])
					}
				})
			})
		}
	}
}

// More starts than the ring has room for cannot be given back: they have overwritten
// those that limits look back on.
func TestStartsThatHaveOverwrittenOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), burst(5, time.Second)...)
		r := s.reserve(2000)
		if got := s.run(request{epoch: r.epoch, returns: r.serials(2000)}).returned; got != 1024 {
			t.Errorf("%d given back, want 1024", got)
		}
		// 976 of them stay, five a second.
		if waits := s.reserve(1).waits(); waits[0] != 195*time.Second {
			t.Errorf("the next waits %v, want 195s", waits)
		}
	})
}

// serials returns the names of a reply's last n starts, newest first.
func (r reply) serials(n int) []int64 {
	var serials []int64
	for _, g := range slices.Backward(r.grants[len(r.grants)-n:]) {
		serials = append(serials, g.serial)
	}
	return serials
}

func TestStartsThatHaveOverwrittenOthersStayThoughLaterOnesAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), burst(5, time.Second)...)
		r := s.reserve(1100)
		s.run(request{epoch: r.epoch, returns: r.serials(600)}) // 500 stay
		later := s.reserve(10)
		rest := append(later.serials(10), reply{grants: r.grants[:500]}.serials(500)...)
		if got := s.run(request{epoch: r.epoch, returns: rest}).returned; got != 510-(1100-1024) {
			t.Errorf("%d given back, want %d", got, 510-(1100-1024))
		}
	})
}

func TestAnotherConfigurationLooksBackPastStartsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		small, large := newScripted(t, f, burst(5, time.Second)...), newScripted(t, f, burst(1000, time.Second)...)
		r := small.reserve(1500)                                    // more than the ring holds
		small.run(request{epoch: r.epoch, returns: r.serials(200)}) // the last that stay are at 259 s
		if waits := large.reserve(1).waits(); waits[0] != 259*time.Second {
			t.Errorf("the next of the large limit waits %v, want 259s", waits)
		}
		if waits := small.reserve(1).waits(); waits[0] != 260*time.Second {
			t.Errorf("the next of the small limit waits %v, want 260s", waits)
		}
	})
}

func TestOwnPauseOutlivesTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p, other := mustNew(t, f, Config{Limits: burst(5, time.Second)}), mustNew(t, f, Config{Limits: burst(5, time.Second)})
		starts(t, p, 1)
		began := time.Now()
		p.PauseUntil(began.Add(time.Minute))
		synctest.Wait()
		time.Sleep(10 * time.Second)
		f.flush()
		starts(t, p, 1)
		if at := time.Since(began); at < time.Minute {
			t.Errorf("started %v into the pause of 1m", at)
		}
		starts(t, other, 1)
	})
}

func TestUnavailableCountsCallsThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.fail = func(int) error { return errors.New("down") }
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		p.Wait(t.Context())
		if s := p.Stats(); s.Unavailable != 1 || s.Fallback != 0 {
			t.Errorf("without a Fallback: %+v", s)
		}
		q := mustNew(t, f, Config{Limits: burst(5, time.Second), Fallback: waiterFunc(context.Context.Err)})
		q.Wait(t.Context())
		if s := q.Stats(); s.Unavailable != 0 || s.Fallback != 1 {
			t.Errorf("with a Fallback: %+v", s)
		}
	})
}

func TestDeadlineBehindAllThatIsReservedIsKnownAtTheirAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		f.delay = func(int) (time.Duration, time.Duration) { return 40 * ms, 40 * ms }
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			callAfter(ctx, p)
		}
		short, stop := context.WithTimeout(t.Context(), 200*ms)
		defer stop()
		began := time.Now()
		if err := p.Wait(short); !errors.Is(err, ErrDeadline) || time.Since(began) != 80*ms {
			t.Errorf("%v after %v, want ErrDeadline after 80ms", err, time.Since(began))
		}
		cancel()
		time.Sleep(time.Minute)
	})
}

func TestCauseOfUnavailabilityIsNoContextsError(t *testing.T) {
	cause := fmt.Errorf("dial: %w", context.DeadlineExceeded)
	err := error(&unavailableError{cause})
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) || !errors.Is(err, cause) {
		t.Errorf("%v matches something else", err)
	}
	if e, ok := errors.AsType[redis.Error](&unavailableError{noScript{}}); !ok || e == nil {
		t.Error("the cause's type is not found")
	}
}

func TestLateErrorTellsWhyThereWasNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		refused := errors.New("connection refused")
		f.delay = func(int) (time.Duration, time.Duration) { return time.Second, 0 }
		f.fail = func(int) error { return refused }
		p := mustNew(t, f, Config{Limits: burst(5, time.Second), Timeout: 250 * ms})
		p.Wait(t.Context())
		time.Sleep(time.Second)
		if err := p.Stats().Err; !errors.Is(err, refused) {
			t.Errorf("Stats says %v", err)
		}
	})
}

func TestLateAnswersMakeNoBunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(5, 500*ms)})
		began := time.Now()
		f.delay = func(call int) (time.Duration, time.Duration) {
			if call >= 5 && call < 10 {
				return 0, 3 * time.Second
			}
			return 0, 0
		}
		starts(t, p, 5)
		time.Sleep(500 * ms)
		got := make(chan time.Duration, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			go func() {
				for ctx.Err() == nil {
					if p.Wait(ctx) == nil {
						got <- time.Since(began)
					} else {
						time.Sleep(20 * ms)
					}
				}
			}()
		}
		time.Sleep(5 * time.Second)
		cancel()
		time.Sleep(5 * time.Second)
		var at []time.Duration
		for len(got) > 0 {
			at = append(at, <-got)
		}
		slices.Sort(at)
		for i := range at {
			if n, _ := slices.BinarySearch(at[i:], at[i]+500*ms); n > 5 {
				t.Fatalf("%d starts in a window of 5: %v", n, at)
			}
		}
	})
}
