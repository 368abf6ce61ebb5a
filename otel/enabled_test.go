package otelpacedhttp_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

// TestOnlyEnabledInstrumentsMeasure enables one instrument at a time. The call makes all of
// them measure: a slot, two attempts, the refusal of a third, a fallback that fails.
func TestOnlyEnabledInstrumentsMeasure(t *testing.T) {
	for name, measurements := range map[string]int{
		"":                                       0,
		"http.client.request.duration":           2,
		"pacedhttp.call.duration":                1,
		"pacedhttp.call.retries":                 1,
		"pacedhttp.call.retry_delay":             1,
		"pacedhttp.pacing.request.time_in_queue": 3,
		"pacedhttp.pacing.request.queued":        6, // each comes and goes
		"pacedhttp.retry.denials":                1,
		"pacedhttp.fallbacks":                    1,
	} {
		t.Run(name, func(t *testing.T) {
			m := &selectiveMeters{enabled: name}
			tel := otelpacedhttp.New(otelpacedhttp.WithMeterProvider(m), otelpacedhttp.WithTracerProvider(tracenoop.NewTracerProvider()))
			_ = send(t.Context(), pacedhttp.New(failing(errors.New("refused")), tel.Call, pacedhttp.Fallback(toNothing),
				pacedhttp.Retry(patient()), pacedhttp.Pace(granting(2)), tel.Attempt))
			want := slices.Repeat([]string{name}, measurements)
			if !slices.Equal(m.measured, want) {
				t.Errorf("measured %v, want %v", m.measured, want)
			}
		})
	}
}

func TestNobodyLooksNothingIsJudged(t *testing.T) {
	tel := otelpacedhttp.New(otelpacedhttp.WithMeterProvider(&selectiveMeters{}), otelpacedhttp.WithTracerProvider(tracenoop.NewTracerProvider()))
	for name, layer := range map[string]pacedhttp.Middleware{"call": tel.Call, "attempt": tel.Attempt} {
		fault := &countingError{}
		_ = send(t.Context(), layer(failing(fault)))
		if fault.asked != 0 {
			t.Errorf("%s: the error was asked %d times for its name", name, fault.asked)
		}
	}
}

func toNothing(*http.Request, *http.Response, error) (*http.Response, error) {
	return nil, errors.New("no backup")
}

// A countingError counts how often telemetry wants to know its name.
type countingError struct{ asked int }

func (e *countingError) Error() string { return "refused" }

func (e *countingError) ErrorType() string {
	e.asked++
	return "refused"
}

// selectiveMeters make instruments of which one is enabled.
type selectiveMeters struct {
	metricnoop.MeterProvider
	enabled  string
	measured []string
}

func (p *selectiveMeters) Meter(string, ...metric.MeterOption) metric.Meter {
	return selectiveMeter{p: p}
}

type selectiveMeter struct {
	metricnoop.Meter
	p *selectiveMeters
}

func (m selectiveMeter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return selectiveSeconds{instrument: instrument{m.p, name}}, nil
}

func (m selectiveMeter) Int64Histogram(name string, _ ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return selectiveNumbers{instrument: instrument{m.p, name}}, nil
}

func (m selectiveMeter) Int64UpDownCounter(name string, _ ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	return selectiveGauge{instrument: instrument{m.p, name}}, nil
}

func (m selectiveMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return selectiveCounter{instrument: instrument{m.p, name}}, nil
}

type instrument struct {
	p    *selectiveMeters
	name string
}

func (i instrument) on() bool { return i.p.enabled == i.name }
func (i instrument) measure() { i.p.measured = append(i.p.measured, i.name) }

type selectiveSeconds struct {
	metricnoop.Float64Histogram
	instrument
}

func (i selectiveSeconds) Enabled(context.Context) bool                            { return i.on() }
func (i selectiveSeconds) Record(context.Context, float64, ...metric.RecordOption) { i.measure() }

type selectiveNumbers struct {
	metricnoop.Int64Histogram
	instrument
}

func (i selectiveNumbers) Enabled(context.Context) bool                          { return i.on() }
func (i selectiveNumbers) Record(context.Context, int64, ...metric.RecordOption) { i.measure() }

type selectiveGauge struct {
	metricnoop.Int64UpDownCounter
	instrument
}

func (i selectiveGauge) Enabled(context.Context) bool                    { return i.on() }
func (i selectiveGauge) Add(context.Context, int64, ...metric.AddOption) { i.measure() }

type selectiveCounter struct {
	metricnoop.Int64Counter
	instrument
}

func (i selectiveCounter) Enabled(context.Context) bool                    { return i.on() }
func (i selectiveCounter) Add(context.Context, int64, ...metric.AddOption) { i.measure() }
