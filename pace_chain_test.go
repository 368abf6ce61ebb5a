package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Prepare may fetch a token through a chain of its own, with the attempt's context.
func TestAnotherChainsSlotIsNotTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := pacedhttp.New(newScript(), pacedhttp.Pace(waits(10*time.Second)))
		fetch := func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			_, _, err := send(t, tokens, newRequestTo(t, "GET", "http://api.test/token", nil).WithContext(req.Context()))
			return err
		}
		var infos []pacedhttp.AttemptInfo
		base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
			info, _ := pacedhttp.AttemptFromContext(req.Context())
			infos = append(infos, info)
			return &http.Response{StatusCode: 200}, nil
		}})
		j := newJournal()
		all := j.hooks()
		rt := pacedhttp.New(base,
			pacedhttp.Observe(pacedhttp.Hooks{AttemptStarted: all.AttemptStarted, AttemptDone: all.AttemptDone}),
			timed(30*time.Second), pacedhttp.Pace(waits(time.Minute)), pacedhttp.Prepare(fetch))
		if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		if want := []pacedhttp.AttemptInfo{{Number: 1, PacedFor: time.Minute}}; !slices.Equal(infos, want) {
			t.Errorf("the attempts were %+v, want %+v", infos, want)
		}
		j.want(t,
			"1m0s attempt started #1/1 paced=1m0s previous=0s",
			"1m10s attempt done #1/1 200 accept took=10s",
		)
	})
}

func TestWaitForAnotherChainsPacerIsNotTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := pacer.Burst(1, time.Hour)
		slow.Allow()
		tokens := pacedhttp.New(newScript(), pacedhttp.Pace(slow))
		fetch := func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			_, _, err := send(t, tokens, newRequestTo(t, "GET", "http://tokens.test/", nil).WithContext(req.Context()))
			return err
		}
		var info pacedhttp.AttemptInfo
		base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
			info, _ = pacedhttp.AttemptFromContext(req.Context())
			return &http.Response{StatusCode: 200}, nil
		}})
		rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(unlimited()), pacedhttp.Prepare(fetch))
		if _, _, err := send(t, rt, newRequest(t, "GET", nil)); err != nil || info.PacedFor != 0 {
			t.Errorf("paced for %v, %v", info.PacedFor, err)
		}
	})
}

func TestAnotherChainsSlotCountsTowardsTheAttemptsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tokens := pacedhttp.New(newScript(), pacedhttp.Pace(waiterFunc(untilDone)))
		fetch := func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			_, _, err := send(t, tokens, newRequestTo(t, "GET", "http://tokens.test/", nil).WithContext(req.Context()))
			return err
		}
		rt := pacedhttp.New(newScript(), timed(time.Second), pacedhttp.Prepare(fetch))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, _, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		if took := time.Since(began); err == nil || took == time.Hour {
			t.Errorf("%v after %v, want the attempt's timeout", err, took)
		}
	})
}

func TestAnotherChainsRefusalIsNotTheAttempts(t *testing.T) {
	tokens := pacedhttp.New(newScript(), pacedhttp.Pace(grants(1)))
	fetch := func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		_, _, err := send(t, tokens, newRequestTo(t, "GET", "http://tokens.test/", nil).WithContext(req.Context()))
		return err
	}
	var why []retrypolicy.Reason
	rt := pacedhttp.New(newScript(step{status: 503}), reasons(&why), pacedhttp.Retry(policyOf(3, 0)), pacedhttp.Pace(grants(9)), pacedhttp.Prepare(fetch))
	status, _, err := send(t, rt, newRequest(t, "GET", nil))
	if failure, ok := errors.AsType[*retrypolicy.Error](err); !ok || failure.Attempts != 2 || !errors.Is(err, errClosed) {
		t.Errorf("got %d, %v, want what Prepare met with", status, err)
	}
	if !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonNotRetryable}) {
		t.Errorf("gave up for %q", why)
	}
}

// A context may outlive its attempt.
func TestLaterSlotWithAnAttemptsContextDoesNotTouchIt(t *testing.T) {
	later := pacedhttp.New(newScript(), pacedhttp.Pace(grants(100)))
	done := make(chan struct{})
	base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
		go func() {
			defer close(done)
			for range 100 {
				send(t, later, newRequestTo(t, "GET", "http://audit.test/", nil).WithContext(context.WithoutCancel(req.Context())))
			}
		}()
		return &http.Response{StatusCode: 200}, nil
	}})
	observe := pacedhttp.Observe(pacedhttp.Hooks{AttemptDone: func(context.Context, pacedhttp.AttemptResult) {}})
	send(t, pacedhttp.New(base, observe, pacedhttp.Retry(nil), pacedhttp.Pace(grants(1))), newRequest(t, "GET", nil))
	<-done
}

func TestPacedForIsTheSumOfAllSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var info pacedhttp.AttemptInfo
		base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
			info, _ = pacedhttp.AttemptFromContext(req.Context())
			return &http.Response{StatusCode: 200}, nil
		}})
		rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(waits(time.Second)), pacedhttp.Pace(waits(time.Minute)))
		send(t, rt, newRequest(t, "GET", nil))
		if want := time.Minute + time.Second; info.PacedFor != want {
			t.Errorf("PacedFor is %v, want %v", info.PacedFor, want)
		}
	})
}

