package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// everySecond retries any error five times, a second apart.
func everySecond() *Policy { return Must(Config{MaxAttempts: 6, Backoff: Constant(time.Second)}) }

// script returns a function that fails with each error in turn, then succeeds with
// the number of its calls; at records when it was called.
func script(at *[]time.Duration, errs ...error) func(context.Context) (int, error) {
	began := time.Now()
	return func(context.Context) (int, error) {
		*at = append(*at, time.Since(began))
		if n := len(*at); n <= len(errs) && errs[n-1] != nil {
			return n, errs[n-1]
		}
		return len(*at), nil
	}
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func TestDoRetriesUntilSuccessAtTheBackoffsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		n, err := Do(t.Context(), everySecond(), script(&at, errBoom, errBoom))
		if n != 3 || err != nil || fmt.Sprint(at) != "[0s 1s 2s]" {
			t.Errorf("%d, %v at %v", n, err, at)
		}
	})
}

func TestDoEndsWithTheLastValueAndTheLastErrorOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		errFirst, errLast := errors.New("first"), errors.New("last")
		n, err := Do(t.Context(), everySecond(), script(&at, errFirst, errFirst, errFirst, errFirst, errFirst, errLast))
		e, ok := errors.AsType[*Error](err)
		if !ok || n != 6 || e.Attempts != 6 || e.Reason != ReasonMaxAttempts || e.Err != errLast || errors.Is(err, errFirst) {
			t.Errorf("%d, %v", n, err)
		}
		if fmt.Sprint(at) != "[0s 1s 2s 3s 4s 5s]" {
			t.Errorf("called at %v", at)
		}
	})
}

func TestDoWithOneAttemptCallsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		_, err := Do(t.Context(), Must(Config{MaxAttempts: 1}), script(&at, repeat(errBoom, 9)...))
		if len(at) != 1 || !errors.Is(err, errBoom) {
			t.Errorf("%d calls, %v", len(at), err)
		}
	})
}

func TestDoWithoutPolicyUsesTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		_, err := Do(t.Context(), nil, script(&at, repeat(errBoom, 9)...))
		if len(at) != 4 || !errors.Is(err, errBoom) {
			t.Errorf("%d calls, %v", len(at), err)
		}
	})
}

func TestDoPassesOtherErrorsThroughAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errOther := errors.New("other")
		p := Must(Config{Backoff: Constant(time.Second), Classify: Errors(Transient, errBoom)})
		var at []time.Duration
		_, err := Do(t.Context(), p, script(&at, errBoom, errOther))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Reason != ReasonNotRetryable || e.Attempts != 2 || e.Err != errOther || fmt.Sprint(at) != "[0s 1s]" {
			t.Errorf("%v at %v", err, at)
		}
	})
}

func TestDoTakesANilErrorForASuccessWhateverTheClassifierSays(t *testing.T) {
	p := Must(Config{Classify: func(Attempt) Verdict { return Transient }})
	var at []time.Duration
	if n, err := Do(t.Context(), p, script(&at)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestDoTellsThePolicyAboutEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []Attempt
		p := Must(Config{
			Backoff:  BackoffFunc(func(retry int, _ time.Duration) time.Duration { return time.Duration(retry) * time.Second }),
			Classify: func(a Attempt) Verdict { seen = append(seen, a); return Transient },
		})
		var at []time.Duration
		if _, err := Do(t.Context(), p, script(&at, errBoom, errBoom)); err != nil {
			t.Fatal(err)
		}
		want := []Attempt{
			{Number: 1, Err: errBoom, Replayable: true},
			{Number: 2, Err: errBoom, Replayable: true, Elapsed: time.Second, Previous: time.Second},
		}
		if len(seen) != 2 || seen[0] != want[0] || seen[1] != want[1] {
			t.Errorf("got %+v\nwant %+v", seen, want)
		}
	})
}

func TestDeadContextCallsNothing(t *testing.T) {
	cause := errors.New("shutting down")
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	expired, stop := context.WithTimeoutCause(t.Context(), -1, cause)
	defer stop()
	for _, c := range []struct {
		ctx  context.Context
		want Reason
	}{{canceled, ReasonCanceled}, {expired, ReasonDeadline}} {
		_, err := Do(c.ctx, nil, func(context.Context) (int, error) {
			t.Error("the function was called")
			return 0, nil
		})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Attempts != 0 || e.Reason != c.want || !errors.Is(err, c.ctx.Err()) || !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	}
}

func TestCancellationDuringTheWaitMatchesContextCauseAndLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(cause) })
		var at []time.Duration
		began := time.Now()
		n, err := Do(ctx, everySecond(), script(&at, repeat(errBoom, 9)...))
		if took := time.Since(began); took != 1500*time.Millisecond || len(at) != 2 || n != 2 {
			t.Errorf("%d after %v and %d calls", n, took, len(at))
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Attempts != 2 || e.Reason != ReasonCanceled {
			t.Errorf("got %v", err)
		}
		for _, want := range []error{context.Canceled, cause, errBoom} {
			if !errors.Is(err, want) {
				t.Errorf("%v does not match %v", err, want)
			}
		}
	})
}

