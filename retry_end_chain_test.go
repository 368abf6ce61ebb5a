package pacedhttp_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestEveryReasonIsReachedThroughTheTransport(t *testing.T) {
	const s = time.Second
	var refuse waiterFunc = func(context.Context) error { return errors.New("closed for today") }
	for _, tc := range []struct {
		want   retrypolicy.Reason
		policy retrypolicy.Config
		waiter pacedhttp.Waiter
		step   step
		method string
		body   string
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		sends  int
	}{
		{want: "", step: step{}, sends: 1}, // accepted: the call did not give up
		{want: "", step: step{status: 404}, sends: 1},
		{want: retrypolicy.ReasonMaxAttempts, step: step{status: 503}, sends: 4},
		{want: retrypolicy.ReasonMaxElapsed, policy: retrypolicy.Config{MaxElapsed: s / 2}, step: step{status: 503}, sends: 1},
		{want: retrypolicy.ReasonDeadline, step: step{status: 503}, sends: 2, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*s)
		}},
		{want: retrypolicy.ReasonDeadline, step: step{delay: 10 * s}, sends: 1, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*s)
		}},
		{want: retrypolicy.ReasonDeadline, step: step{}, waiter: pacer.Burst(1, s), sends: 0, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadline(ctx, time.Now())
		}},
		{want: retrypolicy.ReasonRetryAfterTooLong, step: step{status: 429, header: header("Retry-After", "61")}, sends: 1},
		{want: retrypolicy.ReasonBudgetExhausted, policy: retrypolicy.Config{Budget: retrypolicy.NewBudget(0, 0)}, step: step{status: 503}, sends: 1},
		{want: retrypolicy.ReasonMethodNotIdempotent, method: "POST", step: step{status: 503}, sends: 1},
		{want: retrypolicy.ReasonBodyNotReplayable, method: "PUT", body: "stream", step: step{status: 503}, sends: 1},
		{want: retrypolicy.ReasonNotRetryable, step: step{err: x509.UnknownAuthorityError{}}, sends: 1},
		{want: retrypolicy.ReasonNotRetryable, step: step{err: errors.New("unsupported protocol scheme \"gopher\"")}, sends: 1},
		{want: retrypolicy.ReasonNotRetryable, step: step{}, waiter: refuse, sends: 0},
		{want: retrypolicy.ReasonCanceled, step: step{delay: 10 * s}, sends: 1, ctx: canceledAfter(2 * s)},
		{want: retrypolicy.ReasonCanceled, step: step{}, sends: 0, ctx: canceledAfter(0)},
		{want: retrypolicy.ReasonCanceled, step: step{}, waiter: waiterFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), sends: 0, ctx: canceledAfter(2 * s)},
	} {
		name := string(tc.want)
		if name == "" {
			name = "accepted"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.policy.Backoff = retrypolicy.Constant(s); tc.method == "" {
					tc.method = "GET"
				}
				base := newScript(tc.step)
				var why []retrypolicy.Reason
				rt := pacedhttp.New(base, reasons(&why), pacedhttp.Retry(retrypolicy.Must(tc.policy)), pacedhttp.Pace(tc.waiter))
				req := newRequest(t, tc.method, nil)
				if tc.body != "" {
					req.Body = trackString(tc.body)
				}
				if tc.ctx != nil {
					ctx, cancel := tc.ctx(req.Context())
					defer cancel()
					req = req.WithContext(ctx)
				}
				_, _, err := send(t, rt, req)
				want := []retrypolicy.Reason{tc.want}
				if tc.want == "" {
					want = nil
				}
				if !slices.Equal(why, want) {
					t.Errorf("gave up for %q, want %q", why, want)
				}
				if base.calls() != tc.sends {
					t.Errorf("%d sends, want %d", base.calls(), tc.sends)
				}
				if e, ok := errors.AsType[*retrypolicy.Error](err); ok && (e.Reason != tc.want || e.Attempts != tc.sends) {
					t.Errorf("the error says %q after %d attempts", e.Reason, e.Attempts)
				}
			})
		})
	}
}

// canceledAfter returns a constructor of contexts that are cancelled after d.
func canceledAfter(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		if d == 0 {
			cancel()
		} else {
			time.AfterFunc(d, cancel)
		}
		return ctx, cancel
	}
}