func TestNoRetryStartsAfterMaxElapsedThoughItsSlotWouldCome(t *testing.T) {
	const s = time.Second
	for name, tc := range map[string]struct {
		waiter   pacedhttp.Waiter
		deadline time.Duration
		sends    []time.Duration
		took     time.Duration
		reason   retrypolicy.Reason
	}{
		"the slot comes in time":         {pacer.Drip(1, 3*s), 0, seconds(0, 3, 6), 7 * s, retrypolicy.ReasonMaxElapsed},
		"just in time":                   {pacer.Drip(1, 7*s), 0, seconds(0, 7), 7 * s, retrypolicy.ReasonMaxElapsed},
		"too late, and the pacer knows":  {pacer.Drip(1, 10*s), 0, seconds(0), s, retrypolicy.ReasonMaxElapsed},
		"too late, as it turns out":      {oneThenNever(), 0, seconds(0), 7*s + 1, retrypolicy.ReasonMaxElapsed},
		"the deadline is sooner":         {oneThenNever(), 5 * s, seconds(0), 5 * s, retrypolicy.ReasonDeadline},
		"the deadline is later":          {oneThenNever(), 9 * s, seconds(0), 7*s + 1, retrypolicy.ReasonMaxElapsed},
		"it does not bound the first":    {waits(9 * s), 0, seconds(9), 9 * s, retrypolicy.ReasonMaxElapsed},
		"the pacer refuses for its sake": {grants(1), 0, seconds(0), s, retrypolicy.ReasonMaxElapsed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, began := newScript(step{status: 503, body: "busy"}), time.Now()
				var why []retrypolicy.Reason
				policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 9, Backoff: retrypolicy.Constant(s), MaxElapsed: 7 * s})
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				rt := pacedhttp.New(base, reasons(&why), pacedhttp.Retry(policy), pacedhttp.Pace(tc.waiter))
				status, body, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
				if took := time.Since(began); status != 503 || body != "busy" || took != tc.took {
					t.Errorf("got %d %q, %v after %v, want the 503 after %v", status, body, err, took, tc.took)
				}
				wantTimes(t, base, began, tc.sends...)
				if !slices.Equal(why, []retrypolicy.Reason{tc.reason}) {
					t.Errorf("gave up for %q, want %q", why, tc.reason)
				}
			})
		})
	}
}

// oneThenNever returns a Waiter with a single slot that knows nothing of deadlines.
func oneThenNever() pacedhttp.Waiter {
	taken := false
	return waiterFunc(func(ctx context.Context) error {
		if !taken {
			taken = true
			return nil
		}
		return untilDone(ctx)
	})
}

func TestMaxElapsedRefusalNamesItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{err: errLost})
		policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(0), MaxElapsed: time.Second})
		_, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.Pace(pacer.Drip(1, time.Minute))), newRequest(t, "GET", nil))
		failure, ok := errors.AsType[*retrypolicy.Error](err)
		if !ok || failure.Reason != retrypolicy.ReasonMaxElapsed || !errors.Is(err, errLost) || !errors.Is(err, pacer.ErrDeadline) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLargestMaxElapsedBoundsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{status: 503}, step{})
		policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(0), MaxElapsed: math.MaxInt64})
		if status, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.Pace(grants(9))), newRequest(t, "GET", nil)); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
	})
}

func TestWaitersOwnTimeoutIsNotTheCallersDeadline(t *testing.T) {
	var why []retrypolicy.Reason
	taken := false
	backend := waiterFunc(func(context.Context) error {
		if !taken {
			taken = true
			return nil
		}
		return fmt.Errorf("quota server: %w", context.DeadlineExceeded)
	})
	rt := pacedhttp.New(newScript(step{status: 503}), reasons(&why), pacedhttp.Retry(policyOf(3, 0)), pacedhttp.Pace(backend))
	if status, _, err := send(t, rt, newRequest(t, "GET", nil).WithContext(context.Background())); status != 503 || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
	if !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonNotRetryable}) {
		t.Errorf("gave up for %q", why)
	}
}

// Nothing was sent: the service has not failed.
func TestWhatALayerBelowRefusesIsNoFailureOfTheService(t *testing.T) {
	for name, refuses := range map[string]pacedhttp.Middleware{
		"Prepare": pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return errors.New("no token") }),
		"Pace":    pacedhttp.Pace(grants(0)),
	} {
		for chain, layers := range map[string][]pacedhttp.Middleware{"under Retry": {pacedhttp.Retry(nil)}, "without Retry": nil} {
			t.Run(name+"/"+chain, func(t *testing.T) {
				p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}, Outage: &pacer.Outage{After: 1}})
				rt := pacedhttp.New(newScript(step{}), append(layers, pacedhttp.Pace(p), refuses)...)
				if _, err := rt.RoundTrip(newRequest(t, "GET", nil)); err == nil {
					t.Fatal("nothing was refused")
				}
				if got := p.Stats().State; got != pacer.StateFlowing {
					t.Errorf("%v, want it flowing", got)
				}
			})
		}
	}
}
