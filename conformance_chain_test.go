package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A behaviour is a call through the usual chain and what must come of it, whatever
// the base transport is. Its attempts are a second apart unless it says otherwise.
type behaviour struct {
	replies []reply

	method   string           // GET if empty
	body     func() io.Reader // nil = none
	header   http.Header
	within   time.Duration // the caller's deadline
	cancel   time.Duration // when the caller cancels
	only     func(context.Context) context.Context
	fallback pacedhttp.FallbackFunc
	policy   retrypolicy.Config
	pace     func() pacedhttp.Waiter
	prepare  func(*http.Request, pacedhttp.AttemptInfo) error

	sends  []string           // time, method and body of what arrived
	took   time.Duration      // the call, up to its result
	want   string             // status and body, or the error
	reason retrypolicy.Reason // why it gave up
	err    error              // what the error matches
}

func TestConformance(t *testing.T) {
	const s = time.Second
	var (
		busy    = reply{status: 503, body: "busy"}
		lost    = reply{lost: true}
		refused = reply{refused: true}
		fine    = reply{body: "fine"}

		copied   = func() io.Reader { return strings.NewReader("order") }
		streamed = func() io.Reader { return trackString("order") }
		keyed    = header("Idempotency-Key", "1")

		dripEvery3 = func() pacedhttp.Waiter { return pacer.Drip(1, 3*s) }
		oneSlot    = func() pacedhttp.Waiter { return grants(1) }
		noSlot     = func() pacedhttp.Waiter { return grants(0) }
	)
	for name, b := range map[string]behaviour{
		"success is sent once": {
			replies: []reply{fine},
			sends:   []string{"0s GET"}, want: "200 fine",
		},
		"transient statuses are retried": {
			replies: []reply{busy, {status: 502}, {status: 504}, fine},
			sends:   []string{"0s GET", "1s GET", "2s GET", "3s GET"}, took: 3 * s, want: "200 fine",
		},
		"final status is not retried": {
			replies: []reply{{status: 404, body: "where?"}},
			sends:   []string{"0s GET"}, want: "404 where?",
		},
		"lost connection is retried": {
			replies: []reply{lost, lost, fine},
			sends:   []string{"0s GET", "1s GET", "2s GET"}, took: 2 * s, want: "200 fine",
		},
		"POST that may have been processed is not retried": {
			replies: []reply{busy}, method: "POST", body: copied,
			sends: []string{"0s POST order"}, want: "503 busy", reason: retrypolicy.ReasonMethodNotIdempotent,
		},
		"POST whose answer is lost is not retried": {
			replies: []reply{lost}, method: "POST", body: copied,
			sends: []string{"0s POST order"}, want: "failed after 1", reason: retrypolicy.ReasonMethodNotIdempotent,
		},
		"POST that never got through is retried": {
			replies: []reply{refused, refused, fine}, method: "POST", body: copied,
			sends: []string{"2s POST order"}, took: 2 * s, want: "200 fine",
		},
		"POST of a stream that never got through needs no buffer": {
			replies: []reply{refused, fine}, method: "POST", body: streamed,
			sends: []string{"1s POST order"}, took: s, want: "200 fine",
		},
		"POST that was throttled is retried": {
			replies: []reply{{status: 429}, fine}, method: "POST", body: copied,
			sends: []string{"0s POST order", "1s POST order"}, took: s, want: "200 fine",
		},
		"POST with a key is retried": {
			replies: []reply{busy, fine}, method: "POST", body: copied, header: keyed,
			sends: []string{"0s POST order", "1s POST order"}, took: s, want: "200 fine",
		},
		"last response is delivered": {
			replies: []reply{busy, busy, busy, {status: 503, body: "the last"}, fine},
			sends:   []string{"0s GET", "1s GET", "2s GET", "3s GET"}, took: 3 * s,
			want: "503 the last", reason: retrypolicy.ReasonMaxAttempts,
		},
		"last error is delivered": {
			replies: []reply{lost, lost, fine}, policy: retrypolicy.Config{MaxAttempts: 2},
			sends: []string{"0s GET", "1s GET"}, took: s, want: "failed after 2", reason: retrypolicy.ReasonMaxAttempts,
		},
		"server that asks for too long a pause ends the call": {
			replies: []reply{{status: 503, body: "busy", header: header("Retry-After", "3600")}},
			sends:   []string{"0s GET"}, want: "503 busy", reason: retrypolicy.ReasonRetryAfterTooLong,
		},
		"no retry starts after MaxElapsed": {
			replies: []reply{busy, busy, busy}, policy: retrypolicy.Config{MaxElapsed: 3 * s / 2},
			sends: []string{"0s GET", "1s GET"}, took: s, want: "503 busy", reason: retrypolicy.ReasonMaxElapsed,
		},
		"policy of one request": {
			replies: []reply{busy, fine}, only: retrypolicy.WithoutRetry,
			sends: []string{"0s GET"}, want: "503 busy", reason: retrypolicy.ReasonMaxAttempts,
		},
		"body is replayed by GetBody": {
			replies: []reply{busy, busy, fine}, method: "PUT", body: copied,
			sends: []string{"0s PUT order", "1s PUT order", "2s PUT order"}, took: 2 * s, want: "200 fine",
		},
		"body is replayed from the buffer": {
			replies: []reply{busy, busy, fine}, method: "PUT", body: streamed, policy: retrypolicy.Config{ReplayBuffer: 5},
			sends: []string{"0s PUT order", "1s PUT order", "2s PUT order"}, took: 2 * s, want: "200 fine",
		},
		"body past the buffer is sent once": {
			replies: []reply{busy, fine}, method: "PUT", body: streamed, policy: retrypolicy.Config{ReplayBuffer: 4},
			sends: []string{"0s PUT order"}, want: "503 busy", reason: retrypolicy.ReasonBodyNotReplayable,
		},
		"redirected body is replayed behind the redirect": {
			replies: []reply{{status: 307, header: header("Location", "/new")}, busy, fine}, method: "PUT", body: copied,
			sends: []string{"0s PUT order", "0s PUT new order", "1s PUT new order"}, took: s, want: "200 fine",
		},
		"fallback answers a failed response": {
			replies: []reply{busy, busy, busy, busy}, fallback: pacedhttp.StaticResponse(200, nil, []byte("cached")),
			sends: []string{"0s GET", "1s GET", "2s GET", "3s GET"}, took: 3 * s,
			want: "200 cached", reason: retrypolicy.ReasonMaxAttempts,
		},
		"fallback answers an error": {
			replies: []reply{lost}, policy: retrypolicy.Config{MaxAttempts: 1}, fallback: pacedhttp.StaticResponse(200, nil, []byte("cached")),
			sends: []string{"0s GET"}, want: "200 cached", reason: retrypolicy.ReasonMaxAttempts,
		},
		"each attempt takes a slot": {
			replies: []reply{lost, busy, fine}, pace: dripEvery3,
			sends: []string{"0s GET", "3s GET", "6s GET"}, took: 6 * s, want: "200 fine",
		},
		"refused retry keeps the last response": {
			replies: []reply{busy}, pace: oneSlot,
			sends: []string{"0s GET"}, took: s, want: "503 busy", reason: retrypolicy.ReasonNotRetryable,
		},
		"refused retry after an error matches both": {
			replies: []reply{refused}, pace: oneSlot,
			took: s, want: "failed after 1", reason: retrypolicy.ReasonNotRetryable, err: errClosed,
		},
		"refused first attempt sends nothing": {
			pace: noSlot, method: "PUT", body: streamed,
			want: "not sent", reason: retrypolicy.ReasonNotRetryable, err: errClosed,
		},
		"delay beyond the deadline delivers the response at once": {
			replies: []reply{busy}, within: s / 2,
			sends: []string{"0s GET"}, want: "503 busy", reason: retrypolicy.ReasonDeadline,
		},
		"slot beyond the deadline delivers the response at once": {
			replies: []reply{busy}, within: 2 * s, pace: dripEvery3,
			sends: []string{"0s GET"}, took: s, want: "503 busy", reason: retrypolicy.ReasonDeadline,
		},
		"cancelled before the next attempt": {
			replies: []reply{busy}, cancel: s / 2,
			sends: []string{"0s GET"}, took: s / 2, want: "failed after 1", reason: retrypolicy.ReasonCanceled, err: context.Canceled,
		},
		"cancelled while it is sent": {
			replies: []reply{busy, {delay: time.Hour}}, cancel: 3 * s, method: "PUT", body: copied,
			sends: []string{"0s PUT order", "1s PUT order"}, took: 3 * s,
			want: "failed after 2", reason: retrypolicy.ReasonCanceled, err: context.Canceled,
		},
		"deadline while it is sent": {
			replies: []reply{{delay: time.Hour}}, within: 3 * s,
			sends: []string{"0s GET"}, took: 3 * s, want: "failed after 1", reason: retrypolicy.ReasonDeadline, err: context.DeadlineExceeded,
		},
		"timed out attempt is retried": {
			replies: []reply{{delay: time.Hour}, {delay: 2*s - 1, body: "fine"}}, policy: retrypolicy.Config{AttemptTimeout: 2 * s},
			sends: []string{"0s GET", "3s GET"}, took: 5*s - 1, want: "200 fine",
		},
		"wait for a slot is no part of an attempt": {
			replies: []reply{busy, {delay: 3*s/2 - 1, body: "fine"}}, policy: retrypolicy.Config{AttemptTimeout: 3 * s / 2}, pace: dripEvery3,
			sends: []string{"0s GET", "3s GET"}, took: 9*s/2 - 1, want: "200 fine",
		},
		"each attempt is prepared, and knows itself": {
			replies: []reply{refused, busy, fine}, pace: dripEvery3,
			prepare: func(r *http.Request, a pacedhttp.AttemptInfo) error {
				if info, ok := pacedhttp.AttemptFromContext(r.Context()); !ok || info != a {
					return fmt.Errorf("the context tells %+v, Prepare %+v", info, a)
				}
				r.Header.Set("X-Sign", fmt.Sprintf("#%d, previous %v, paced %v", a.Number, a.Previous, a.PacedFor))
				return nil
			},
			sends: []string{"3s GET #2, previous 1s, paced 2s", "6s GET #3, previous 1s, paced 2s"}, took: 6 * s, want: "200 fine",
		},
		"failed Prepare sends nothing": {
			prepare: func(*http.Request, pacedhttp.AttemptInfo) error { return errLost }, method: "PUT", body: streamed,
			want: "failed after 1", reason: retrypolicy.ReasonNotRetryable, err: errLost,
		},
	} {
		t.Run(name, func(t *testing.T) { overEveryBase(t, b.replies, b.check) })
	}
}

