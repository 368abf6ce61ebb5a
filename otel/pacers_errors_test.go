package otelpacedhttp_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// TestOtherInstrumentsAreShownWhereOneCannotBeMade breaks one instrument at a time.
func TestOtherInstrumentsAreShownWhereOneCannotBeMade(t *testing.T) {
	all := []string{"failures", "fallback", "in_flight", "limit", "lost", "paused_for", "round_trips", "state", "used", "waiting"}
	stats := pacer.Stats{
		InFlight: 1,
		Limits:   []pacer.LimitStats{{Limit: pacer.Limit{Calls: 1, Period: time.Second}}},
		Shared:   new(pacer.SharedStats),
	}
	for _, broken := range all {
		t.Run(broken, func(t *testing.T) {
			rec := &recorder{reader: sdkmetric.NewManualReader()}
			meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(rec.reader))
			errs := reported(func() {
				rec.Instrumentation = otelpacedhttp.New(otelpacedhttp.WithMeterProvider(partlyBrokenMeters{meters, "pacedhttp.pacer." + broken}))
				rec.ObservePacer("api", always(stats))
			})
			if !slices.Equal(errs, []string{errBroken.Error()}) {
				t.Errorf("reported %q, want one error", errs)
			}
			var got []string
			for name := range rec.metrics(t) {
				got = append(got, strings.TrimPrefix(name, "pacedhttp.pacer."))
			}
			slices.Sort(got)
			want := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == broken })
			if !slices.Equal(got, want) {
				t.Errorf("there are %v, want %v", got, want)
			}
		})
	}
}

type partlyBrokenMeters struct {
	metric.MeterProvider
	broken string
}

func (p partlyBrokenMeters) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	return partlyBrokenMeter{p.MeterProvider.Meter(name, opts...), p.broken}
}

type partlyBrokenMeter struct {
	metric.Meter
	broken string
}

func (m partlyBrokenMeter) RegisterCallback(f metric.Callback, insts ...metric.Observable) (metric.Registration, error) {
	return m.Meter.RegisterCallback(func(ctx context.Context, to metric.Observer) error {
		return f(ctx, strictObserver{to})
	}, insts...)
}

// A strictObserver panics at what cannot be observed, which the SDK only logs.
type strictObserver struct{ metric.Observer }

func (o strictObserver) ObserveInt64(inst metric.Int64Observable, n int64, opts ...metric.ObserveOption) {
	if inst == nil {
		panic("an instrument that could not be made was observed")
	}
	o.Observer.ObserveInt64(inst, n, opts...)
}

func (o strictObserver) ObserveFloat64(inst metric.Float64Observable, n float64, opts ...metric.ObserveOption) {
	if inst == nil {
		panic("an instrument that could not be made was observed")
	}
	o.Observer.ObserveFloat64(inst, n, opts...)
}

func (m partlyBrokenMeter) Int64ObservableUpDownCounter(name string, opts ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	if name == m.broken {
		return nil, errBroken
	}
	return m.Meter.Int64ObservableUpDownCounter(name, opts...)
}

func (m partlyBrokenMeter) Int64ObservableCounter(name string, opts ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	if name == m.broken {
		return nil, errBroken
	}
	return m.Meter.Int64ObservableCounter(name, opts...)
}

func (m partlyBrokenMeter) Float64ObservableGauge(name string, opts ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	if name == m.broken {
		return nil, errBroken
	}
	return m.Meter.Float64ObservableGauge(name, opts...)
}

// TestRefusedRegistrationIsReported and nothing else happens.
func TestRefusedRegistrationIsReported(t *testing.T) {
	errs := reported(func() {
		tel := otelpacedhttp.New(otelpacedhttp.WithMeterProvider(closedMeters{}))
		stop := tel.ObservePacer("api", always(pacer.Stats{}))
		stop()
		stop()
	})
	if !slices.Equal(errs, []string{errClosed.Error()}) {
		t.Errorf("reported %q, want one error", errs)
	}
}

var errClosed = errors.New("closed")

type closedMeters struct{ metricnoop.MeterProvider }

func (closedMeters) Meter(string, ...metric.MeterOption) metric.Meter { return closedMeter{} }

type closedMeter struct{ metricnoop.Meter }

func (closedMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, errClosed
}
