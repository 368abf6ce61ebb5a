package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// besideOTelHTTP is a chain that leaves the attempts to otelhttp and tells it of resends.
func besideOTelHTTP(tracers *sdktrace.TracerProvider, meters *metric.MeterProvider, base http.RoundTripper) *http.Client {
	tel := otelpacedhttp.New(
		otelpacedhttp.WithTracerProvider(tracers),
		otelpacedhttp.WithMeterProvider(meters),
		otelpacedhttp.WithoutAttemptTelemetry(),
	)
	attempts := otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(tracers),
		otelhttp.WithMeterProvider(meters),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithClientTrace(func(ctx context.Context) *httptrace.ClientTrace {
			if n := otelpacedhttp.ResendCount(ctx); n > 0 {
				trace.SpanFromContext(ctx).SetAttributes(attribute.Int("http.request.resend_count", n))
			}
			return &httptrace.ClientTrace{}
		}),
	)
	retry := pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Millisecond)}))
	return pacedhttp.New(attempts, tel.Call, retry, tel.Attempt).Client()
}

// failingTwice is a server that answers 503, 302, 503 and then 200.
func failingTwice() *httptest.Server {
	statuses := []int{503, 302, 503}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if len(statuses) == 0 {
			return
		}
		w.Header().Set("Location", "/landing")
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
	}))
}

// With otelhttp as the base, its client trace is where ResendCount belongs.
func Example_resendCountBesideOTelHTTP() {
	srv := failingTwice()
	defer srv.Close()
	spans := tracetest.NewSpanRecorder()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := besideOTelHTTP(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), metric.NewMeterProvider(), base)

	resp, err := client.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	for _, s := range spans.Started() { // otelhttp ends a span with the body
		if s.SpanKind() == trace.SpanKindClient {
			fmt.Println(s.Name(), find(s.Attributes(), "http.response.status_code").AsInt64(), find(s.Attributes(), "http.request.resend_count").AsInt64())
		}
	}
	// Output:
	// HTTP GET 503 0
	// HTTP GET 302 1
	// HTTP GET 503 2
	// HTTP GET 200 3
}

func TestNothingIsCountedTwiceBesideOTelHTTP(t *testing.T) {
	srv := failingTwice()
	defer srv.Close()
	spans, reader := tracetest.NewSpanRecorder(), metric.NewManualReader()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := besideOTelHTTP(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
		metric.NewMeterProvider(metric.WithReader(reader)), base)
	resp, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	kinds := map[trace.SpanKind]int{}
	for _, s := range spans.Started() {
		kinds[s.SpanKind()]++
	}
	if kinds[trace.SpanKindClient] != 4 || kinds[trace.SpanKindInternal] != 2 {
		t.Errorf("%d attempts and %d calls, want 4 and 2", kinds[trace.SpanKindClient], kinds[trace.SpanKindInternal])
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var requests uint64
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == "http.client.request.duration" {
				for _, p := range h.DataPoints {
					requests += p.Count
				}
			}
		}
	}
	if requests != 4 {
		t.Errorf("http.client.request.duration counts %d requests, want 4", requests)
	}
}
