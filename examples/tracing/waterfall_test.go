package main

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// stub makes a span of a trace; times are milliseconds since noon.
func stub(traceID, id, parent byte, name string, kind trace.SpanKind, from, to int, attrs ...attribute.KeyValue) tracetest.SpanStub {
	context := func(id byte) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{traceID}, SpanID: trace.SpanID{id}})
	}
	return tracetest.SpanStub{
		Name: name, SpanContext: context(id), Parent: context(parent), SpanKind: kind, Attributes: attrs,
		StartTime: noon.Add(time.Duration(from) * time.Millisecond), EndTime: noon.Add(time.Duration(to) * time.Millisecond),
	}
}

func retriedCall() tracetest.SpanStubs {
	failed := stub(1, 3, 2, "GET", trace.SpanKindClient, 200, 300, attribute.Int("http.response.status_code", 503),
		attribute.Float64("pacedhttp.pacing.wait.duration", 0.2), attribute.String("error.type", "503"))
	failed.Status = sdktrace.Status{Code: codes.Error}
	return tracetest.SpanStubs{ // in the order of their end
		stub(1, 4, 3, "serve", trace.SpanKindServer, 210, 290),
		failed,
		stub(1, 5, 2, "GET", trace.SpanKindClient, 900, 1000, attribute.Int("http.response.status_code", 200),
			attribute.Int("http.request.resend_count", 1), attribute.Float64("pacedhttp.pacing.wait.duration", 0)),
		stub(1, 2, 9, "pacedhttp.call", trace.SpanKindInternal, 0, 1000, attribute.Int("pacedhttp.attempts", 2),
			attribute.Float64("pacedhttp.retry.delay", 0.6), attribute.Bool("pacedhttp.fallback.used", true)),
	}
}

func TestWaterfallDrawsTheTreeOnItsTimeAxis(t *testing.T) {
	const want = `                           0                 1s
pacedhttp.call             ━━━━━━━━━━━━━━━━━━━━ 1s  attempts 2  backed off 600ms  fallback true
├ GET                      ┈┈┈┈██               100ms  503  waited 200ms  error 503
│ └ serve                      ▒▒               80ms
└ GET                                        ██ 100ms  200  resend 1

`
	if got := (picture{width: 60}).waterfalls(retriedCall()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWaterfallIsGreenOrRedOnTerminals(t *testing.T) {
	const want = "                           0       1s\n" +
		"pacedhttp.call             ━━━━━━━━━━ 1s  attempts 2  backed off 600ms  fallback true\n" +
		"├ GET                      ┈┈\x1b[31m█\x1b[0m        100ms  503  waited 200ms  error 503\n" +
		"│ └ serve                    ▒        80ms\n" +
		"└ GET                               \x1b[32m█\x1b[0m 100ms  200  resend 1\n\n"
	if got := (picture{width: 10, color: true}).waterfalls(retriedCall()); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestWaterfallsAreInOrderAndFitAnything(t *testing.T) {
	const want = `                           0       0s
first, with a name that i… ━          0s

                           0      5ms
second                     ━━━━━━━━━━ 5ms

`
	got := (picture{}).waterfalls(tracetest.SpanStubs{
		stub(2, 1, 0, "second", trace.SpanKindInternal, 10, 15),
		stub(1, 1, 0, "first, with a name that is too long", trace.SpanKindInternal, 0, 0),
	})
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableHasALineForEverySeries(t *testing.T) {
	set := attribute.NewSet(attribute.String("server.address", "h"), attribute.String("http.request.method", "GET"))
	reason := attribute.NewSet(attribute.String("pacedhttp.retry.denial.reason", "deadline"))
	got := table(metricdata.ResourceMetrics{ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: []metricdata.Metrics{
		{Name: "sum", Unit: "{retry}", Data: metricdata.Sum[int64]{DataPoints: []metricdata.DataPoint[int64]{{Attributes: reason, Value: 3}}}},
		{Name: "retries", Unit: "{retry}", Data: metricdata.Histogram[int64]{DataPoints: []metricdata.HistogramDataPoint[int64]{
			{Attributes: set, Count: 2, Sum: 3, Max: metricdata.NewExtrema[int64](2)}}}},
		{Name: "duration", Unit: "s", Data: metricdata.Histogram[float64]{DataPoints: []metricdata.HistogramDataPoint[float64]{
			{Attributes: set, Count: 4, Sum: 1, Max: metricdata.NewExtrema(0.5)}}}},
	}}}})
	const want = `METRIC    ATTRIBUTES                    COUNT  MEAN     MAX
duration  method=GET                    4      0.250 s  0.500 s
retries   method=GET                    2      1.5      2
sum       retry.denial.reason=deadline  3
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
