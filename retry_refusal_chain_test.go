package pacedhttp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

var errClosed = errors.New("closed for today")

// grants returns a Waiter that gives n slots and then refuses.
func grants(n int) pacedhttp.Waiter {
	return waiterFunc(func(context.Context) error {
		if n--; n < 0 {
			return errClosed
		}
		return nil
	})
}

func TestRefusalOfTheFirstSlotIsNeverRetriedNorAServerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, j := newScript(step{status: 503}), newJournal()
		classified := 0
		policy := retrypolicy.Must(retrypolicy.Config{
			Classify: func(retrypolicy.Attempt) retrypolicy.Verdict { classified++; return retrypolicy.Transient },
		})
		rt := pacedhttp.New(base, pacedhttp.Observe(j.hooks()), pacedhttp.Retry(policy), pacedhttp.Pace(grants(0)))
		_, _, err := send(t, rt, newRequest(t, "GET", nil))
		if refusal, ok := errors.AsType[*pacedhttp.PaceError](err); !ok || refusal.Err != errClosed {
			t.Errorf("got %v", err)
		}
		if base.calls() != 0 || classified != 0 {
			t.Errorf("%d sends, %d verdicts, want none", base.calls(), classified)
		}
		j.want(t,
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot refused #1 waited=0s err=closed for today",
			"0s gave up #0 pacedhttp: not sent: closed for today attempts=0 not_retryable elapsed=0s",
			"0s call done #0 pacedhttp: not sent: closed for today attempts=0 not_retryable elapsed=0s",
		)
	})
}

func TestRefusalDoesNotChargeTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(0), Budget: retrypolicy.NewBudget(1, 0)})
		// Calls that were refused justify no retry: one call, one retry.
		refused := pacedhttp.New(newScript(), pacedhttp.Retry(policy), pacedhttp.Pace(grants(0)))
		for range 5 {
			send(t, refused, newRequest(t, "GET", nil))
		}
		base := newScript(step{status: 503})
		send(t, pacedhttp.New(base, pacedhttp.Retry(policy)), newRequest(t, "GET", nil))
		if base.calls() != 2 {
			t.Errorf("%d sends, want 2", base.calls())
		}
	})
}

func TestRefusalAfterAFailureDoesNotHideIt(t *testing.T) {
	for name, tc := range map[string]struct {
		step   step
		status int
	}{
		"a response is delivered": {step{status: 503, body: "busy"}, 503},
		"an error is reported":    {step{err: errLost}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(tc.step)
				var why []retrypolicy.Reason
				rt := pacedhttp.New(base, reasons(&why), pacedhttp.Retry(policyOf(4, time.Second)), pacedhttp.Pace(grants(2)))
				status, body, err := send(t, rt, newRequest(t, "GET", nil))
				if status != tc.status || body != tc.step.body || base.calls() != 2 {
					t.Errorf("got %d %q, %v after %d sends", status, body, err, base.calls())
				}
				if len(why) != 1 || why[0] != retrypolicy.ReasonNotRetryable {
					t.Errorf("gave up for %q", why)
				}
				if err == nil {
					return
				}
				failure, ok := errors.AsType[*retrypolicy.Error](err)
				_, refused := errors.AsType[*pacedhttp.PaceError](err)
				if !ok || failure.Attempts != 2 || !refused || !errors.Is(err, errClosed) || !errors.Is(err, errLost) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestSlotBeyondTheDeadlineDeliversTheLastResponseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, began := newScript(step{status: 503, body: "busy"}), time.Now()
		var why []retrypolicy.Reason
		rt := pacedhttp.New(base, reasons(&why), pacedhttp.Retry(policyOf(4, time.Second)), pacedhttp.Pace(pacer.Burst(1, time.Minute)))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		status, body, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		if status != 503 || body != "busy" || time.Since(began) != time.Second {
			t.Errorf("got %d %q, %v after %v", status, body, err, time.Since(began))
		}
		if len(why) != 1 || why[0] != retrypolicy.ReasonDeadline {
			t.Errorf("gave up for %q", why)
		}
	})
}

func TestCancelledInTheQueueIsAnErrorEvenAfterAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{status: 503, body: "busy"})
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(4, time.Second)), pacedhttp.Pace(pacer.Burst(1, time.Minute)))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		began := time.Now()
		_, _, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		failure, ok := errors.AsType[*retrypolicy.Error](err)
		if !ok || failure.Reason != retrypolicy.ReasonCanceled || failure.Attempts != 1 || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if !strings.Contains(err.Error(), "server answered 503") {
			t.Errorf("%q does not tell the last failure", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("returned after %v, want 5s", took)
		}
	})
}

// What the inner layer says about its own attempts must reach the caller.
func TestRefusalInANestedRetryKeepsTheInnerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, j := newScript(step{err: errLost}), newJournal()
		rt := pacedhttp.New(base,
			pacedhttp.Observe(pacedhttp.Hooks{AttemptStarted: j.hooks().AttemptStarted, AttemptDone: j.hooks().AttemptDone}),
			pacedhttp.Retry(policyOf(2, time.Second)),
			pacedhttp.Retry(policyOf(2, time.Second)),
			pacedhttp.Pace(grants(1)))
		_, _, err := send(t, rt, newRequest(t, "GET", nil))
		if _, refused := errors.AsType[*pacedhttp.PaceError](err); !refused || !errors.Is(err, errLost) || base.calls() != 1 {
			t.Errorf("got %v after %d sends", err, base.calls())
		}
		failure := "retrypolicy: gave up after 1 attempt (not_retryable): pacedhttp: not sent: closed for today; last failure: connection lost"
		j.want(t,
			"0s attempt started #1/1 paced=0s previous=0s",
			"0s attempt started #1/1 paced=0s previous=0s",
			"0s attempt done #1/1 connection lost transient took=0s",
			"1s attempt done #1/1 "+failure+" accept took=1s",
		)
	})
}
