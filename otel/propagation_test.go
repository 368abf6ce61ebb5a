package otelpacedhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

func TestEveryAttemptCarriesItsOwnTraceparent(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...int) *site{"HTTP/1": serve, "HTTP/2": serveHTTP2} {
		t.Run(name, func(t *testing.T) {
			rec, srv := record(t), start(t, 503, 302, 503, 200)
			resp, err := pacedhttp.New(srv.base(t), rec.Call, pacedhttp.Retry(patient()), rec.Attempt).Client().Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			for i, span := range rec.attempts(t, 4) {
				sc := span.SpanContext()
				want := fmt.Sprintf("00-%s-%s-01", sc.TraceID(), sc.SpanID())
				if got := srv.received[i]["Traceparent"]; len(got) != 1 || got[0] != want {
					t.Errorf("attempt %d: server received traceparent %q, want %q", i+1, got, want)
				}
			}
		})
	}
}

// TestStaleTraceContextNeverLeaks sends a request that carries what an earlier attempt
// left, as a fallback does that copies resp.Request.
func TestStaleTraceContextNeverLeaks(t *testing.T) {
	rec, srv := record(t), serve(t, 200)
	req := newRequest(t, t.Context(), http.MethodGet, srv.URL)
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	req.Header.Set("Tracestate", "vendor=stale")
	req.Header.Set("Baggage", "user=stale")
	req.Header["traceparent"] = []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} // HTTP/1 sends it as it is
	req.Header["bAGGAGE"] = []string{"user=stale"}
	req.Header.Set("X-Mine", "stays")
	resp, err := rec.Attempt(srv.base(t)).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	got := srv.received[0]
	if id := rec.attempts(t, 1)[0].SpanContext().SpanID().String(); !strings.Contains(got.Get("Traceparent"), id) {
		t.Errorf("traceparent = %q, want span %s", got.Get("Traceparent"), id)
	}
	if len(got["Traceparent"]) != 1 || got.Get("Tracestate") != "" || got.Get("Baggage") != "" {
		t.Errorf("stale context leaked: %v", got)
	}
	if got.Get("X-Mine") != "stays" || req.Header.Get("Tracestate") != "vendor=stale" {
		t.Error("other headers, or the caller's, were touched")
	}
}

// TestTraceContextOfTheProgramStays where there is none to write in its place: a proxy
// that passes headers on does so with tracing switched off.
func TestTraceContextOfTheProgramStays(t *testing.T) {
	rec, srv := record(t, otelpacedhttp.WithTracerProvider(noop.NewTracerProvider())), serve(t, 200)
	req := newRequest(t, t.Context(), http.MethodGet, srv.URL)
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	req.Header.Set("Traceparent", theirs)
	resp, err := rec.Attempt(srv.base(t)).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := srv.received[0].Get("Traceparent"); got != theirs {
		t.Errorf("traceparent = %q, want the program's own", got)
	}
}

func TestContextIsInjectedWithoutARecordingSpan(t *testing.T) {
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	member, _ := baggage.NewMember("tenant", "7")
	bag, _ := baggage.New(member)
	for _, tt := range []struct {
		name     string
		provider trace.TracerProvider
		flags    string
		span     string // "" = any but the parent's
	}{
		{"no-op provider", noop.NewTracerProvider(), "01", parent.SpanID().String()},
		{"sampled out", sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())), "00", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, srv := record(t, otelpacedhttp.WithTracerProvider(tt.provider)), serve(t, 503, 200)
			ctx := baggage.ContextWithBaggage(trace.ContextWithRemoteSpanContext(t.Context(), parent), bag)
			getContext(t, ctx, pacedhttp.New(srv.base(t), rec.Call, pacedhttp.Retry(patient()), rec.Attempt), srv.URL)
			for i, h := range srv.received {
				got := strings.Split(h.Get("Traceparent"), "-")
				if len(got) != 4 || got[1] != parent.TraceID().String() || got[3] != tt.flags ||
					(tt.span == "") == (got[2] == parent.SpanID().String()) {
					t.Errorf("attempt %d: traceparent = %q", i+1, h.Get("Traceparent"))
				}
				if h.Get("Baggage") != "tenant=7" {
					t.Errorf("attempt %d: baggage = %q", i+1, h.Get("Baggage"))
				}
			}
		})
	}
}

func TestRequestWithoutHeadersIsInjectedToo(t *testing.T) {
	rec := record(t)
	var got string
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		got = req.Header.Get("Traceparent")
		return answering(200).RoundTrip(req)
	})
	req := newRequest(t, t.Context(), http.MethodGet, "http://example.com/")
	req.Header = nil
	if _, err := rec.Attempt(base).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if got == "" || req.Header != nil {
		t.Errorf("traceparent %q, caller's headers %v", got, req.Header)
	}
}

// A readingPropagator uses all of the carrier.
type readingPropagator struct{ keys []string }

func (p *readingPropagator) Inject(_ context.Context, c propagation.TextMapCarrier) {
	p.keys = c.Keys()
	c.Set("x-trace", "again "+c.Get("x-request-id"))
	c.Set("x-undeclared", "1")
}
func (*readingPropagator) Extract(ctx context.Context, _ propagation.TextMapCarrier) context.Context {
	return ctx
}
func (*readingPropagator) Fields() []string { return []string{"x-trace"} }

func TestPropagatorsOfAnyKindAreServed(t *testing.T) {
	p := &readingPropagator{}
	rec, srv := record(t, otelpacedhttp.WithPropagators(p)), serve(t, 200)
	req := newRequest(t, t.Context(), http.MethodGet, srv.URL)
	req.Header.Set("X-Request-Id", "7")
	resp, err := rec.Attempt(srv.base(t)).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := srv.received[0]; got.Get("X-Trace") != "again 7" || got.Get("X-Undeclared") != "1" || got.Get("X-Request-Id") != "7" {
		t.Errorf("received %v", got)
	}
	if len(p.keys) != 1 || p.keys[0] != "X-Request-Id" {
		t.Errorf("keys %v", p.keys)
	}
}
