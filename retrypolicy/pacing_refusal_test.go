package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// hasty gives a slot to anybody, also to who has gone.
type hasty struct {
	*pacer.Pacer
	before func()
}

func (w hasty) Acquire(context.Context) (*pacer.Slot, error) {
	w.before()
	return w.Pacer.Acquire(context.Background())
}

var errClosed = errors.New("closed for today")

func TestThePacersRefusalEndsTheCallWithItsReason(t *testing.T) {
	soon := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 5*time.Second)
	}
	late := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Hour)
	}
	grants := func(n int, err error) Waiter {
		return waits(func(context.Context) error {
			if n--; n < 0 {
				return err
			}
			return nil
		})
	}
	for name, test := range map[string]struct {
		pacer    func() Waiter
		ctx      func(context.Context) (context.Context, context.CancelFunc)
		elapsed  time.Duration // MaxElapsed
		attempts int
		reason   Reason
		is       error
	}{
		"no slot before the deadline": {
			pacer: func() Waiter { return pacer.Burst(1, time.Minute) },
			ctx:   soon, attempts: 1, reason: ReasonDeadline, is: pacer.ErrDeadline,
		},
		"no slot before MaxElapsed": {
			pacer:   func() Waiter { return pacer.Burst(1, time.Minute) },
			elapsed: time.Minute - 1, attempts: 1, reason: ReasonMaxElapsed, is: pacer.ErrDeadline,
		},
		"no slot before the deadline, which comes before MaxElapsed": {
			pacer: func() Waiter { return pacer.Burst(1, time.Minute) },
			ctx:   soon, elapsed: 6 * time.Second, attempts: 1, reason: ReasonDeadline, is: pacer.ErrDeadline,
		},
		"no slot before MaxElapsed, which comes before the deadline": {
			pacer: func() Waiter { return pacer.Burst(1, time.Minute) },
			ctx:   soon, elapsed: 4 * time.Second, attempts: 1, reason: ReasonMaxElapsed, is: errMaxElapsed,
		},
		"a slot at MaxElapsed": {
			pacer:   func() Waiter { return pacer.Burst(1, time.Minute) },
			elapsed: time.Minute, attempts: 2, reason: ReasonMaxElapsed, is: errBoom,
		},
		"no slot before the longest MaxElapsed": {
			pacer:   func() Waiter { return pacer.Burst(1, math.MaxInt64) },
			elapsed: math.MaxInt64, ctx: late, attempts: 1, reason: ReasonDeadline, is: pacer.ErrDeadline,
		},
		"too costly": {
			pacer: func() Waiter {
				return pacer.Must(pacer.Config{Limits: []pacer.Limit{{Cost: 10, Unit: tokens, Period: time.Minute}}})
			},
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return pacer.WithCost(ctx, tokens, 11), func() {}
			},
			attempts: 0, reason: ReasonTooCostly, is: pacer.ErrTooCostly,
		},
		"no slot within MaxWait": {
			pacer: func() Waiter {
				return pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute}}, MaxWait: time.Second})
			},
			attempts: 1, reason: ReasonMaxWait, is: pacer.ErrMaxWait,
		},
		"a foreign one at once":            {pacer: func() Waiter { return grants(0, errClosed) }, attempts: 0, reason: ReasonNotRetryable, is: errClosed},
		"a foreign one later":              {pacer: func() Waiter { return grants(2, errClosed) }, attempts: 2, reason: ReasonNotRetryable, is: errClosed},
		"a foreign one, the deadline near": {pacer: func() Waiter { return grants(1, errClosed) }, ctx: soon, attempts: 1, reason: ReasonDeadline, is: context.DeadlineExceeded},
		"a foreign one, the deadline far":  {pacer: func() Waiter { return grants(1, errClosed) }, ctx: late, attempts: 1, reason: ReasonNotRetryable, is: errClosed},
		"a foreign one, MaxElapsed near":   {pacer: func() Waiter { return grants(1, errClosed) }, elapsed: time.Minute, attempts: 1, reason: ReasonMaxElapsed, is: errMaxElapsed},
		"a foreign one that sleeps until MaxElapsed": {
			pacer: func() Waiter {
				first := true
				return waits(func(ctx context.Context) error {
					if !first {
						<-ctx.Done()
						return errClosed
					}
					first = false
					return nil
				})
			},
			elapsed: time.Hour, attempts: 1, reason: ReasonMaxElapsed, is: errMaxElapsed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if test.ctx != nil {
					ctx, cancel = test.ctx(ctx)
				}
				defer cancel()
				judged := 0
				c := Call[int]{Pacer: test.pacer(), Policy: Must(Config{
					Backoff: Constant(time.Second), MaxElapsed: test.elapsed,
					Classify: func(a Attempt) Verdict { judged++; return DefaultClassifier(a) },
				})}
				var at []time.Duration
				n, err := c.Do(ctx, script(&at, repeat(errBoom, 9)...))
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Attempts != test.attempts || e.Reason != test.reason || !errors.Is(err, test.is) {
					t.Errorf("got %v, want %d attempts, %s", err, test.attempts, test.reason)
				}
				if n != test.attempts || len(at) != test.attempts || judged != test.attempts || errors.Is(err, errBoom) != (n > 0) {
					t.Errorf("%d, called at %v, %d judged, %v", n, at, judged, err)
				}
				again := 0
				_, err = Do(t.Context(), everySecond(), func(context.Context) (int, error) { again++; return 0, err })
				if test.is != errBoom && again != 1 {
					t.Errorf("a loop further out asked %d times: %v", again, err)
				}
			})
		})
	}
}

