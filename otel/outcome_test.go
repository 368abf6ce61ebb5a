package otelpacedhttp_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// stalling is a base that answers when the context ends, with its cause, as net/http
// does, or with what the older channel asks for.
var stalling = roundTripper(func(req *http.Request) (*http.Response, error) {
	select {
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	//lint:ignore SA1019 http.Client.Timeout still uses it
	case <-req.Cancel:
		return nil, errors.New("net/http: request canceled")
	}
})

func wantEnd(t *testing.T, span sdktrace.ReadOnlySpan, errorType string) {
	t.Helper()
	code := codes.Unset
	if errorType != "" {
		code = codes.Error
	}
	if got := span.Status(); got.Code != code || (code == codes.Unset && got.Description != "") {
		t.Errorf("%s: status = %+v, want %v", span.Name(), got, code)
	}
	if got := value(span, "error.type").AsString(); got != errorType {
		t.Errorf("%s: error.type = %q, want %q", span.Name(), got, errorType)
	}
}

// TestEndOfTheCallersPatience pins who is to blame when a context ends: the caller who
// cancelled, which is no error, or time.
func TestEndOfTheCallersPatience(t *testing.T) {
	for _, tt := range []struct {
		name          string
		send          func(http.RoundTripper) error
		attempt, call string // error.type
	}{
		{"cancelled", func(rt http.RoundTripper) error {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			return send(ctx, rt)
		}, "", ""},
		{"cancelled with a cause", func(rt http.RoundTripper) error {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(time.Second, func() { cancel(errors.New("shutting down")) })
			return send(ctx, rt)
		}, "", ""},
		{"cancelled long before a deadline", func(rt http.RoundTripper) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			time.AfterFunc(time.Second, cancel)
			return send(ctx, rt)
		}, "", ""},
		{"cancelled by the old channel", func(rt http.RoundTripper) error {
			req, _ := http.NewRequest(http.MethodGet, "http://example.com/", nil)
			stop := make(chan struct{})
			//lint:ignore SA1019 net/http still honours it
			req.Cancel = stop
			time.AfterFunc(time.Second, func() { close(stop) })
			_, err := rt.RoundTrip(req)
			return err
		}, "", ""},
		{"deadline", func(rt http.RoundTripper) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return send(ctx, rt)
		}, "timeout", "deadline"},
		{"deadline with a cause", func(rt http.RoundTripper) error {
			ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errors.New("too slow"))
			defer cancel()
			return send(ctx, rt)
		}, "timeout", "deadline"},
		{"Client.Timeout", func(rt http.RoundTripper) error {
			_, err := (&http.Client{Transport: rt, Timeout: time.Second}).Get("http://example.com/")
			return err
		}, "timeout", "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				if err := tt.send(pacedhttp.New(stalling, rec.Call, pacedhttp.Retry(nil), rec.Attempt)); err == nil {
					t.Fatal("no error")
				}
				synctest.Wait()
				wantEnd(t, rec.attempts(t, 1)[0], tt.attempt)
				wantEnd(t, rec.calls(t, 1)[0], tt.call)
				if got := histogram[float64](t, rec, "http.client.request.duration")[0]; got.Sum != 1 {
					t.Errorf("the attempt lasted %v s, want 1", got.Sum)
				} else if v, ok := got.Attributes.Value("error.type"); ok != (tt.attempt != "") || ok && v.AsString() != tt.attempt {
					t.Errorf("the metric's error.type is %q", v.AsString())
				}
			})
		})
	}
}

func send(ctx context.Context, rt http.RoundTripper) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.com/", nil)
	if err != nil {
		return err
	}
	_, err = rt.RoundTrip(req)
	return err
}

// TestClientTimeoutOnRealConnections runs what the bubble cannot: net/http's own
// transport, which Client.Timeout reaches through the context.
func TestClientTimeoutOnRealConnections(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	rec, tr := record(t), &http.Transport{}
	defer tr.CloseIdleConnections()
	client := pacedhttp.New(tr, rec.Call, pacedhttp.Retry(nil), rec.Attempt).Client()
	client.Timeout = 20 * time.Millisecond // real: a stalled server answers no sooner
	if _, err := client.Get(srv.URL); err == nil {
		t.Fatal("no error")
	}
	wantEnd(t, rec.attempts(t, 1)[0], "timeout")
	wantEnd(t, rec.calls(t, 1)[0], "deadline")
}