func TestGivesUpAtOnceWhenTheWaitWouldOutliveTheDeadline(t *testing.T) {
	for name, tc := range map[string]struct {
		backoff time.Duration
		header  http.Header
	}{
		"the backoff":            {5 * time.Second, nil},
		"to the very nanosecond": {2 * time.Second, nil},
		"a Retry-After":          {0, header("Retry-After", "5")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(step{status: 503, header: tc.header, body: "try later"})
				rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(4, tc.backoff)))
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				began := time.Now()
				status, body, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
				if took := time.Since(began); took != 0 {
					t.Errorf("gave up after %v, want at once", took)
				}
				if status != 503 || body != "try later" {
					t.Errorf("got %d %q, %v", status, body, err)
				}
			})
		})
	}
}

func TestOneThrottledCallHoldsBackItsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, began := newScript(step{status: 429, header: header("Retry-After", "3")}, step{}), time.Now()
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(4, time.Second)), pacedhttp.Pace(pacer.Burst(2, time.Second)))
		var calls sync.WaitGroup
		for range 6 {
			calls.Go(func() {
				if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 {
					t.Errorf("got %d, %v", status, err)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		// The five siblings in the queue go first, and not before the pause is over.
		wantTimes(t, base, began, seconds(0, 3, 3, 4, 4, 5, 5)...)
	})
}

func TestCancelledWhileWaitingMatchesContextCauseAndLastFailure(t *testing.T) {
	stopped := errors.New("the user left")
	for name, step := range map[string]step{
		"after an error":    {err: errLost},
		"after a response":  {status: 503},
		"during an attempt": {delay: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(step)
				client := pacedhttp.New(base, pacedhttp.Retry(policyOf(4, 5*time.Second))).Client()
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(stopped) })
				began := time.Now()
				_, err := client.Do(newRequest(t, "GET", nil).WithContext(ctx))
				if took := time.Since(began); took != time.Second {
					t.Errorf("returned after %v, want 1s", took)
				}
				failure, ok := errors.AsType[*retrypolicy.Error](err)
				if !ok || failure.Attempts != 1 || failure.Reason != retrypolicy.ReasonCanceled {
					t.Fatalf("got %v", err)
				}
				if !errors.Is(err, context.Canceled) || !errors.Is(err, stopped) {
					t.Errorf("%v does not match the context", err)
				}
				switch {
				case step.err != nil && !errors.Is(err, step.err),
					step.status != 0 && !strings.Contains(err.Error(), "server answered 503 Service Unavailable"):
					t.Errorf("%v does not tell the last failure", err)
				}
				if base.calls() != 1 {
					t.Errorf("%d sends after the cancellation", base.calls()-1)
				}
			})
		})
	}
}

// The select between the delay's end and the cancellation may go either way; here it
// always sees only the delay's end.
func TestCancelledAtTheEndOfTheDelayNeverSends(t *testing.T) {
	for name, mw := range map[string][]pacedhttp.Middleware{
		"retry":            {pacedhttp.Retry(policyOf(4, time.Second))},
		"retry, then pace": {pacedhttp.Retry(policyOf(4, 0)), pacedhttp.Pace(waiterFunc(func(context.Context) error { time.Sleep(time.Second / 2); return nil }))},
		"pace alone":       {pacedhttp.Pace(waiterFunc(func(context.Context) error { time.Sleep(time.Second); return nil }))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, began := newScript(step{status: 503}), time.Now()
				req := newRequest(t, "GET", nil)
				_, _, err := send(t, pacedhttp.New(base, mw...), req.WithContext(lateContext{req.Context(), began.Add(time.Second)}))
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
				for _, at := range base.times(began) {
					if at >= time.Second {
						t.Errorf("sent at %v, cancelled at 1s", at)
					}
				}
			})
		})
	}
}

func TestCancelledByAHookNeverSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{status: 503})
		ctx, cancel := context.WithCancel(t.Context())
		rt := pacedhttp.New(base,
			pacedhttp.Observe(pacedhttp.Hooks{RetryScheduled: func(context.Context, pacedhttp.RetryInfo) { cancel() }}),
			pacedhttp.Retry(policyOf(4, 0)))
		_, _, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		if !errors.Is(err, context.Canceled) || base.calls() != 1 {
			t.Errorf("got %v after %d sends", err, base.calls())
		}
	})
}

