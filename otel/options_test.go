package otelpacedhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestScopeIsThisPackage(t *testing.T) {
	rec := record(t)
	get(t, pacedhttp.New(answering(200), rec.Call, rec.Attempt), "http://example.com/")
	for _, span := range rec.spans.Ended() {
		if s := span.InstrumentationScope(); s.Name != otelpacedhttp.ScopeName || s.Version != otelpacedhttp.Version || s.SchemaURL != semconv.SchemaURL {
			t.Errorf("span %s is of scope %+v", span.Name(), s)
		}
	}
	var rm metricdata.ResourceMetrics
	if err := rec.reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	if len(rm.ScopeMetrics) != 1 {
		t.Fatalf("%d scopes, want 1", len(rm.ScopeMetrics))
	}
	if s := rm.ScopeMetrics[0].Scope; s.Name != otelpacedhttp.ScopeName || s.Version != otelpacedhttp.Version || s.SchemaURL != semconv.SchemaURL {
		t.Errorf("metrics are of scope %+v", s)
	}
}

func TestNilOptionsAreIgnored(t *testing.T) {
	rec := record(t, nil, otelpacedhttp.WithTracerProvider(nil), otelpacedhttp.WithMeterProvider(nil),
		otelpacedhttp.WithPropagators(nil), otelpacedhttp.WithURLTemplate(nil))
	srv := serve(t, 200)
	get(t, pacedhttp.New(srv.base(t), rec.Call, rec.Attempt), srv.URL)
	rec.calls(t, 1)
	rec.attempts(t, 1)
	if len(histogram[float64](t, rec, "pacedhttp.call.duration")) != 1 || srv.received[0].Get("Traceparent") == "" {
		t.Error("nil replaced a provider or the propagators")
	}
}

// ownProcess runs the test in a process of its own, in which it reports true: globals are
// delegated to once and for all.
func ownProcess(t *testing.T) bool {
	t.Helper()
	const variable = "PACEDHTTP_TEST_GLOBALS"
	if os.Getenv(variable) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func TestGlobalsMayBeInstalledLater(t *testing.T) {
	if !ownProcess(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		tel := otelpacedhttp.New()
		var received []http.Header
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			received = append(received, req.Header)
			return answering(200).RoundTrip(req)
		})
		rt := pacedhttp.New(base, tel.Call, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Drip(1, time.Second)), tel.Attempt)
		get(t, rt, "http://example.com/")
		waiting := make(chan struct{})
		go func() {
			defer close(waiting)
			get(t, rt, "http://example.com/")
		}()
		synctest.Wait()

		spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
		sampler := &capturingSampler{Sampler: sdktrace.AlwaysSample(), seen: map[string][]attribute.KeyValue{}}
		otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler)))
		otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
		otel.SetTextMapPropagator(propagation.TraceContext{})
		rec := &recorder{spans: spans, reader: reader, sampler: sampler}

		<-waiting // its call began before, its attempt after
		wantKeys(t, "the first attempt", sampler.seen["GET"], startKeys, []string{"pacedhttp.pacing.wait.duration"})
		rec.calls(t, 0)
		rec.attempts(t, 1)
		// Nobody counted the request when it began to wait.
		if m, ok := rec.metrics(t)["pacedhttp.pacing.request.queued"]; ok {
			t.Errorf("queued = %v", m.Data)
		}

		get(t, rt, "http://example.com/")
		rec.calls(t, 1)
		rec.attempts(t, 2)
		if len(received[0]["Traceparent"]) != 0 || len(received[1]["Traceparent"]) != 1 || len(received[2]["Traceparent"]) != 1 {
			t.Errorf("received %v", received)
		}
	})
}

// TestNobodyLooksNothingIsBuilt pins what is skipped when spans lead nowhere.
func TestNobodyLooksNothingIsBuilt(t *testing.T) {
	var built int
	template := otelpacedhttp.WithURLTemplate(func(*http.Request) string {
		built++
		return ""
	})
	tel := otelpacedhttp.New(template, otelpacedhttp.WithTracerProvider(noop.NewTracerProvider()))
	get(t, pacedhttp.New(answering(200), tel.Call, tel.Attempt), "http://example.com/")
	if built != 0 {
		t.Errorf("a no-op provider: attributes were built %d times", built)
	}

	tel = otelpacedhttp.New(template) // the global provider, which none was installed in
	for range 5 {
		get(t, pacedhttp.New(answering(200), tel.Attempt), "http://example.com/")
	}
	if built != 1 { // the first time, to find out
		t.Errorf("no provider: attributes were built %d times, want 1", built)
	}
}

