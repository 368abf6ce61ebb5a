package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

const endpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT"

// telemetry is where spans and metrics go, and what becomes of them at the end.
type telemetry struct {
	tracers *sdktrace.TracerProvider
	meters  *metric.MeterProvider
	show    func(context.Context, io.Writer, picture) error
}

// newTelemetry keeps everything in memory to show it, or exports it if the environment names an endpoint.
func newTelemetry(ctx context.Context, getenv func(string) string) (*telemetry, error) {
	res := resource.NewSchemaless(attribute.String("service.name", "pacedhttp-tracing"))
	if endpoint := getenv(endpointVariable); endpoint != "" {
		return newExporting(ctx, endpoint, res)
	}
	spans, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	return &telemetry{
		tracers: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithResource(res)),
		meters:  metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(res)),
		show: func(ctx context.Context, out io.Writer, pic picture) error {
			var all metricdata.ResourceMetrics
			if err := reader.Collect(ctx, &all); err != nil {
				return err
			}
			_, err := io.WriteString(out, pic.waterfalls(spans.GetSpans())+table(all))
			return err
		},
	}, nil
}

// newExporting uses exporters that read the endpoint and all else (headers, TLS, timeouts) from the environment.
func newExporting(ctx context.Context, endpoint string, res *resource.Resource) (*telemetry, error) {
	spans, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	metrics, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, errors.Join(err, spans.Shutdown(ctx))
	}
	return &telemetry{
		tracers: sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(res)),
		meters:  metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(metrics)), metric.WithResource(res)),
		show: func(_ context.Context, out io.Writer, _ picture) error {
			_, err := fmt.Fprintln(out, "exported to", endpoint)
			return err
		},
	}, nil
}

// finish shows what was recorded and ends the providers, which export what they still have.
func (t *telemetry) finish(ctx context.Context, out io.Writer, pic picture) error {
	err := t.tracers.ForceFlush(ctx)
	if err == nil {
		err = t.show(ctx, out, pic)
	}
	return errors.Join(err, t.tracers.Shutdown(ctx), t.meters.Shutdown(ctx))
}
