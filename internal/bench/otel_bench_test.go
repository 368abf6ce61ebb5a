package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// BenchmarkTelemetry compares what telemetry adds to a request that takes no time: two
// spans, of call and attempt, against otelhttp's one. "alone" is without any other layer,
// "chain" with Retry and Pace, which have metrics of their own.
func BenchmarkTelemetry(b *testing.B) {
	base := instant{}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	recording := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSpanProcessor(discarding{}))
	sampledOut := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))

	for _, provider := range []struct {
		name    string
		tracers trace.TracerProvider // nil for the global one, which nobody installed
		meters  metric.MeterProvider
	}{
		{"none", nil, nil},
		{"sampled out", sampledOut, metricnoop.NewMeterProvider()},
		{"recording", recording, meters},
	} {
		var ours []otelpacedhttp.Option
		var theirs []otelhttp.Option
		if provider.tracers != nil {
			propagators := propagation.TraceContext{}
			ours = append(ours, otelpacedhttp.WithTracerProvider(provider.tracers), otelpacedhttp.WithMeterProvider(provider.meters),
				otelpacedhttp.WithPropagators(propagators))
			theirs = append(theirs, otelhttp.WithTracerProvider(provider.tracers), otelhttp.WithMeterProvider(provider.meters),
				otelhttp.WithPropagators(propagators))
		}
		tel := otelpacedhttp.New(ours...)
		retry, pace := pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(1_000_000, time.Nanosecond))
		for _, bm := range []struct {
			name string
			rt   http.RoundTripper
		}{
			{"alone/without", pacedhttp.New(base)},
			{"alone/otelhttp", pacedhttp.New(otelhttp.NewTransport(base, theirs...))},
			{"alone/otelpacedhttp", pacedhttp.New(base, tel.Call, tel.Attempt)},
			{"chain/without", pacedhttp.New(base, retry, pace)},
			{"chain/otelhttp", pacedhttp.New(otelhttp.NewTransport(base, theirs...), retry, pace)},
			{"chain/otelpacedhttp", pacedhttp.New(base, tel.Call, retry, pace, tel.Attempt)},
		} {
			b.Run(provider.name+"/"+bm.name, func(b *testing.B) { benchmarkTelemetry(b, bm.rt) })
		}
	}
}

func benchmarkTelemetry(b *testing.B, rt http.RoundTripper) {
	req, err := http.NewRequest(http.MethodGet, "http://api.example.com/users?page=2", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close() // ends otelhttp's span
	}
}

// instant answers at once.
type instant struct{}

func (instant) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}, nil
}

// discarding is the least that a provider needs for its spans to be made whole: without a
// processor the SDK skips what they cost at their end.
type discarding struct{}

func (discarding) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discarding) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discarding) Shutdown(context.Context) error                  { return nil }
func (discarding) ForceFlush(context.Context) error                { return nil }
