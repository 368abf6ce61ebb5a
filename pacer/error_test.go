package pacer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestErrorSaysKindAndPredictedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 90 * time.Second}}, MaxWaiting: 1})
		c := newCallers(p)
		c.arrive(1)
		late := c.arriveBefore(time.Second)
		c.arrive(1)
		full := c.arrive(1)[0]
		for _, test := range []struct {
			err       error
			text      string
			timeout   bool
			errorType string
		}{
			{late.err, "pacer: no slot before the context's deadline (the wait would be 1m30s)", true, "pacing_deadline"},
			{full.err, "pacer: queue is full (the wait would be 3m0s)", false, "pacing_queue_full"},
		} {
			var refusal *pacer.Error
			if !errors.As(test.err, &refusal) {
				t.Fatalf("%v is no *pacer.Error", test.err)
			}
			if got := refusal.Error(); got != test.text {
				t.Errorf("text %q, want %q", got, test.text)
			}
			if got := refusal.Timeout(); got != test.timeout {
				t.Errorf("%v: Timeout() = %v, want %v", refusal, got, test.timeout)
			}
			if got := refusal.ErrorType(); got != test.errorType {
				t.Errorf("%v: ErrorType() = %q, want %q", refusal, got, test.errorType)
			}
		}
		c.starts()
	})
}

func TestCauseOfCancellation(t *testing.T) {
	cause := errors.New("shutting down")
	wrapped := errors.Join(cause, context.Canceled)
	for _, test := range []struct {
		name string
		ctx  func(context.Context) context.Context // dead within a second
		want []error
		text string
	}{
		{
			"no cause",
			func(ctx context.Context) context.Context { return canceledLater(ctx, nil) },
			[]error{context.Canceled},
			"context canceled",
		},
		{
			"a cause of its own",
			func(ctx context.Context) context.Context { return canceledLater(ctx, cause) },
			[]error{context.Canceled, cause},
			"pacer: context canceled: shutting down",
		},
		{
			"a cause that says so itself",
			func(ctx context.Context) context.Context { return canceledLater(ctx, wrapped) },
			[]error{context.Canceled, cause, wrapped},
			wrapped.Error(),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacer.Burst(1, time.Hour)
				p.Allow()
				begin := time.Now()
				ctx := test.ctx(t.Context())
				for _, when := range []time.Duration{time.Second, 0} { // while waiting, then dead from the beginning
					err := p.Wait(ctx)
					for _, want := range test.want {
						if !errors.Is(err, want) {
							t.Errorf("Wait returned %v, want a match for %v", err, want)
						}
					}
					if !errors.Is(err, ctx.Err()) || !errors.Is(err, context.Cause(ctx)) {
						t.Errorf("Wait returned %v, want a match for %v and %v", err, ctx.Err(), context.Cause(ctx))
					}
					if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pacer.ErrDeadline) {
						t.Errorf("%v matches errors of another kind", err)
					}
					if err.Error() != test.text {
						t.Errorf("text %q, want %q", err, test.text)
					}
					if got := time.Since(begin); got != when {
						t.Errorf("Wait took %v, want %v", got, when)
					}
					begin = time.Now()
				}
			})
		})
	}
}

func canceledLater(parent context.Context, cause error) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	time.AfterFunc(time.Second, func() { cancel(cause) })
	return ctx
}

// A deadline that has passed is a dead context, not a refusal by the pacer.
func TestCauseOfPassedDeadline(t *testing.T) {
	cause := errors.New("budget spent")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		time.Sleep(2 * time.Second)
		p := pacer.Burst(1, time.Hour)
		err := p.Wait(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, cause) {
			t.Errorf("Wait returned %v, want a match for %v and %v", err, context.DeadlineExceeded, cause)
		}
		if errors.Is(err, pacer.ErrDeadline) {
			t.Errorf("%v matches ErrDeadline, though a slot was free", err)
		}
		if got := p.Stats(); got.Canceled != 1 || got.Rejected != 0 {
			t.Errorf("Stats: %+v, want 1 canceled, none rejected", got)
		}
	})
}

// What no other attempt mends is not taken for a refusal that a deadline is the reason of.
func TestMisuseIsNoDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for name, p := range map[string]*pacer.Pacer{
		"Wait where flights are limited": pacer.Must(pacer.Config{MaxInFlight: 1}),
		"the zero Pacer":                 {},
	} {
		err := p.Wait(ctx)
		e, ok := errors.AsType[interface {
			error
			ErrorType() string
			Retryable() bool
		}](err)
		if !ok || e.ErrorType() != "pacing_misuse" || e.Retryable() || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
