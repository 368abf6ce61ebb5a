package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestPermanentOfNilIsNil(t *testing.T) {
	if err := Permanent(nil); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestPermanentKeepsTheTextAndWhatTheErrorIs(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "prices", Err: fs.ErrNotExist}
	err := Permanent(cause)
	found, ok := errors.AsType[*fs.PathError](err)
	if err.Error() != cause.Error() || !errors.Is(err, fs.ErrNotExist) || !ok || found != cause {
		t.Errorf("got %v", err)
	}
}

func TestPermanentIsNeverRetriedWhateverTheClassifierSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Must(Config{Backoff: Constant(time.Second), Classify: func(Attempt) Verdict { return Transient }})
		var at []time.Duration
		_, err := Do(t.Context(), p, script(&at, errBoom, fmt.Errorf("prices: %w", Permanent(errBoom)), errBoom))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Reason != ReasonNotRetryable || e.Attempts != 2 || !errors.Is(err, errBoom) || fmt.Sprint(at) != "[0s 1s]" {
			t.Errorf("%v at %v", err, at)
		}
		if want := "retrypolicy: gave up after 2 attempts (not_retryable): prices: boom"; err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	})
}

func TestPermanentIsFinalToALoopFurtherOutAndToAnHTTPClients(t *testing.T) {
	calls := 0
	_, err := Do(t.Context(), nil, func(ctx context.Context) (int, error) {
		return Do(ctx, nil, func(context.Context) (int, error) { calls++; return 0, Permanent(errBoom) })
	})
	if calls != 1 || !errors.Is(err, errBoom) {
		t.Errorf("%d calls, %v", calls, err)
	}
	a := failed(func(a *Attempt) { a.Err = Permanent(errBoom) })
	if d := Default().Next(t.Context(), a); d.Retry || d.Reason != ReasonNotRetryable || a.Request.Method != http.MethodGet {
		t.Errorf("got %+v", d)
	}
}
