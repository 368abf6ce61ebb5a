package otelpacedhttp

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
)

// metrics are the instruments.
type metrics struct {
	requestDuration metric.Float64Histogram
	callDuration    metric.Float64Histogram
	callRetries     metric.Int64Histogram
	callRetryDelay  metric.Float64Histogram
	timeInQueue     metric.Float64Histogram
	queued          metric.Int64UpDownCounter
	denials         metric.Int64Counter
	fallbacks       metric.Int64Counter
	pauses          metric.Int64Counter

	labeled cache[labels, measured]
}

// waitBuckets are those of the semantic conventions for requests, and on to the two
// minutes that a call with retries and waits may take.
var waitBuckets = metric.WithExplicitBucketBoundaries(
	0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120)

func newMeter(p metric.MeterProvider) metric.Meter {
	return p.Meter(ScopeName, metric.WithInstrumentationVersion(Version), metric.WithSchemaURL(semconv.SchemaURL))
}

func (m *metrics) init(meter metric.Meter) {
	m.labeled.make = newMeasured
	seconds := made[metric.Float64Histogram](noop.Float64Histogram{})
	numbers := made[metric.Int64Histogram](noop.Int64Histogram{})
	gauge := made[metric.Int64UpDownCounter](noop.Int64UpDownCounter{})
	counter := made[metric.Int64Counter](noop.Int64Counter{})

	request, err := httpconv.NewClientRequestDuration(meter)
	m.requestDuration = seconds(request.Inst(), err)
	m.callDuration = seconds(meter.Float64Histogram("pacedhttp.call.duration", metric.WithUnit("s"), waitBuckets,
		metric.WithDescription("Duration of HTTP calls, with their retries, waits and fallbacks.")))
	m.callRetries = numbers(meter.Int64Histogram("pacedhttp.call.retries", metric.WithUnit("{retry}"),
		metric.WithExplicitBucketBoundaries(1, 2, 3, 4, 5),
		metric.WithDescription("Retries of the calls that had any.")))
	m.callRetryDelay = seconds(meter.Float64Histogram("pacedhttp.call.retry_delay", metric.WithUnit("s"), waitBuckets,
		metric.WithDescription("Time that the calls with retries spent in backoff.")))
	m.timeInQueue = seconds(meter.Float64Histogram("pacedhttp.pacing.request.time_in_queue", metric.WithUnit("s"), waitBuckets,
		metric.WithDescription("Time that requests waited for a slot.")))
	m.queued = gauge(meter.Int64UpDownCounter("pacedhttp.pacing.request.queued", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that wait for a slot.")))
	m.denials = counter(meter.Int64Counter("pacedhttp.retry.denials", metric.WithUnit("{retry}"),
		metric.WithDescription("Failures that were not tried again although another attempt might have helped.")))
	m.fallbacks = counter(meter.Int64Counter("pacedhttp.fallbacks", metric.WithUnit("{fallback}"),
		metric.WithDescription("Fallbacks that were asked for an answer.")))
	m.pauses = counter(meter.Int64Counter("pacedhttp.pacing.pauses", metric.WithUnit("{pause}"),
		metric.WithDescription("Pauses of a pacer that an answer began or lengthened.")))
}

// made returns a function that passes on an instrument, or nothing if it cannot be made.
func made[T any](nothing T) func(T, error) T {
	return func(instrument T, err error) T {
		if err != nil {
			otel.Handle(err)
			return nothing
		}
		return instrument
	}
}

// seconds records d.
func (m *metrics) seconds(ctx context.Context, to metric.Float64Histogram, d time.Duration, l labels) {
	if to.Enabled(ctx) {
		to.Record(ctx, d.Seconds(), m.labeled.get(l).record...)
	}
}

// count records n.
func (m *metrics) count(ctx context.Context, to metric.Int64Histogram, n int, l labels) {
	if to.Enabled(ctx) {
		to.Record(ctx, int64(n), m.labeled.get(l).record...)
	}
}

// one counts one.
func (m *metrics) one(ctx context.Context, to metric.Int64Counter, l labels) {
	if to.Enabled(ctx) {
		to.Add(ctx, 1, m.labeled.get(l).add...)
	}
}
