package pacedhttp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// everyChain returns chains that send once what cannot be mended by a retry.
func everyChain() map[string][]pacedhttp.Middleware {
	return map[string][]pacedhttp.Middleware{
		"no layer":  nil,
		"Retry":     {pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 1}))},
		"a timeout": {pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 1, AttemptTimeout: time.Minute}))},
		"Fallback":  {pacedhttp.Fallback(keep)},
		"Pace":      {pacedhttp.Pace(unlimited())},
		"Prepare":   {pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil })},
		"all": {pacedhttp.Log(logTo(io.Discard, -8)), pacedhttp.Fallback(keep), pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 1})),
			pacedhttp.Pace(unlimited()), pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil })},
	}
}

// What SDKs ask of (*url.Error).Err they ask by identity, by type and by prefix.
func TestErrorOfASingleAttemptIsTheBasesOwn(t *testing.T) {
	for _, base := range []error{
		io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded,
		errors.New("http: can't write HTTP request on broken connection"),
		errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer"),
		&tls.CertificateVerificationError{Err: errors.New("x")},
		&net.OpError{Op: "dial", Err: errors.New("refused")},
		&url.Error{Op: "parse", URL: "http://user:secret@x/", Err: errors.New("invalid")},
	} {
		for name, mw := range everyChain() {
			t.Run(fmt.Sprintf("%T/%s", base, name), func(t *testing.T) {
				_, err := pacedhttp.New(newScript(step{err: base}), mw...).RoundTrip(newRequest(t, "GET", nil))
				if err != base {
					t.Errorf("got %#v", err)
				}
			})
		}
	}
}

func TestErrorOfSeveralAttemptsSaysSo(t *testing.T) {
	base := newScript(step{err: io.EOF})
	_, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 2}))).RoundTrip(newRequest(t, "GET", nil))
	failure, ok := err.(*retrypolicy.Error)
	if !ok || failure.Attempts != 2 || failure.Err != io.EOF {
		t.Errorf("got %#v", err)
	}
	if _, ok := err.(net.Error); !ok {
		t.Error("it is no net.Error")
	}
}

func TestEndOfTheContextIsTheErrorItself(t *testing.T) {
	cause := errors.New("shutting down")
	for name, mw := range everyChain() {
		for state, after := range map[string]time.Duration{"before": 0, "meanwhile": time.Second} {
			t.Run(name+"/"+state, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					stall := step{answer: func(req *http.Request) (*http.Response, error) {
						<-req.Context().Done()
						return nil, fmt.Errorf("stalled: %w", req.Context().Err())
					}}
					ends := func(ctx context.Context) error {
						base := newScript(stall)
						_, err := pacedhttp.New(base, mw...).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
						if sends := min(1, int(after)); base.calls() != sends {
							t.Errorf("%d sends, want %d", base.calls(), sends)
						}
						return err
					}
					retries := name == "Retry" || name == "a timeout" || name == "all"

					ctx, cancel := canceledAfter(after)(t.Context())
					defer cancel()
					if err := ends(ctx); err != context.Canceled && (retries || after == 0) || !errors.Is(err, context.Canceled) {
						t.Errorf("cancelled: got %v", err)
					}

					ctx, cancel = context.WithTimeout(t.Context(), after)
					defer cancel()
					if err := ends(ctx); err != context.DeadlineExceeded && (retries || after == 0) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("late: got %v", err)
					}

					withCause, stop := context.WithCancelCause(t.Context())
					if after == 0 {
						stop(cause)
					} else {
						time.AfterFunc(after, func() { stop(cause) })
					}
					if err := ends(withCause); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) && (retries || after == 0) {
						t.Errorf("cancelled with a cause: got %v", err)
					}

					late, cancel := context.WithTimeoutCause(t.Context(), after, cause)
					defer cancel()
					err := ends(late)
					if timeout, ok := err.(interface{ Timeout() bool }); (retries || after == 0) && (!ok || !timeout.Timeout() || !errors.Is(err, cause)) {
						t.Errorf("late with a cause: got %v", err)
					}
				})
			})
		}
	}
}