// check makes the call and fails t unless it went as b says.
func (b behaviour) check(t *testing.T, base http.RoundTripper, p *peer) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if b.within > 0 {
		ctx, cancel = context.WithTimeout(ctx, b.within)
		defer cancel()
	}
	if b.cancel > 0 {
		time.AfterFunc(b.cancel, cancel)
	}
	if b.only != nil {
		ctx = b.only(ctx)
	}
	var body io.Reader
	if b.body != nil {
		body = b.body()
	}
	req := newRequest(t, b.method, body).WithContext(ctx)
	if b.header != nil {
		req.Header = b.header.Clone()
	}
	if b.policy.Backoff == nil {
		b.policy.Backoff = retrypolicy.Constant(time.Second)
	}
	var w pacedhttp.Waiter
	if b.pace != nil {
		w = b.pace()
	}
	var gaveUp []retrypolicy.Reason
	client := pacedhttp.New(base, reasons(&gaveUp), pacedhttp.Fallback(b.fallback),
		pacedhttp.Retry(retrypolicy.Must(b.policy)), pacedhttp.Pace(w), pacedhttp.Prepare(b.prepare)).Client()

	resp, err := client.Do(req)
	if took := time.Since(p.began); took != b.took {
		t.Errorf("the call took %v, want %v", took, b.took)
	}
	if got := describe(t, resp, err); got != b.want {
		t.Errorf("the call ended with %q (%v), want %q", got, err, b.want)
	}
	if b.err != nil && !errors.Is(err, b.err) {
		t.Errorf("%v does not match %v", err, b.err)
	}
	if sends := p.received(); !slices.Equal(sends, b.sends) {
		t.Errorf("the server received %q, want %q", sends, b.sends)
	}
	var reason []retrypolicy.Reason
	if b.reason != "" {
		reason = append(reason, b.reason)
	}
	if !slices.Equal(gaveUp, reason) {
		t.Errorf("gave up for %q, want %q", gaveUp, reason)
	}
	synctest.Wait()
	if tracked, ok := body.(*trackedBody); ok {
		tracked.wantOneClose(t)
	}
}

// describe returns the status and the body of a response, or what kind of error it is.
func describe(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err == nil {
		return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", readAll(t, resp)))
	}
	if failure, ok := errors.AsType[*retrypolicy.Error](err); ok {
		return fmt.Sprint("failed after ", failure.Attempts)
	}
	if _, ok := errors.AsType[*pacedhttp.PaceError](err); ok {
		return "not sent"
	}
	return "failed after 1"
}