// MaxElapsed is about retries: the first attempt may wait for its slot as long as it likes.
func TestMaxElapsedDoesNotBoundTheWaitForTheFirstSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Minute)
		p.Allow()
		var at []time.Duration
		c := Call[int]{Policy: Must(Config{Backoff: Constant(0), MaxElapsed: time.Second}), Pacer: p}
		if _, err := c.Do(t.Context(), script(&at)); err != nil || fmt.Sprint(at) != "[1m0s]" {
			t.Errorf("%v at %v", err, at)
		}
	})
}

func TestARefusalDoesNotChargeTheBudget(t *testing.T) {
	policy := Must(Config{Backoff: Constant(0), Budget: NewBudget(1, 0)})
	for range 5 {
		Call[int]{Policy: policy, Pacer: waits(func(context.Context) error { return errClosed })}.Do(t.Context(), func(context.Context) (int, error) { return 0, nil })
	}
	var at []time.Duration
	Do(t.Context(), policy, script(&at, repeat(errBoom, 9)...))
	if len(at) != 2 { // one call justifies one retry
		t.Errorf("%d calls, want 2", len(at))
	}
}

func TestTheTextOfARefusalTellsTheLastFailureToo(t *testing.T) {
	_, err := Call[int]{Pacer: waits(func(context.Context) error { return errClosed })}.Do(t.Context(), func(context.Context) (int, error) { return 0, nil })
	if want := "retrypolicy: gave up after 0 attempts (not_retryable): closed for today"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var at []time.Duration
		_, err := Call[int]{Policy: everySecond(), Pacer: pacer.Burst(1, time.Minute)}.Do(ctx, script(&at, repeat(errBoom, 9)...))
		want := "retrypolicy: gave up after 1 attempt (deadline): pacer: no slot before the context's deadline (the wait would be 59s); last failure: boom"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

func TestFallbackAnswersForWhatThePacerRefuses(t *testing.T) {
	c := Call[int]{Pacer: waits(func(context.Context) error { return errClosed }), Fallback: func(_ context.Context, err error) (int, error) {
		if !errors.Is(err, errClosed) {
			t.Errorf("told %v", err)
		}
		return 7, nil
	}}
	if n, err := c.Do(t.Context(), func(context.Context) (int, error) { return 0, fs.ErrInvalid }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestCancellationInTheQueueMatchesContextCauseAndLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { cancel(cause) })
		p := pacer.Burst(1, time.Minute)
		began := time.Now()
		var at []time.Duration
		n, err := Call[int]{Policy: everySecond(), Pacer: p}.Do(ctx, script(&at, repeat(os.ErrDeadlineExceeded, 9)...))
		e, ok := errors.AsType[*Error](err)
		if !ok || n != 1 || e.Attempts != 1 || e.Reason != ReasonCanceled || time.Since(began) != 5*time.Second || p.Stats().Waiting != 0 {
			t.Errorf("%d, %v after %v", n, err, time.Since(began))
		}
		for _, want := range []error{context.Canceled, cause, os.ErrDeadlineExceeded} {
			if !errors.Is(err, want) {
				t.Errorf("%v does not match %v", err, want)
			}
		}
		// As in a delay: what the last attempt met with did not end the call.
		if _, ok := e.Err.(*interrupted); !ok {
			t.Errorf("the cause is a %T", e.Err)
		}
	})
}

func TestTheEndOfTheContextWinsOverASlotWhichIsGivenBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 5, Period: time.Minute}}, MaxInFlight: 1})
	_, err := Call[int]{Pacer: hasty{p, cancel}}.Do(ctx, func(context.Context) (int, error) {
		t.Error("the function was called")
		return 0, nil
	})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Attempts != 0 || e.Reason != ReasonCanceled {
		t.Errorf("got %v", err)
	}
	if got := p.Stats(); got.Granted != 0 || got.InFlight != 0 || got.Limits[0].Used != 0 {
		t.Errorf("the slot was used: %+v", got)
	}
}

func TestMaxElapsedWinsOverASlotWhichIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{MaxInFlight: 1})
		c := Call[int]{
			Policy: Must(Config{Backoff: Constant(time.Second), MaxElapsed: 3 * time.Second}),
			Pacer:  hasty{p, func() { time.Sleep(2 * time.Second) }},
		}
		var at []time.Duration
		_, err := c.Do(t.Context(), script(&at, repeat(errBoom, 9)...))
		e, ok := errors.AsType[*Error](err)
		if !ok || fmt.Sprint(at) != "[2s]" || e.Attempts != 1 || e.Reason != ReasonMaxElapsed || !errors.Is(err, errBoom) || p.Stats().Granted != 1 {
			t.Errorf("%v at %v", err, at)
		}
		want := "retrypolicy: gave up after 1 attempt (max_elapsed): context deadline exceeded: a retry would start after the policy's MaxElapsed; last failure: boom"
		if err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}
