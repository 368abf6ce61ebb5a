package otelpacedhttp_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestCallIsTheParentOfItsAttempts(t *testing.T) {
	rec, srv := record(t), serve(t, 503, 503, 200)
	ctx, caller := rec.tracers.Tracer("test").Start(t.Context(), "caller")
	rt := pacedhttp.New(srv.base(t), rec.Call, pacedhttp.Retry(patient()), pacedhttp.Pace(pacer.Burst(10, time.Second)), rec.Attempt)
	getContext(t, ctx, rt, srv.URL)
	caller.End()

	call := rec.calls(t, 2)[0] // the caller's is another
	if call.Name() != "pacedhttp.call" || call.Parent().SpanID() != caller.SpanContext().SpanID() {
		t.Errorf("call is %q under %v", call.Name(), call.Parent().SpanID())
	}
	for i, a := range rec.attempts(t, 3) {
		if a.Name() != "GET" || a.Parent().SpanID() != call.SpanContext().SpanID() || a.SpanContext().TraceID() != caller.SpanContext().TraceID() {
			t.Errorf("attempt %d is %q under %v", i+1, a.Name(), a.Parent().SpanID())
		}
		if a.StartTime().Before(call.StartTime()) || a.EndTime().After(call.EndTime()) {
			t.Errorf("attempt %d is not within the call", i+1)
		}
	}
}

func TestCallSpanHasNoAttributesOfARequest(t *testing.T) {
	start := []string{"server.address", "server.port"}
	for _, tt := range []struct {
		name     string
		statuses []int
		later    []string
	}{
		{"success", []int{200}, []string{"pacedhttp.attempts", "pacedhttp.pacing.wait.duration"}},
		{"retried", []int{503, 200}, []string{"pacedhttp.attempts", "pacedhttp.pacing.wait.duration", "pacedhttp.retry.delay"}},
		{"failed", []int{500}, []string{"pacedhttp.attempts", "pacedhttp.pacing.wait.duration", "pacedhttp.retry.delay", "pacedhttp.reason", "error.type"}},
		{"not found", []int{404}, []string{"pacedhttp.attempts", "pacedhttp.pacing.wait.duration", "error.type"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t)
			rt := pacedhttp.New(answering(tt.statuses...), rec.Call, pacedhttp.Retry(patient()), pacedhttp.Pace(pacer.Burst(10, time.Second)), rec.Attempt)
			get(t, rt, "http://example.com/secret?q=1")
			wantKeys(t, "call", rec.calls(t, 1)[0].Attributes(), append(start, tt.later...), nil)
			wantKeys(t, "sampler", rec.sampler.seen["pacedhttp.call"], start, nil)
		})
	}
}

func TestCallStatusFollowsWhatTheCallerGets(t *testing.T) {
	fallback := pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))
	refused := errors.New("connection refused")
	for _, tt := range []struct {
		name      string
		base      http.RoundTripper
		mw        []pacedhttp.Middleware
		code      codes.Code
		errorType string
		text      string
	}{
		{"success", answering(200), nil, codes.Unset, "", ""},
		{"retried to success", answering(503, 503, 200), nil, codes.Unset, "", ""},
		{"exhausted", answering(503), nil, codes.Error, "503", ""},
		{"client error", answering(404), nil, codes.Error, "404", ""},
		{"error", failing(refused), nil, codes.Error, "max_attempts", "connection refused"},
		{"static fallback", answering(503), []pacedhttp.Middleware{fallback}, codes.Unset, "", ""},
		{"fallback for an error", failing(refused), []pacedhttp.Middleware{fallback}, codes.Unset, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t)
			mw := slices.Concat([]pacedhttp.Middleware{rec.Call}, tt.mw, []pacedhttp.Middleware{pacedhttp.Retry(patient()), rec.Attempt})
			_, _ = pacedhttp.New(tt.base, mw...).RoundTrip(newRequest(t, t.Context(), http.MethodGet, "http://example.com/"))
			span := rec.calls(t, 1)[0]
			if got := span.Status(); got.Code != tt.code || !strings.Contains(got.Description, tt.text) {
				t.Errorf("status = %+v, want %v %q", got, tt.code, tt.text)
			}
			if got := value(span, "error.type").AsString(); got != tt.errorType {
				t.Errorf("error.type = %q, want %q", got, tt.errorType)
			}
		})
	}
}

func TestCallTellsWhereItsTimeWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		rt := pacedhttp.New(answering(503, 503, 200), rec.Call, pacedhttp.Retry(steady()), pacedhttp.Pace(pacer.Drip(1, 3*time.Second)), rec.Attempt)
		get(t, rt, "http://example.com/") // sends at 0, 3 and 6 s: two delays of 1 s, two waits of 2 s
		span := rec.calls(t, 1)[0]
		for key, want := range map[string]any{
			"pacedhttp.attempts":             int64(3),
			"pacedhttp.retry.delay":          2.0,
			"pacedhttp.pacing.wait.duration": 4.0,
		} {
			if got := value(span, key).AsInterface(); got != want {
				t.Errorf("%s = %v, want %v", key, got, want)
			}
		}
		if got := span.EndTime().Sub(span.StartTime()); got != 6*time.Second {
			t.Errorf("call lasts %v, want 6s", got)
		}
	})
}

func TestStaticFallbackIsNoAttempt(t *testing.T) {
	rec := record(t)
	rt := pacedhttp.New(answering(503), rec.Call, pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)), pacedhttp.Retry(patient()), rec.Attempt)
	get(t, rt, "http://example.com/")
	rec.attempts(t, 4)
	call := rec.calls(t, 1)[0]
	if !value(call, "pacedhttp.fallback.used").AsBool() {
		t.Error("pacedhttp.fallback.used is not set")
	}
	if got := value(call, "pacedhttp.reason").AsString(); got != "max_attempts" {
		t.Errorf("pacedhttp.reason = %q", got)
	}
}

// TestFallbackSendIsAnAttempt covers fallbacks that send with a bare Attempt layer and
// with a whole chain.
func TestFallbackSendIsAnAttempt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		backup func(*recorder) []pacedhttp.Middleware
		calls  int
		counts []any
	}{
		{"attempt", func(r *recorder) []pacedhttp.Middleware { return []pacedhttp.Middleware{r.Attempt} }, 1, []any{nil, int64(1), int64(2)}},
		{"retry", func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(patient()), r.Attempt}
		}, 1, []any{nil, int64(1), int64(2)}},
		{"call", func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{r.Call, pacedhttp.Retry(patient()), r.Attempt}
		}, 2, []any{nil, int64(1), nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, primary, backup := record(t), serve(t, 503), serve(t, 200)
			second := pacedhttp.New(backup.base(t), tt.backup(rec)...)
			fallback := pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
				return second.RoundTrip(newRequest(t, req.Context(), req.Method, backup.URL))
			})
			twice := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.Constant(time.Nanosecond)})
			get(t, pacedhttp.New(primary.base(t), rec.Call, fallback, pacedhttp.Retry(twice), rec.Attempt), primary.URL)

			calls := rec.calls(t, tt.calls)
			outer := calls[len(calls)-1]
			if !value(outer, "pacedhttp.fallback.used").AsBool() {
				t.Error("pacedhttp.fallback.used is not set")
			}
			spans := rec.attempts(t, 3)
			for i, want := range tt.counts {
				if got := value(spans[i], "http.request.resend_count").AsInterface(); got != want {
					t.Errorf("attempt %d: resend_count = %v, want %v", i+1, got, want)
				}
			}
			if got, want := spans[2].Parent().SpanID(), calls[0].SpanContext().SpanID(); got != want {
				t.Errorf("the fallback's attempt is under %v, want %v", got, want)
			}
			if got := len(histogram[int64](t, rec, "pacedhttp.call.retries")); got != 1 {
				t.Errorf("%d data points of retries, want 1", got)
			}
			if got := histogram[int64](t, rec, "pacedhttp.call.retries")[0]; got.Count != 1 || got.Sum != 1 {
				t.Errorf("retries: %d calls, %d in all, want one of one", got.Count, got.Sum)
			}
		})
	}
}