// TestDeadlineThatNobodyNoticedYet is the moment in which http.Client has closed the
// request's channel for its Timeout and the context's own timer is still to fire.
func TestDeadlineThatNobodyNoticedYet(t *testing.T) {
	rec := record(t)
	base := failing(errors.New("net/http: request canceled"))
	_ = send(unnoticed{context.Background()}, pacedhttp.New(base, rec.Call, pacedhttp.Retry(nil), rec.Attempt))
	wantEnd(t, rec.attempts(t, 1)[0], "timeout")
	wantEnd(t, rec.calls(t, 1)[0], "deadline")
}

type unnoticed struct{ context.Context }

func (unnoticed) Deadline() (time.Time, bool) { return time.Now(), true }

func TestAttemptTimeoutIsNoCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		policy := retrypolicy.Must(retrypolicy.Config{AttemptTimeout: time.Second, MaxAttempts: 2, Backoff: retrypolicy.Constant(time.Second)})
		_ = send(context.Background(), pacedhttp.New(stalling, rec.Call, pacedhttp.Retry(policy), rec.Attempt))
		for _, span := range rec.attempts(t, 2) {
			wantEnd(t, span, "timeout")
		}
		wantEnd(t, rec.calls(t, 1)[0], "max_attempts")
	})
}

// TestAttemptTimeoutOverHTTP2IsATimeout pins it for a transport that says only that the
// context was cancelled.
func TestAttemptTimeoutOverHTTP2IsATimeout(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	defer close(release)
	rec, tr := record(t), srv.Client().Transport
	defer closeIdle(tr)
	// Real: a stalled server answers no sooner.
	policy := retrypolicy.Must(retrypolicy.Config{AttemptTimeout: 20 * time.Millisecond, MaxAttempts: 1})
	rt := pacedhttp.New(tr, rec.Call, pacedhttp.Retry(policy), rec.Attempt)
	if _, err := rt.RoundTrip(newRequest(t, t.Context(), http.MethodGet, srv.URL)); err == nil {
		t.Fatal("no error")
	}
	span := rec.attempts(t, 1)[0]
	wantEnd(t, span, "timeout")
	if got := span.Status().Description; got != "pacedhttp: attempt timed out: no response within 20ms" {
		t.Errorf("description = %q", got)
	}
	wantEnd(t, rec.calls(t, 1)[0], "max_attempts")
}

func TestErrorTypeIsOfLowCardinality(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"typed", &net.OpError{Op: "dial", Err: errors.New("refused")}, "*net.OpError"},
		{"value", x509.UnknownAuthorityError{}, "crypto/x509.UnknownAuthorityError"},
		{"wrapped", fmt.Errorf("request 17: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), "*net.OpError"},
		{"text", errors.New("secret 17"), "*errors.errorString"},
		{"net timeout", &net.DNSError{IsTimeout: true}, "timeout"},
		{"deadline", fmt.Errorf("17: %w", context.DeadlineExceeded), "timeout"},
		{"named", fmt.Errorf("17: %w", namedError("quota")), "quota"},
		{"named by nothing", namedError(""), "github.com/pacedhttp/pacedhttp/otel_test.namedError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t)
			_ = send(t.Context(), rec.Attempt(failing(tt.err)))
			wantEnd(t, rec.attempts(t, 1)[0], tt.want)
		})
	}
}

type namedError string

func (e namedError) Error() string     { return "named " + string(e) }
func (e namedError) ErrorType() string { return string(e) }