func TestDeadContextSendsNothing(t *testing.T) {
	cause := errors.New("shutting down")
	expired, cancelExpired := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancelExpired()
	canceled, cancelWithCause := context.WithCancelCause(context.Background())
	cancelWithCause(cause)
	free := pacedhttp.Pace(waiterFunc(func(context.Context) error { return nil }))
	prepare := pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil })
	for name, tc := range map[string]struct {
		ctx  context.Context
		mw   []pacedhttp.Middleware
		want []error
	}{
		"cancelled, retry": {canceled, []pacedhttp.Middleware{pacedhttp.Retry(nil)}, []error{context.Canceled, cause}},
		"cancelled, pace":  {canceled, []pacedhttp.Middleware{free}, []error{context.Canceled, cause}},
		"expired, retry":   {expired, []pacedhttp.Middleware{pacedhttp.Retry(nil)}, []error{context.DeadlineExceeded}},
		"expired, both":    {expired, []pacedhttp.Middleware{pacedhttp.Retry(nil), free}, []error{context.DeadlineExceeded}},
		"expired, pace":    {expired, []pacedhttp.Middleware{free}, []error{context.DeadlineExceeded}},

		"cancelled, no layer": {canceled, nil, []error{context.Canceled, cause}},
		"cancelled, prepare":  {canceled, []pacedhttp.Middleware{prepare}, []error{context.Canceled, cause}},
		"cancelled, observe":  {canceled, []pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{})}, []error{context.Canceled, cause}},
		"cancelled, fallback": {canceled, []pacedhttp.Middleware{pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))}, []error{context.Canceled, cause}},
		"expired, not paced":  {expired, []pacedhttp.Middleware{pacedhttp.Pace(nil)}, []error{context.DeadlineExceeded}},
	} {
		t.Run(name, func(t *testing.T) {
			base, body := newScript(), trackString("payload")
			_, _, err := send(t, pacedhttp.New(base, tc.mw...), newRequest(t, "PUT", body).WithContext(tc.ctx))
			for _, want := range tc.want {
				if !errors.Is(err, want) {
					t.Errorf("%v does not match %v", err, want)
				}
			}
			if base.calls() != 0 {
				t.Errorf("%d sends", base.calls())
			}
			body.wantClosedOnce(t)
		})
	}
}

// A lateReader takes its time to tell all of its text.
type lateReader struct {
	io.Reader
	pause time.Duration
}

func (b *lateReader) Read(p []byte) (int, error) {
	time.Sleep(b.pause)
	b.pause = 0
	return b.Reader.Read(p)
}

func TestReleaseOfAResponseIsPartOfTheDelay(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		delay, body, deadline time.Duration
		sends                 []time.Duration
		took                  time.Duration
		want                  string
		reason                []retrypolicy.Reason
	}{
		"quicker than the delay":          {90 * ms, 20 * ms, time.Hour, []time.Duration{0, 90 * ms}, 90 * ms, "200 fine", nil},
		"slower than the delay":           {10 * ms, 20 * ms, time.Hour, []time.Duration{0, 20 * ms}, 20 * ms, "200 fine", nil},
		"and does not outlive a deadline": {90 * ms, 20 * ms, 100 * ms, []time.Duration{0, 90 * ms}, 90 * ms, "200 fine", nil},
		"or the response is delivered":    {10 * ms, 40 * ms, 30 * ms, []time.Duration{0}, 40 * ms, "503 busy", []retrypolicy.Reason{retrypolicy.ReasonDeadline}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(step{status: 503, stream: io.NopCloser(&lateReader{strings.NewReader("busy"), tc.body})}, step{body: "fine"})
				began := time.Now()
				var why []retrypolicy.Reason
				ctx, cancel := context.WithTimeout(t.Context(), tc.deadline)
				defer cancel()
				status, body, err := send(t, pacedhttp.New(base, reasons(&why), pacedhttp.Retry(policyOf(4, tc.delay))), newRequest(t, "GET", nil).WithContext(ctx))
				if got := fmt.Sprint(status, " ", body); got != tc.want || time.Since(began) != tc.took {
					t.Errorf("got %s, %v after %v, want %s after %v", got, err, time.Since(began), tc.want, tc.took)
				}
				wantTimes(t, base, began, tc.sends...)
				if !slices.Equal(why, tc.reason) {
					t.Errorf("gave up for %q, want %q", why, tc.reason)
				}
			})
		})
	}
}