// endsAt is a context that is done from a moment on and lets no one wait for it: it
// is noticed only by asking after the timer has fired.
type endsAt struct {
	context.Context
	moment time.Time
}

func (c endsAt) Err() error {
	if time.Now().Before(c.moment) {
		return nil
	}
	return context.Canceled
}

func TestCancellationWinsOverTheReadyTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := endsAt{context.Background(), time.Now().Add(2 * time.Second)}
		var at []time.Duration
		_, err := Do(ctx, everySecond(), script(&at, repeat(errBoom, 9)...))
		if fmt.Sprint(at) != "[0s 1s]" || !errors.Is(err, context.Canceled) || !errors.Is(err, errBoom) {
			t.Errorf("called at %v, %v", at, err)
		}
	})
}

func TestCancellationWinsOverAZeroDelay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	p := Must(Config{Backoff: BackoffFunc(func(int, time.Duration) time.Duration { cancel(); return 0 })})
	_, err := Do(ctx, p, func(context.Context) (int, error) { calls++; return 0, errBoom })
	if calls != 1 || !errors.Is(err, context.Canceled) || !errors.Is(err, errBoom) {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestCancellationDuringAnAttemptIsFinal(t *testing.T) {
	cause := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	calls := 0
	_, err := Do(ctx, everySecond(), func(ctx context.Context) (int, error) {
		calls++
		cancel(cause)
		return 0, errBoom // what a torn connection makes of it
	})
	e, ok := errors.AsType[*Error](err)
	if !ok || calls != 1 || e.Reason != ReasonCanceled || e.Attempts != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	for _, want := range []error{context.Canceled, cause, errBoom} {
		if !errors.Is(err, want) {
			t.Errorf("%v does not match %v", err, want)
		}
	}
}

func TestSuccessUnderADeadContextIsASuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n, err := Do(ctx, nil, func(context.Context) (int, error) { cancel(); return 7, nil })
	if n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestDoNeverSleepsTowardsADeadlineThatComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		var at []time.Duration
		_, err := Do(ctx, everySecond(), script(&at, repeat(errBoom, 9)...))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Reason != ReasonDeadline || e.Err != errBoom || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestDoObeysMaxElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Must(Config{MaxAttempts: 100, Backoff: Constant(time.Second), MaxElapsed: 3 * time.Second})
		var at []time.Duration
		_, err := Do(t.Context(), p, script(&at, repeat(errBoom, 99)...))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Reason != ReasonMaxElapsed || fmt.Sprint(at) != "[0s 1s 2s 3s]" {
			t.Errorf("%v at %v", err, at)
		}
	})
}

func TestAttemptTimeoutBoundsEachCallAndIsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Must(Config{MaxAttempts: 3, Backoff: Constant(time.Second), AttemptTimeout: 5 * time.Second})
		var at []time.Duration
		began := time.Now()
		n, err := Do(t.Context(), p, func(ctx context.Context) (int, error) {
			at = append(at, time.Since(began))
			if len(at) == 3 {
				return 3, nil
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if n != 3 || err != nil || fmt.Sprint(at) != "[0s 6s 12s]" {
			t.Errorf("%d, %v at %v", n, err, at)
		}
	})
}

func TestAttemptTimeoutReleasesItsContext(t *testing.T) {
	var inner context.Context
	_, err := Do(t.Context(), Must(Config{AttemptTimeout: time.Hour}), func(ctx context.Context) (int, error) {
		inner = ctx
		return 0, nil
	})
	if err != nil || inner.Err() != context.Canceled {
		t.Errorf("%v; the attempt's context is %v, want canceled", err, inner.Err())
	}
}

func TestWithoutAttemptTimeoutTheFunctionGetsTheCallersContext(t *testing.T) {
	var inner context.Context
	Do(t.Context(), nil, func(ctx context.Context) (int, error) { inner = ctx; return 0, nil })
	if inner != t.Context() {
		t.Error("the function got another context")
	}
}

func TestPanicPassesThrough(t *testing.T) {
	calls := 0
	defer func() {
		if r := recover(); r != "ouch" || calls != 1 {
			t.Errorf("recovered %v after %d calls", r, calls)
		}
	}()
	Do(t.Context(), Must(Config{AttemptTimeout: time.Hour}), func(context.Context) (int, error) {
		calls++
		panic("ouch")
	})
}

func TestDoAtOnceCostsNoAllocation(t *testing.T) {
	ctx := t.Context()
	fn := func(context.Context) (int, error) { return 1, nil }
	if n := testing.AllocsPerRun(1000, func() { Do(ctx, nil, fn) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
