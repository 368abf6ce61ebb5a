package otelpacedhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A recorder is an Instrumentation and all that it recorded.
type recorder struct {
	*otelpacedhttp.Instrumentation
	tracers *sdktrace.TracerProvider
	spans   *tracetest.SpanRecorder
	reader  *sdkmetric.ManualReader
	sampler *capturingSampler
}

func record(t testing.TB, opts ...otelpacedhttp.Option) *recorder {
	t.Helper()
	r := &recorder{
		spans:   tracetest.NewSpanRecorder(),
		reader:  sdkmetric.NewManualReader(),
		sampler: &capturingSampler{Sampler: sdktrace.AlwaysSample(), seen: map[string][]attribute.KeyValue{}},
	}
	r.tracers = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans), sdktrace.WithSampler(r.sampler))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	r.Instrumentation = otelpacedhttp.New(append([]otelpacedhttp.Option{
		otelpacedhttp.WithTracerProvider(r.tracers),
		otelpacedhttp.WithMeterProvider(meters),
		otelpacedhttp.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	}, opts...)...)
	return r
}

// A capturingSampler keeps the attributes that samplers get to see, by span name.
type capturingSampler struct {
	sdktrace.Sampler
	mu   sync.Mutex
	seen map[string][]attribute.KeyValue
}

func (s *capturingSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[p.Name] = slices.Clone(p.Attributes)
	return s.Sampler.ShouldSample(p)
}

// ended returns the ended spans of a kind in the order of their end.
func (r *recorder) ended(kind trace.SpanKind) []sdktrace.ReadOnlySpan {
	var spans []sdktrace.ReadOnlySpan
	for _, s := range r.spans.Ended() {
		if s.SpanKind() == kind {
			spans = append(spans, s)
		}
	}
	return spans
}

// calls and attempts return so many spans, or end the test.
func (r *recorder) calls(t testing.TB, n int) []sdktrace.ReadOnlySpan {
	t.Helper()
	return exactly(t, n, "call", r.ended(trace.SpanKindInternal))
}

func (r *recorder) attempts(t testing.TB, n int) []sdktrace.ReadOnlySpan {
	t.Helper()
	return exactly(t, n, "attempt", r.ended(trace.SpanKindClient))
}

func exactly(t testing.TB, n int, what string, spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	t.Helper()
	if len(spans) != n {
		t.Fatalf("%d %s spans, want %d", len(spans), what, n)
	}
	return spans
}

// metrics returns what the instruments measured, by name.
func (r *recorder) metrics(t testing.TB) map[string]metricdata.Metrics {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	all := map[string]metricdata.Metrics{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

// value returns the attribute of a span, or an invalid value.
func value(s sdktrace.ReadOnlySpan, key string) attribute.Value {
	return valueOf(s.Attributes(), key)
}

func valueOf(attrs []attribute.KeyValue, key string) attribute.Value {
	for _, a := range attrs {
		if string(a.Key) == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func keysOf(attrs []attribute.KeyValue) []string {
	var keys []string
	for _, a := range attrs {
		keys = append(keys, string(a.Key))
	}
	slices.Sort(keys)
	return keys
}

// wantKeys fails unless attrs have all required keys and no other but the allowed.
func wantKeys(t testing.TB, what string, attrs []attribute.KeyValue, required, allowed []string) {
	t.Helper()
	got := keysOf(attrs)
	for i, key := range got {
		if i > 0 && got[i-1] == key {
			t.Errorf("%s has %s twice", what, key)
		}
		if !slices.Contains(required, key) && !slices.Contains(allowed, key) {
			t.Errorf("%s has %s", what, key)
		}
	}
	for _, key := range required {
		if !slices.Contains(got, key) {
			t.Errorf("%s lacks %s", what, key)
		}
	}
}

// A site is a real server that answers with the given statuses, one after the other and
// the last for ever, and keeps the headers it received.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	received []http.Header
}

func serve(t testing.TB, statuses ...int) *site {
	s := &site{statuses: statuses}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// serveHTTP2 is serve over TLS and HTTP/2.
func serveHTTP2(t testing.TB, statuses ...int) *site {
	s := &site{statuses: statuses}
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.received = append(s.received, r.Header.Clone())
	status := s.statuses[0]
	if len(s.statuses) > 1 {
		s.statuses = s.statuses[1:]
	}
	s.mu.Unlock()
	if status >= 300 && status < 400 {
		w.Header().Set("Location", "/landing")
	}
	w.WriteHeader(status)
}

// base returns a transport of the server's, closed with the test.
func (s *site) base(t testing.TB) http.RoundTripper {
	tr := s.Client().Transport
	t.Cleanup(func() { closeIdle(tr) })
	return tr
}

func closeIdle(rt http.RoundTripper) { rt.(interface{ CloseIdleConnections() }).CloseIdleConnections() }

// answering is a base without a network that answers with the given statuses.
func answering(statuses ...int) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		status := statuses[0]
		if len(statuses) > 1 {
			statuses = statuses[1:]
		}
		return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader("body")), Request: req}, nil
	})
}

// failing is a base that fails.
func failing(err error) http.RoundTripper {
	return roundTripper(func(*http.Request) (*http.Response, error) { return nil, err })
}

// patient retries at once, up to three times.
func patient() *retrypolicy.Policy {
	return retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Nanosecond)})
}

// steady retries a second after each failure, up to three times.
func steady() *retrypolicy.Policy {
	return retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Second)})
}

// get makes a request through rt and closes the response.
func get(t testing.TB, rt http.RoundTripper, url string) *http.Response {
	t.Helper()
	return getContext(t, context.Background(), rt, url)
}

func getContext(t testing.TB, ctx context.Context, rt http.RoundTripper, url string) *http.Response {
	t.Helper()
	resp, err := rt.RoundTrip(newRequest(t, ctx, http.MethodGet, url))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

func newRequest(t testing.TB, ctx context.Context, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