// TestSpanThatRecordsAfterOneThatDidNotHasEverything is for providers that record some
// requests only: what the last span was says nothing of the next.
func TestSpanThatRecordsAfterOneThatDidNotHasEverything(t *testing.T) {
	if !ownProcess(t) {
		return
	}
	rec := record(t)
	otel.SetTracerProvider(&pickyProvider{TracerProvider: rec.tracers})
	tel := otelpacedhttp.New(
		otelpacedhttp.WithURLTemplate(func(*http.Request) string { return "/users/{id}" }),
		otelpacedhttp.WithCapturedRequestHeaders("X-Mine"))
	rt := tel.Attempt(answering(200))
	for _, ctx := range []context.Context{context.WithValue(t.Context(), quietKey{}, true), t.Context(), t.Context()} {
		req := newRequest(t, ctx, http.MethodGet, "http://example.com/users/7")
		req.Header.Set("X-Mine", "1")
		if _, err := rt.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
	}
	for i, span := range rec.attempts(t, 2) {
		if span.Name() != "GET /users/{id}" {
			t.Errorf("span %d: name %q", i+1, span.Name())
		}
		wantKeys(t, "span", span.Attributes(),
			append([]string{"url.template", "http.request.header.x-mine", "http.response.status_code", "network.protocol.version"}, startKeys...), nil)
	}
}

type quietKey struct{}

// A pickyProvider records no span of a quiet context.
type pickyProvider struct{ trace.TracerProvider }

func (p *pickyProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return pickyTracer{p.TracerProvider.Tracer(name, opts...)}
}

type pickyTracer struct{ trace.Tracer }

func (t pickyTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if ctx.Value(quietKey{}) != nil {
		return noop.NewTracerProvider().Tracer("").Start(ctx, name, opts...)
	}
	return t.Tracer.Start(ctx, name, opts...)
}

// TestInstrumentsThatCannotBeMadeMeasureNothing makes a call that every instrument would
// measure.
func TestInstrumentsThatCannotBeMadeMeasureNothing(t *testing.T) {
	var reported int
	handler := otel.GetErrorHandler()
	defer otel.SetErrorHandler(handler)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { reported++ }))
	rec := record(t, otelpacedhttp.WithMeterProvider(brokenMeters{}))
	if reported != 19 {
		t.Errorf("%d errors reported, want 19", reported)
	}
	rec.ObservePacer("api", always(pacer.Stats{Shared: new(pacer.SharedStats)}))()
	fallback := pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))
	get(t, pacedhttp.New(answering(503), rec.Call, fallback, pacedhttp.Retry(patient()), pacedhttp.Pace(pacer.Burst(10, time.Second)), rec.Attempt), "http://example.com/")
	rec.calls(t, 1)
	rec.attempts(t, 4)
}

type brokenMeters struct{ metricnoop.MeterProvider }

func (brokenMeters) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

type brokenMeter struct{ metricnoop.Meter }

var errBroken = errors.New("cannot be made")

func (brokenMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, errBroken
}

func (brokenMeter) Int64Histogram(string, ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return nil, errBroken
}

func (brokenMeter) Int64UpDownCounter(string, ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	return nil, errBroken
}

func (brokenMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, errBroken
}

func (brokenMeter) Int64ObservableUpDownCounter(string, ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return nil, errBroken
}

func (brokenMeter) Int64ObservableCounter(string, ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return nil, errBroken
}

func (brokenMeter) Float64ObservableGauge(string, ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return nil, errBroken
}

func TestNoProviderCostsAtMostTwentyAllocations(t *testing.T) {
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}, nil
	})
	tel := otelpacedhttp.New()
	retry, pace := pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(1_000_000, time.Nanosecond))
	req := newRequest(t, context.Background(), http.MethodGet, "http://example.com/")
	cost := func(rt http.RoundTripper) float64 {
		return testing.AllocsPerRun(100, func() { _, _ = rt.RoundTrip(req) })
	}
	bare, with := cost(pacedhttp.New(base, retry, pace)), cost(pacedhttp.New(base, tel.Call, retry, pace, tel.Attempt))
	if with-bare > 20 {
		t.Errorf("%v allocations without telemetry, %v with: at most 20 more are allowed", bare, with)
	}
}

func TestSampledOutAttemptSkipsWhatOnlySpansNeed(t *testing.T) {
	var traced bool
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		traced = httptrace.ContextClientTrace(req.Context()) != nil
		return answering(503).RoundTrip(req)
	})
	for _, sampled := range []bool{false, true} {
		sampler := sdktrace.NeverSample()
		if sampled {
			sampler = sdktrace.AlwaysSample()
		}
		rec := record(t, otelpacedhttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler))))
		get(t, pacedhttp.New(base, rec.Call, rec.Attempt), "http://example.com/")
		if traced != sampled {
			t.Errorf("sampled %v: the connection was watched: %v", sampled, traced)
		}
		if len(histogram[float64](t, rec, "http.client.request.duration")) != 1 {
			t.Errorf("sampled %v: no metric", sampled)
		}
	}
}