func TestNoRetryStartsAfterMaxElapsedThoughReleaseTookLong(t *testing.T) {
	const ms = time.Millisecond
	for _, body := range []time.Duration{60 * ms, time.Hour} {
		t.Run(body.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(step{status: 503, stream: io.NopCloser(&lateReader{strings.NewReader("busy"), body})}, step{})
				if body == time.Hour {
					base = newScript(step{status: 503, stream: newSlowBody(kib, body)}, step{})
				}
				var why []retrypolicy.Reason
				policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(10 * ms), MaxElapsed: 50 * ms})
				status, text, err := send(t, pacedhttp.New(base, reasons(&why), pacedhttp.Retry(policy)), newRequest(t, "GET", nil))
				if body == time.Hour {
					if _, ok := errors.AsType[*retrypolicy.Error](err); !ok {
						t.Errorf("got %d, %v", status, err)
					}
				} else if status != 503 || text != "busy" {
					t.Errorf("got %d %q, %v, want the 503", status, text, err)
				}
				if base.calls() != 1 || !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonMaxElapsed}) {
					t.Errorf("%d sends, gave up for %q", base.calls(), why)
				}
			})
		})
	}
}

func TestFailingHostClosesNoIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := &idleCounter{script: newScript(step{err: errLost}, step{status: 503})}
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(4, time.Second)), pacedhttp.Pace(pacer.Burst(9, time.Second)))
		send(t, rt, newRequest(t, "GET", nil))
		if base.closed != 0 {
			t.Errorf("idle connections closed %d times", base.closed)
		}
	})
}

func TestErrorTextsHoldNoSecrets(t *testing.T) {
	for name, step := range map[string]step{
		"the URL in a *url.Error": {err: &url.Error{Op: "Get", URL: secretURL, Err: errLost}},
		"the URL in a text":       {err: errors.New("proxy refused " + secretURL)},
		"a header's value":        {err: errors.New("net/http: invalid header field value for \"Authorization\"")},
		"a response's header":     {status: 503, header: header("Set-Cookie", "session=hunter2")},
		"what a Waiter says":      {status: 429, header: header("Waiter", "fails")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quota := waiterFunc(func(context.Context) error { return nil })
				if step.header.Get("Waiter") == "fails" {
					quota = func(context.Context) error { return &url.Error{Op: "Get", URL: secretURL, Err: errLost} }
				}
				rt := pacedhttp.New(newScript(step), pacedhttp.Retry(policyOf(2, time.Second)), pacedhttp.Pace(quota))
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second/2, cancel) // so that a response ends in an error too
				req := newRequestTo(t, "GET", secretURL, nil).WithContext(ctx)
				req.Header.Set("Authorization", "Bearer hunter2")
				_, err := rt.Client().Do(req)
				outer, ok := errors.AsType[*url.Error](err)
				if !ok {
					t.Fatalf("got %v", err)
				}
				if text := outer.Err.Error(); strings.Contains(text, "token") || strings.Contains(text, "user:") || strings.Contains(text, "session") {
					t.Errorf("the text is %q", text)
				}
			})
		})
	}
}

func TestTimeoutIsSeenThroughTheClientsError(t *testing.T) {
	slow := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.Constant(0), AttemptTimeout: time.Second})
	for name, tc := range map[string]struct {
		mw      []pacedhttp.Middleware
		step    step
		timeout bool
	}{
		"an attempt's timeout":  {[]pacedhttp.Middleware{pacedhttp.Retry(slow)}, step{delay: time.Hour}, true},
		"the caller's deadline": {[]pacedhttp.Middleware{pacedhttp.Retry(nil)}, step{delay: time.Hour}, true},
		"a slot that is late": {[]pacedhttp.Middleware{pacedhttp.Retry(nil), pacedhttp.Pace(waiterFunc(func(context.Context) error {
			return context.DeadlineExceeded
		}))}, step{}, true},
		"a slot that is late, without retry": {[]pacedhttp.Middleware{pacedhttp.Pace(waiterFunc(func(context.Context) error {
			return context.DeadlineExceeded
		}))}, step{}, true},
		"a lost connection": {[]pacedhttp.Middleware{pacedhttp.Retry(policyOf(2, 0))}, step{err: errLost}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := pacedhttp.New(newScript(tc.step), tc.mw...).Client().Do(newRequest(t, "GET", nil).WithContext(ctx))
				outer, ok := errors.AsType[*url.Error](err)
				if !ok || outer.Timeout() != tc.timeout {
					t.Errorf("got %v, a timeout: %v", err, !tc.timeout)
				}
				if errors.Is(err, context.DeadlineExceeded) != tc.timeout {
					t.Errorf("%v matches context.DeadlineExceeded: %v", err, !tc.timeout)
				}
			})
		})
	}
}
