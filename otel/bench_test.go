package otelpacedhttp_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// BenchmarkCall is the cost of one call, without a network, by what looks at it. The
// difference to "bare" is what telemetry costs.
func BenchmarkCall(b *testing.B) {
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}, nil
	})
	with := func(tp trace.TracerProvider, mp metric.MeterProvider) *otelpacedhttp.Instrumentation {
		return otelpacedhttp.New(otelpacedhttp.WithTracerProvider(tp), otelpacedhttp.WithMeterProvider(mp),
			otelpacedhttp.WithPropagators(propagation.TraceContext{}))
	}
	recording := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSpanProcessor(discarding{}))
	sampledOut := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, bm := range []struct {
		name string
		tel  *otelpacedhttp.Instrumentation
	}{
		{"bare", nil},
		{"no provider", otelpacedhttp.New()},
		{"noop provider", with(tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider())},
		{"sampled out", with(sampledOut, metricnoop.NewMeterProvider())},
		{"metrics only", with(tracenoop.NewTracerProvider(), meters)},
		{"spans only", with(recording, metricnoop.NewMeterProvider())},
		{"recording", with(recording, meters)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			mw := []pacedhttp.Middleware{pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(1_000_000, time.Nanosecond))}
			if bm.tel != nil {
				mw = append([]pacedhttp.Middleware{bm.tel.Call}, append(mw, bm.tel.Attempt)...)
			}
			rt := pacedhttp.New(base, mw...)
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
				_, _ = io.Copy(io.Discard, resp.Body)
			}
		})
	}
}

// discarding is the least that a provider needs for its spans to be made whole.
type discarding struct{}

func (discarding) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discarding) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discarding) Shutdown(context.Context) error                  { return nil }
func (discarding) ForceFlush(context.Context) error                { return nil }

// BenchmarkRedaction is the cost of url.full.
func BenchmarkRedaction(b *testing.B) {
	for name, query := range map[string]string{
		"nothing to redact": "page=2&sort=name",
		"signed":            "X-Amz-Date=20260101T000000Z&X-Amz-Signature=" + strings.Repeat("a", 64),
	} {
		b.Run(name, func(b *testing.B) {
			tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
			tel := otelpacedhttp.New(otelpacedhttp.WithTracerProvider(tp))
			rt := tel.Attempt(roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}))
			req, err := http.NewRequest(http.MethodGet, "http://api.example.com/users?"+query, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = rt.RoundTrip(req)
			}
		})
	}
}