func TestEitherLayerWorksAlone(t *testing.T) {
	for _, tt := range []struct {
		name            string
		opts            []otelpacedhttp.Option
		call, attempt   bool
		calls, attempts int
		injected        bool
		metrics         []string
	}{
		{"call alone", nil, true, false, 1, 0, false, []string{"pacedhttp.call.duration", "pacedhttp.call.retries", "pacedhttp.call.retry_delay"}},
		{"attempt alone", nil, false, true, 0, 2, true, []string{"http.client.request.duration"}},
		{"without call span", []otelpacedhttp.Option{otelpacedhttp.WithoutCallSpan()}, true, true, 0, 2, true,
			[]string{"http.client.request.duration", "pacedhttp.call.duration", "pacedhttp.call.retries", "pacedhttp.call.retry_delay"}},
		{"without attempt telemetry", []otelpacedhttp.Option{otelpacedhttp.WithoutAttemptTelemetry()}, true, true, 1, 0, false,
			[]string{"pacedhttp.call.duration", "pacedhttp.call.retries", "pacedhttp.call.retry_delay"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, srv := record(t, tt.opts...), serve(t, 503, 200)
			mw := []pacedhttp.Middleware{nil, pacedhttp.Retry(patient()), nil}
			if tt.call {
				mw[0] = rec.Call
			}
			if tt.attempt {
				mw[2] = rec.Attempt
			}
			ctx := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled}))
			getContext(t, ctx, pacedhttp.New(srv.base(t), mw...), srv.URL)

			rec.calls(t, tt.calls)
			for i, span := range rec.attempts(t, tt.attempts) {
				if got := value(span, "http.request.resend_count").AsInt64(); got != int64(i) {
					t.Errorf("attempt %d: resend_count = %d", i+1, got)
				}
				if tt.calls == 0 && span.Parent().SpanID() != (trace.SpanID{2}) {
					t.Errorf("attempt %d is not the caller's child", i+1)
				}
			}
			if got := srv.received[1].Get("Traceparent") != ""; got != tt.injected {
				t.Errorf("traceparent injected: %v, want %v", got, tt.injected)
			}
			var names []string
			for name := range rec.metrics(t) {
				names = append(names, name)
			}
			slices.Sort(names)
			if !slices.Equal(names, tt.metrics) {
				t.Errorf("metrics %v, want %v", names, tt.metrics)
			}
		})
	}
}

func TestRefusedSlotIsNoAttempt(t *testing.T) {
	rec := record(t)
	full := waiter(func(context.Context) error { return errors.New("closed") })
	rt := pacedhttp.New(answering(200), rec.Call, pacedhttp.Retry(nil), pacedhttp.Pace(full), rec.Attempt)
	if _, err := rt.RoundTrip(newRequest(t, t.Context(), http.MethodGet, "http://example.com/")); err == nil {
		t.Fatal("no error")
	}
	rec.attempts(t, 0)
	if got := value(rec.calls(t, 1)[0], "error.type").AsString(); got != "pacing_refused" {
		t.Errorf("error.type = %q", got)
	}
}

type waiter func(context.Context) error

func (w waiter) Wait(ctx context.Context) error { return w(ctx) }

func TestConcurrentCallsDoNotMix(t *testing.T) {
	rec, srv := record(t), serve(t, 200)
	rt := pacedhttp.New(srv.base(t), rec.Call, pacedhttp.Retry(patient()), pacedhttp.Pace(pacer.Burst(1000, time.Second)), rec.Attempt)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { get(t, rt, srv.URL) })
	}
	wg.Wait()
	parents := map[trace.SpanID]int{}
	for _, a := range rec.attempts(t, 20) {
		parents[a.Parent().SpanID()]++
	}
	for _, c := range rec.calls(t, 20) {
		if parents[c.SpanContext().SpanID()] != 1 || value(c, "pacedhttp.attempts").AsInt64() != 1 {
			t.Errorf("a call has %d attempts", parents[c.SpanContext().SpanID()])
		}
	}
}

// TestFallbackDoesNotInheritAWait covers waits whose request was sent, and one that was
// not: its token could not be had.
func TestFallbackDoesNotInheritAWait(t *testing.T) {
	noToken := pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return errors.New("no token") })
	for name, below := range map[string]struct {
		mw       []pacedhttp.Middleware
		attempts int
	}{
		"sent":     {[]pacedhttp.Middleware{nil, nil}, 2},
		"not sent": {[]pacedhttp.Middleware{pacedhttp.Retry(nil), noToken}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				backup := rec.Attempt(answering(200))
				p := pacer.Drip(1, time.Second)
				p.Allow()
				rt := pacedhttp.New(answering(500), rec.Call,
					pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
						return backup.RoundTrip(req)
					}),
					below.mw[0], pacedhttp.Pace(p), below.mw[1], rec.Attempt)
				get(t, rt, "http://example.com/")
				spans := rec.attempts(t, below.attempts)
				if got := value(spans[len(spans)-1], "pacedhttp.pacing.wait.duration").AsInterface(); got != nil {
					t.Errorf("the fallback's attempt claims a wait of %v s", got)
				}
			})
		})
	}
}