func TestPacingRefusalsHaveNamesOfTheirOwn(t *testing.T) {
	for name, tt := range map[string]struct {
		mw     []pacedhttp.Middleware
		want   string
		result string
	}{
		"full queue":        {nil, "pacing_queue_full", "rejected"},
		"full, under Retry": {[]pacedhttp.Middleware{pacedhttp.Retry(nil)}, "pacing_queue_full", "rejected"},
		"deadline":          {nil, "pacing_deadline", "timeout"},
		"canceled":          {nil, "", "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				p, err := pacer.New(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Hour}}, MaxWaiting: 1})
				if err != nil {
					t.Fatal(err)
				}
				p.Allow()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				switch tt.want {
				case "pacing_queue_full":
					waiting, stop := context.WithCancel(t.Context())
					defer synctest.Wait()
					defer stop()
					go p.Wait(waiting) // it waits to be in the way
					synctest.Wait()
				case "pacing_deadline":
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, time.Minute)
					defer stop()
				default:
					time.AfterFunc(time.Minute, cancel)
				}
				mw := append([]pacedhttp.Middleware{rec.Call}, tt.mw...)
				_ = send(ctx, pacedhttp.New(answering(200), append(mw, pacedhttp.Pace(p), rec.Attempt)...))
				rec.attempts(t, 0)
				wantEnd(t, rec.calls(t, 1)[0], tt.want)
				points := histogram[float64](t, rec, "pacedhttp.pacing.request.time_in_queue")
				if got, _ := points[0].Attributes.Value("pacedhttp.pacing.result"); got.AsString() != tt.result {
					t.Errorf("pacing result %q, want %q", got.AsString(), tt.result)
				}
			})
		})
	}
}

// TestPacersOwnTimeoutIsNoDeadline is a pacer whose backend answers too late: the request
// had all the time in the world.
func TestPacersOwnTimeoutIsNoDeadline(t *testing.T) {
	rec := record(t)
	slow := waiter(func(context.Context) error { return fmt.Errorf("quota server: %w", context.DeadlineExceeded) })
	_ = send(context.Background(), pacedhttp.New(answering(200), rec.Call, pacedhttp.Retry(nil), pacedhttp.Pace(slow)))
	wantEnd(t, rec.calls(t, 1)[0], "pacing_refused")
	point := histogram[float64](t, rec, "pacedhttp.pacing.request.time_in_queue")[0]
	if got, _ := point.Attributes.Value("pacedhttp.pacing.result"); got.AsString() != "rejected" {
		t.Errorf("pacing result %q, want rejected", got.AsString())
	}
}

func TestErrorDescriptionHasNoURL(t *testing.T) {
	const target = "https://user:secret@example.com/private?sig=secret"
	for _, err := range []error{
		&url.Error{Op: "Get", URL: target, Err: errors.New("connection refused")},
		fmt.Errorf("proxy: %w", &url.Error{Op: "Get", URL: target, Err: errors.New("connection refused")}),
		errors.New(`cannot reach "` + target + `": connection refused`),
		errors.New("cannot reach " + target + " : connection refused"),
	} {
		rec := record(t)
		rt := pacedhttp.New(failing(err), rec.Call, pacedhttp.Retry(patient()), rec.Attempt)
		_, _ = rt.RoundTrip(newRequest(t, t.Context(), http.MethodGet, target))
		for _, span := range append(rec.attempts(t, 4), rec.calls(t, 1)...) {
			text := span.Status().Description
			for _, secret := range []string{"secret", "example.com", "private", "://"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: description %q has %q", span.Name(), text, secret)
				}
			}
			if !strings.Contains(text, "connection refused") {
				t.Errorf("%s: description %q does not say what happened", span.Name(), text)
			}
		}
	}
}

// TestErrorDescriptionHasNothingOfTheQuery is for texts in which the request's URL does
// not look like one.
func TestErrorDescriptionHasNothingOfTheQuery(t *testing.T) {
	for _, target := range []string{
		"https://example.com/private?sig=sec ret",
		`https://example.com/private?a="&sig=secret`,
		"https://example.com/private?a=<&sig=secret",
	} {
		req := newRequest(t, t.Context(), http.MethodGet, target)
		for _, quoted := range []string{
			target, strconv.Quote(target), req.URL.RequestURI(), strconv.Quote(req.URL.RequestURI()), req.URL.RawQuery,
			"/elsewhere?sig=secret",
		} {
			rec := record(t)
			_, _ = rec.Attempt(failing(errors.New("cannot reach " + quoted + ": connection refused"))).RoundTrip(req)
			text := rec.attempts(t, 1)[0].Status().Description
			if strings.Contains(text, "sec") || strings.Contains(text, "ret") || strings.Contains(text, "sig") {
				t.Errorf("of %s the description keeps %q", quoted, text)
			}
			if !strings.HasPrefix(text, "cannot reach ") || !strings.HasSuffix(text, "connection refused") {
				t.Errorf("description %q does not say what happened", text)
			}
		}
	}
}