// net/http asks by a type assertion whether https was spoken to a server of http.
func TestClientRecognisesWhatTheBaseReturned(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	defer srv.Close()
	for name, mw := range everyChain() {
		base := &http.Transport{}
		_, err := pacedhttp.New(base, mw...).Client().Get(strings.Replace(srv.URL, "http", "https", 1))
		if !errors.Is(err, http.ErrSchemeMismatch) {
			t.Errorf("%s: got %v", name, err)
		}
		base.CloseIdleConnections()
	}
}

func TestDeadlineThatHasPassedIsATimeoutToTheClient(t *testing.T) {
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for name, mw := range everyChain() {
		_, err := pacedhttp.New(newScript(), mw...).Client().Do(newRequest(t, "GET", nil).WithContext(ctx))
		if failure, ok := err.(*url.Error); !ok || !failure.Timeout() {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A layer of another make may say more than the Waiter did.
func TestRefusalInsideAJoinedErrorIsStillARefusal(t *testing.T) {
	join := func(next http.RoundTripper) http.RoundTripper {
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err != nil {
				err = errors.Join(errors.New("layer"), err)
			}
			return resp, err
		})
	}
	for name, tc := range map[string]struct {
		refusal error
		policy  retrypolicy.Config
		within  time.Duration
		want    retrypolicy.Reason
	}{
		"deadline":                   {errors.New("rate: Wait(n=1) would exceed context deadline"), retrypolicy.Config{}, time.Minute, retrypolicy.ReasonDeadline},
		"max elapsed":                {errors.New("rate: Wait(n=1) would exceed context deadline"), retrypolicy.Config{MaxElapsed: time.Second}, 0, retrypolicy.ReasonMaxElapsed},
		"max elapsed before it":      {errors.New("rate: Wait(n=1) would exceed context deadline"), retrypolicy.Config{MaxElapsed: time.Second}, time.Minute, retrypolicy.ReasonMaxElapsed},
		"deadline, joined":           {errors.Join(errors.New("a"), context.DeadlineExceeded), retrypolicy.Config{}, time.Minute, retrypolicy.ReasonDeadline},
		"something else":             {errClosed, retrypolicy.Config{}, 0, retrypolicy.ReasonNotRetryable},
		"named":                      {namedError("pacing_queue_full"), retrypolicy.Config{}, time.Minute, retrypolicy.ReasonQueueFull},
		"named, joined":              {errors.Join(namedError("pacing_queue_full"), errClosed), retrypolicy.Config{}, time.Minute, retrypolicy.ReasonQueueFull},
		"named otherwise":            {namedError("pacing_accepted"), retrypolicy.Config{}, time.Minute, retrypolicy.ReasonNotRetryable},
		"its own deadline, not ours": {context.DeadlineExceeded, retrypolicy.Config{}, 0, retrypolicy.ReasonNotRetryable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				w := waiterFunc(func(context.Context) error {
					if n++; n == 1 {
						return nil
					}
					return tc.refusal
				})
				ctx := t.Context()
				if tc.within > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.within)
					defer cancel()
				}
				var why []retrypolicy.Reason
				base := newScript(step{status: 503, body: "busy"})
				rt := pacedhttp.New(base, reasons(&why), pacedhttp.Retry(quick(tc.policy)), join, pacedhttp.Pace(w))
				status, body, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
				if status != 503 || body != "busy" || base.calls() != 1 {
					t.Errorf("got %d %q, %v after %d sends", status, body, err, base.calls())
				}
				if !slices.Equal(why, []retrypolicy.Reason{tc.want}) {
					t.Errorf("gave up for %q, want %q", why, tc.want)
				}
			})
		})
	}
}

type namedError string

func (e namedError) Error() string     { return string(e) }
func (e namedError) ErrorType() string { return string(e) }

func TestNilPointerInAWaiterIsNotPaced(t *testing.T) {
	var none *pacer.Pacer
	for name, mw := range map[string]pacedhttp.Middleware{
		"Pace":   pacedhttp.Pace(none),
		"PaceBy": pacedhttp.PaceBy(func(*http.Request) pacedhttp.Waiter { return none }),
	} {
		if status, _, err := send(t, pacedhttp.New(newScript(step{status: 429, header: header("Retry-After", "1")}), mw), newRequest(t, "GET", nil)); status != 429 || err != nil {
			t.Errorf("%s: got %d, %v", name, status, err)
		}
	}
}
