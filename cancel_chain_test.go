package pacedhttp_test

//lint:file-ignore SA1019 Request.Cancel is what http.Client.Timeout still sets

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestRequestCancelEndsEveryWait(t *testing.T) {
	full := func() pacedhttp.Middleware {
		quota := pacer.Burst(1, time.Hour)
		quota.Allow()
		return pacedhttp.Pace(quota)
	}
	retryAfter := func(delay time.Duration) pacedhttp.Middleware {
		return pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(delay), ReplayBuffer: kib}))
	}
	for name, tc := range map[string]struct {
		mw    []pacedhttp.Middleware
		base  step
		sends int
	}{
		"for a slot":                     {[]pacedhttp.Middleware{full()}, step{}, 0},
		"for a slot, under Retry":        {[]pacedhttp.Middleware{pacedhttp.Retry(nil), full()}, step{}, 0},
		"for a slot, with MaxElapsed":    {[]pacedhttp.Middleware{pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{MaxElapsed: time.Minute})), full()}, step{}, 0},
		"for a retry":                    {[]pacedhttp.Middleware{retryAfter(time.Hour)}, step{status: 503}, 1},
		"for the slot of a retry":        {[]pacedhttp.Middleware{retryAfter(0), pacedhttp.Pace(pacer.Burst(1, time.Hour))}, step{status: 503}, 1},
		"for the answer":                 {[]pacedhttp.Middleware{pacedhttp.Retry(nil)}, step{answer: untilCanceled}, 1},
		"for the answer, without layers": {nil, step{answer: untilCanceled}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cancel := make(chan struct{})
				base, body, began := newScript(tc.base), trackString("order"), time.Now()
				req := newRequest(t, "PUT", body)
				req.Cancel = cancel
				time.AfterFunc(time.Second, func() { close(cancel) })
				_, _, err := send(t, pacedhttp.New(base, tc.mw...), req)
				if took := time.Since(began); err == nil || took != time.Second || base.calls() != tc.sends {
					t.Errorf("%v after %v and %d sends", err, took, base.calls())
				}
				if !errors.Is(err, context.Canceled) && !errors.Is(err, errCanceledByChannel) {
					t.Errorf("%v is no cancellation", err)
				}
				body.wantClosedOnce(t)
			})
		})
	}
}

var errCanceledByChannel = errors.New("net/http: request canceled")

// untilCanceled waits for what net/http waits for.
func untilCanceled(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	select {
	case <-req.Cancel:
		return nil, errCanceledByChannel
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

func TestRequestThatWasCanceledIsNotSent(t *testing.T) {
	for name, mw := range everyChain() {
		cancel := make(chan struct{})
		close(cancel)
		base, body := newScript(), trackString("order")
		req := newRequest(t, "PUT", body)
		req.Cancel = cancel
		if _, _, err := send(t, pacedhttp.New(base, mw...), req); err != context.Canceled || base.calls() != 0 {
			t.Errorf("%s: %v after %d sends", name, err, base.calls())
		}
		body.wantClosedOnce(t)
	}
}

func TestCanceledRequestGetsNoFallback(t *testing.T) {
	cancel := make(chan struct{})
	req := newRequest(t, "GET", nil)
	req.Cancel = cancel
	base := newScript(step{answer: func(*http.Request) (*http.Response, error) {
		close(cancel)
		return nil, errCanceledByChannel
	}})
	rt := pacedhttp.New(base, pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)))
	if _, _, err := send(t, rt, req); err != errCanceledByChannel {
		t.Errorf("got %v", err)
	}
}

// http.Client closes the channel of a request whose Timeout has passed.
func TestTimeoutOfTheClientIsADeadline(t *testing.T) {
	for name, tc := range map[string]struct {
		base step
		mw   []pacedhttp.Middleware
	}{
		"in an attempt":       {step{answer: untilCanceled}, []pacedhttp.Middleware{pacedhttp.Retry(nil)}},
		"for a slot":          {step{status: 503}, []pacedhttp.Middleware{pacedhttp.Retry(policyOf(3, 0)), pacedhttp.Pace(waiterFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))}},
		"before a long delay": {step{err: errLost}, []pacedhttp.Middleware{pacedhttp.Retry(policyOf(3, time.Hour))}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var why []retrypolicy.Reason
				client := pacedhttp.New(newScript(tc.base), append([]pacedhttp.Middleware{reasons(&why)}, tc.mw...)...).Client()
				client.Timeout = time.Second
				_, err := client.Get("http://api.test/")
				if err == nil || !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonDeadline}) {
					t.Errorf("%v, gave up for %q", err, why)
				}
			})
		})
	}
}

// The channel closes a moment before the context's own timer has run.
func TestCanceledChannelOfAPassedDeadlineIsADeadline(t *testing.T) {
	cancel := make(chan struct{})
	close(cancel)
	var why []retrypolicy.Reason
	req := newRequest(t, "GET", nil).WithContext(passed{t.Context()})
	req.Cancel = cancel
	_, err := pacedhttp.New(newScript(), reasons(&why), pacedhttp.Retry(nil)).RoundTrip(req)
	if err != context.DeadlineExceeded || !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonDeadline}) {
		t.Errorf("%v, gave up for %q", err, why)
	}
}

// passed is a context whose deadline has passed and whose timer is still to run.
type passed struct{ context.Context }

func (passed) Deadline() (time.Time, bool) { return time.Unix(0, 0), true }

// http.Client sets a channel in each request that has a timeout.
func TestChannelThatNobodyWaitsForStartsNoGoroutine(t *testing.T) {
	req := newRequest(t, "GET", nil)
	req.Cancel = make(chan struct{})
	rt := pacedhttp.New(newSink(), pacedhttp.Retry(nil), pacedhttp.Pace(unlimited()))
	if allocs := testing.AllocsPerRun(1000, func() { rt.RoundTrip(req) }); allocs > 8 {
		t.Errorf("%v allocations", allocs)
	}
}
