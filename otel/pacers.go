package otelpacedhttp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// ObservePacer shows a pacer in the metrics pacedhttp.pacer.*, until stop is called. name is
// their attribute pacedhttp.pacer.name: that of an API or a quota, one of few. stats is mostly
// the method Stats of a [pacer.Pacer]. A nil stats observes nothing.
//
// stats is called once in each collection of each of the provider's readers, so it must be
// safe for concurrent use, and never after stop has returned. It must neither call ObservePacer
// or stop nor wait for who does: those wait for the end of a collection.
//
// A name is that of one pacer at a time. Who observes another by the same name has it take the
// former's place, which is reported to otel.Handle: stop the former first. Names of another
// Instrumentation are not known here, and one provider adds up what two of them show under one.
//
// stop may be called again, and does nothing then. Errors of the provider go to otel.Handle.
func (i *Instrumentation) ObservePacer(name string, stats func() pacer.Stats) (stop func()) {
	if stats == nil {
		return func() {}
	}
	o := &observation{
		pacers: &i.pacers,
		name:   name,
		stats:  stats,
	}
	handle(i.pacers.add(o))
	return func() { handle(i.pacers.remove(o)) }
}

func handle(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// pacers are the pacers that are observed, and the instruments that show them: nil where one
// cannot be made, since a provider registers none but its own.
type pacers struct {
	meter     metric.Meter
	waiting   metric.Int64ObservableUpDownCounter
	inFlight  metric.Int64ObservableUpDownCounter
	used      metric.Int64ObservableUpDownCounter
	limit     metric.Int64ObservableUpDownCounter
	state     metric.Int64ObservableUpDownCounter
	pausedFor metric.Float64ObservableGauge

	// Of pacers that share their limits.
	fallback   metric.Int64ObservableCounter
	lost       metric.Int64ObservableCounter
	roundTrips metric.Int64ObservableCounter
	failures   metric.Int64ObservableCounter

	mu       sync.Mutex
	observed map[string]*observation // by name
}

func (p *pacers) init(meter metric.Meter) {
	p.meter, p.observed = meter, map[string]*observation{}
	numbers := made[metric.Int64ObservableUpDownCounter](nil)
	seconds := made[metric.Float64ObservableGauge](nil)
	totals := made[metric.Int64ObservableCounter](nil)

	p.waiting = numbers(meter.Int64ObservableUpDownCounter("pacedhttp.pacer.waiting", metric.WithUnit("{caller}"),
		metric.WithDescription("Callers that wait for the pacer.")))
	p.inFlight = numbers(meter.Int64ObservableUpDownCounter("pacedhttp.pacer.in_flight", metric.WithUnit("{slot}"),
		metric.WithDescription("Slots of the pacer that are not done.")))
	p.used = numbers(meter.Int64ObservableUpDownCounter("pacedhttp.pacer.used", metric.WithUnit("{unit}"),
		metric.WithDescription("What is used of a limit: starts or cost in its window, or drawn from its bucket.")))
	p.limit = numbers(meter.Int64ObservableUpDownCounter("pacedhttp.pacer.limit", metric.WithUnit("{unit}"),
		metric.WithDescription("What a limit allows: starts or cost in its window, or the size of its bucket.")))
	p.state = numbers(meter.Int64ObservableUpDownCounter("pacedhttp.pacer.state", metric.WithUnit("1"),
		metric.WithDescription("1 for the state that the pacer is in, 0 for the others.")))
	p.pausedFor = seconds(meter.Float64ObservableGauge("pacedhttp.pacer.paused_for", metric.WithUnit("s"),
		metric.WithDescription("Time until the end of the pacer's pause.")))
	p.fallback = totals(meter.Int64ObservableCounter("pacedhttp.pacer.fallback", metric.WithUnit("{start}"),
		metric.WithDescription("Starts that the fallback of a shared pacer let happen.")))
	p.lost = totals(meter.Int64ObservableCounter("pacedhttp.pacer.lost", metric.WithUnit("{start}"),
		metric.WithDescription("Starts that a shared pacer had reserved and neither used nor gave back.")))
	p.roundTrips = totals(meter.Int64ObservableCounter("pacedhttp.pacer.round_trips", metric.WithUnit("{round_trip}"),
		metric.WithDescription("Round trips that a shared pacer has begun.")))
	p.failures = totals(meter.Int64ObservableCounter("pacedhttp.pacer.failures", metric.WithUnit("{round_trip}"),
		metric.WithDescription("Round trips of a shared pacer that failed or were not answered in time.")))
}

// instruments returns those that could be made.
func (p *pacers) instruments() []metric.Observable {
	var all []metric.Observable
	for _, inst := range []metric.Int64ObservableUpDownCounter{p.waiting, p.inFlight, p.used, p.limit, p.state} {
		if inst != nil {
			all = append(all, inst)
		}
	}
	for _, inst := range []metric.Int64ObservableCounter{p.fallback, p.lost, p.roundTrips, p.failures} {
		if inst != nil {
			all = append(all, inst)
		}
	}
	if p.pausedFor != nil {
		all = append(all, p.pausedFor)
	}
	return all
}

func (p *pacers) add(o *observation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var taken error
	if former := p.observed[o.name]; former != nil {
		taken = errors.Join(
			fmt.Errorf("otelpacedhttp: ObservePacer: name is %q, must be one that no other pacer has: the other is observed no more", o.name),
			p.drop(former))
	}
	p.observed[o.name] = o
	var err error
	o.registration, err = p.meter.RegisterCallback(o.observe, p.instruments()...)
	return errors.Join(taken, err)
}

func (p *pacers) remove(o *observation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.observed[o.name] != o { // stopped already, or another has its name
		return nil
	}
	return p.drop(o)
}

// drop needs p.mu.
func (p *pacers) drop(o *observation) error {
	delete(p.observed, o.name)
	if o.registration == nil {
		return nil
	}
	return o.registration.Unregister()
}

// An observation is a pacer that is observed.
type observation struct {
	pacers       *pacers
	name         string
	stats        func() pacer.Stats
	registration metric.Registration // nil if it failed
	flies        atomic.Bool         // there has been a flight
}

// observe is called by every reader that collects.
func (o *observation) observe(_ context.Context, to metric.Observer) error {
	stats := o.stats()
	rest := max(0, time.Until(stats.PausedUntil)) // of the pause; zero, and long past, without one
	p, about := o.pacers, metric.WithAttributes(keyPacerName.String(o.name))
	number := func(inst metric.Int64ObservableUpDownCounter, n int, about metric.ObserveOption) {
		if inst != nil {
			to.ObserveInt64(inst, int64(n), about)
		}
	}
	number(p.waiting, stats.Waiting, about)
	if stats.InFlight > 0 {
		o.flies.Store(true)
	}
	if o.flies.Load() { // else nobody counts them, as far as is known
		number(p.inFlight, stats.InFlight, about)
	}
	for i, l := range stats.Limits {
		if slices.ContainsFunc(stats.Limits[:i], func(e pacer.LimitStats) bool { return e.Limit == l.Limit }) {
			continue // a provider would add it to its like
		}
		about := metric.WithAttributes(aboutLimit(o.name, l.Limit)...)
		number(p.used, l.Used, about)
		number(p.limit, most(l.Limit), about)
	}
	for _, state := range [...]pacer.State{pacer.StateFlowing, pacer.StatePaused, pacer.StateProbing, pacer.StateDown} {
		in := 0
		if state == stats.State {
			in = 1
		}
		number(p.state, in, metric.WithAttributes(keyPacerName.String(o.name), keyPacerState.String(state.String())))
	}
	if p.pausedFor != nil {
		to.ObserveFloat64(p.pausedFor, rest.Seconds(), about)
	}
	if shared := stats.Shared; shared != nil {
		total := func(inst metric.Int64ObservableCounter, n uint64) {
			if inst != nil {
				to.ObserveInt64(inst, int64(n), about)
			}
		}
		total(p.fallback, shared.Fallback)
		total(p.lost, shared.Lost)
		total(p.roundTrips, shared.RoundTrips)
		total(p.failures, shared.Failures)
	}
	return nil
}

func aboutLimit(name string, l pacer.Limit) []attribute.KeyValue {
	attrs := []attribute.KeyValue{keyPacerName.String(name), keyLimitName.String(l.String())}
	if l.Unit != "" {
		attrs = append(attrs, keyLimitUnit.String(l.Unit))
	}
	return attrs
}

// most returns how much of l may be used.
func most(l pacer.Limit) int {
	if l.Bucket != 0 {
		return l.Bucket
	}
	return max(l.Calls, l.Cost)
}
