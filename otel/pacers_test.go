package otelpacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// always returns stats that never change.
func always(stats pacer.Stats) func() pacer.Stats { return func() pacer.Stats { return stats } }

func limits(t testing.TB, list string) []pacer.Limit {
	t.Helper()
	all, err := pacer.ParseLimits(list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// observed returns the values of one instrument, by the attributes.
func observed(t testing.TB, rec *recorder, name string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	add := func(set attribute.Set, v float64) { values[set.Encoded(attribute.DefaultEncoder())] = v }
	switch data := rec.metrics(t)["pacedhttp.pacer."+name].Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	}
	return values
}

// reported returns the errors that f has otel.Handle.
func reported(f func()) (errs []string) {
	handler := otel.GetErrorHandler()
	defer otel.SetErrorHandler(handler)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { errs = append(errs, err.Error()) }))
	f()
	return errs
}

// TestPacerMetricsAreThoseOfTheTable pins name, unit, kind and attributes of every instrument,
// with a pacer that has every kind of limit, a pause and somebody who waits.
func TestPacerMetricsAreThoseOfTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		p := pacer.Must(pacer.Config{
			Limits:      limits(t, "20/s, 5000/h even, 2/s bucket 40, 90000 tokens/min, 50 points/s bucket 1000"),
			MaxInFlight: 3,
			MaxPause:    2 * time.Minute,
		})
		defer rec.ObservePacer("api", p.Stats)()
		ctx, cancel := context.WithCancel(pacer.WithCost(pacer.WithCost(t.Context(), "tokens", 700), "points", 30))
		slot, err := p.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer slot.Done()
		p.PauseUntil(time.Now().Add(90 * time.Second))
		go p.Acquire(ctx)
		synctest.Wait()
		defer synctest.Wait()
		defer cancel()

		name := attribute.String("pacedhttp.pacer.name", "api")
		number := func(value int64, more ...attribute.KeyValue) metricdata.DataPoint[int64] {
			return metricdata.DataPoint[int64]{Attributes: attribute.NewSet(append(more, name)...), Value: value}
		}
		sum := func(points ...metricdata.DataPoint[int64]) metricdata.Aggregation {
			return metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, DataPoints: points}
		}
		state := func(s string) attribute.KeyValue { return attribute.String("pacedhttp.pacer.state", s) }
		perLimit := func(starts, even, bucket, tokens, points int64) metricdata.Aggregation {
			limit := func(s string) attribute.KeyValue { return attribute.String("pacedhttp.pacer.limit.name", s) }
			unit := func(s string) attribute.KeyValue { return attribute.String("pacedhttp.pacer.limit.unit", s) }
			return sum(
				number(starts, limit("20/s")),
				number(even, limit("5000/h even")),
				number(bucket, limit("2/s bucket 40")),
				number(tokens, limit("90000 tokens/min"), unit("tokens")),
				number(points, limit("50 points/s bucket 1000"), unit("points")),
			)
		}
		got := rec.metrics(t)
		for name, want := range map[string]metricdata.Metrics{
			"pacedhttp.pacer.waiting": {Unit: "{caller}", Description: "Callers that wait for the pacer.",
				Data: sum(number(1))},
			"pacedhttp.pacer.in_flight": {Unit: "{slot}", Description: "Slots of the pacer that are not done.",
				Data: sum(number(1))},
			"pacedhttp.pacer.used": {Unit: "{unit}", Description: "What is used of a limit: starts or cost in its window, or drawn from its bucket.",
				Data: perLimit(1, 1, 1, 700, 30)},
			"pacedhttp.pacer.limit": {Unit: "{unit}", Description: "What a limit allows: starts or cost in its window, or the size of its bucket.",
				Data: perLimit(20, 5000, 40, 90000, 1000)},
			"pacedhttp.pacer.state": {Unit: "1", Description: "1 for the state that the pacer is in, 0 for the others.",
				Data: sum(number(0, state("flowing")), number(1, state("paused")), number(0, state("probing")), number(0, state("down")))},
			"pacedhttp.pacer.paused_for": {Unit: "s", Description: "Time until the end of the pacer's pause.",
				Data: metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{{Attributes: attribute.NewSet(name), Value: 90}}}},
		} {
			want.Name = name
			metricdatatest.AssertEqual(t, want, got[name], metricdatatest.IgnoreTimestamp())
			delete(got, name)
		}
		for name := range got {
			t.Errorf("there is also %s", name)
		}
	})
}

// TestSharedPacerMetricsAreThoseOfTheTable: those that only a pacer has which shares its limits,
// as one of package redispacer does. It has those of any other too.
func TestSharedPacerMetricsAreThoseOfTheTable(t *testing.T) {
	rec := record(t)
	stats := pacer.Burst(100, time.Second).Stats()
	stats.Shared = &pacer.SharedStats{
		Fallback: 4, Unavailable: 5, Returned: 6, Lost: 3, RoundTrips: 20, Failures: 7,
		Reserved: 2, RoundTrip: time.Millisecond, Err: errors.New("connection refused"),
	}
	defer rec.ObservePacer("api", always(stats))()
	local := record(t)
	defer local.ObservePacer("api", pacer.Burst(100, time.Second).Stats)()
	got, others := rec.metrics(t), local.metrics(t)
	total := func(n int64) metricdata.Aggregation {
		return metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
			DataPoints: []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(attribute.String("pacedhttp.pacer.name", "api")), Value: n}}}
	}
	for name, want := range map[string]metricdata.Metrics{
		"pacedhttp.pacer.fallback": {Unit: "{start}", Description: "Starts that the fallback of a shared pacer let happen.",
			Data: total(4)},
		"pacedhttp.pacer.lost": {Unit: "{start}", Description: "Starts that a shared pacer had reserved and neither used nor gave back.",
			Data: total(3)},
		"pacedhttp.pacer.round_trips": {Unit: "{round_trip}", Description: "Round trips that a shared pacer has begun.",
			Data: total(20)},
		"pacedhttp.pacer.failures": {Unit: "{round_trip}", Description: "Round trips of a shared pacer that failed or were not answered in time.",
			Data: total(7)},
	} {
		want.Name = name
		metricdatatest.AssertEqual(t, want, got[name], metricdatatest.IgnoreTimestamp())
		delete(got, name)
	}
	for name := range got {
		if _, local := others[name]; !local {
			t.Errorf("there is also %s", name)
		}
	}
	for name := range others {
		if _, shared := got[name]; !shared {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestPausedForIsTheRestOfThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		var until time.Time
		defer rec.ObservePacer("api", func() pacer.Stats { return pacer.Stats{PausedUntil: until} })()
		want := func(seconds float64) {
			t.Helper()
			if got := observed(t, rec, "paused_for"); !maps.Equal(got, map[string]float64{"pacedhttp.pacer.name=api": seconds}) {
				t.Errorf("paused_for %v, want %v", got, seconds)
			}
		}
		want(0)
		until = time.Now().Add(90 * time.Second)
		want(90)
		time.Sleep(89*time.Second + 750*time.Millisecond)
		want(0.25)
		time.Sleep(time.Second)
		want(0)
	})
}

// TestFlightsAreShownOnceThereAreAny: stats do not say whether anybody counts them.
func TestFlightsAreShownOnceThereAreAny(t *testing.T) {
	rec := record(t)
	p := pacer.Must(pacer.Config{MaxInFlight: 3})
	defer rec.ObservePacer("unbounded", pacer.Burst(1, time.Second).Stats)()
	defer rec.ObservePacer("bounded", p.Stats)()
	want := func(flights map[string]float64) {
		t.Helper()
		if got := observed(t, rec, "in_flight"); !maps.Equal(got, flights) {
			t.Errorf("in_flight %v, want %v", got, flights)
		}
	}
	want(map[string]float64{})
	slot, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want(map[string]float64{"pacedhttp.pacer.name=bounded": 1})
	slot.Done()
	want(map[string]float64{"pacedhttp.pacer.name=bounded": 0})
}

// TestLimitsAreThoseOfTheStats: such as are equal count once, and what is no limit any more
// is shown no more.
func TestLimitsAreThoseOfTheStats(t *testing.T) {
	rec := record(t)
	now := limits(t, "5/s, 9 tokens/s, 5/s")
	defer rec.ObservePacer("api", func() (stats pacer.Stats) {
		for _, l := range now {
			stats.Limits = append(stats.Limits, pacer.LimitStats{Limit: l, Used: 3})
		}
		return stats
	})()
	for _, list := range []string{"5/s, 9 tokens/s, 5/s", "7/s"} {
		now = limits(t, list)
		used, limit := map[string]float64{}, map[string]float64{}
		for _, l := range now {
			unit := ""
			if l.Unit != "" {
				unit = ",pacedhttp.pacer.limit.unit=" + l.Unit
			}
			key := "pacedhttp.pacer.limit.name=" + l.String() + unit + ",pacedhttp.pacer.name=api"
			used[key], limit[key] = 3, float64(l.Calls+l.Cost)
		}
		if got := observed(t, rec, "used"); !maps.Equal(got, used) {
			t.Errorf("used %v, want %v", got, used)
		}
		if got := observed(t, rec, "limit"); !maps.Equal(got, limit) {
			t.Errorf("limit %v, want %v", got, limit)
		}
	}
}

// TestEveryNameIsOnePacer: several names are several pacers, one name is the last.
func TestEveryNameIsOnePacer(t *testing.T) {
	rec := record(t)
	want := func(when string, waiting map[string]float64) {
		t.Helper()
		named := map[string]float64{}
		for name, n := range waiting {
			named["pacedhttp.pacer.name="+name] = n
		}
		if got := observed(t, rec, "waiting"); !maps.Equal(got, named) {
			t.Errorf("%s: waiting %v, want %v", when, got, named)
		}
	}
	one := rec.ObservePacer("one", always(pacer.Stats{Waiting: 1}))
	two := rec.ObservePacer("two", always(pacer.Stats{Waiting: 2}))
	want("two names", map[string]float64{"one": 1, "two": 2})

	var again func()
	errs := reported(func() { again = rec.ObservePacer("one", always(pacer.Stats{Waiting: 4})) })
	if len(errs) != 1 || !strings.Contains(errs[0], `name is "one"`) {
		t.Errorf("reported %q, want the name", errs)
	}
	want("a name again", map[string]float64{"one": 4, "two": 2})
	one()
	want("the former has stopped", map[string]float64{"one": 4, "two": 2})
	errs = reported(func() { again = rec.ObservePacer("one", always(pacer.Stats{Waiting: 8})) })
	if len(errs) != 1 {
		t.Errorf("reported %q, want one error", errs)
	}
	want("a name for the third time", map[string]float64{"one": 8, "two": 2})
	again()
	want("the latter has stopped", map[string]float64{"two": 2})
	two()
	want("all have stopped", map[string]float64{})

	errs = reported(func() { one = rec.ObservePacer("one", always(pacer.Stats{Waiting: 5})) })
	want("after all have stopped", map[string]float64{"one": 5})
	again()
	want("an old one has stopped again", map[string]float64{"one": 5})
	one()
	one()
	want("stopped twice", map[string]float64{})
	if len(errs) > 0 {
		t.Errorf("reported %q, want nothing", errs)
	}
}

func TestNilStatsAreNotObserved(t *testing.T) {
	rec := record(t)
	stop := rec.ObservePacer("api", nil)
	if got := rec.metrics(t); len(got) != 0 {
		t.Errorf("there is %v", got)
	}
	errs := reported(func() { defer rec.ObservePacer("api", always(pacer.Stats{}))() })
	if len(errs) > 0 {
		t.Errorf("reported %q, want nothing", errs)
	}
	stop()
	stop()
}

// TestStatsAreAskedOnceACollection whatever instruments there are, and by each reader.
func TestStatsAreAskedOnceACollection(t *testing.T) {
	one, other := sdkmetric.NewManualReader(), sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(one), sdkmetric.WithReader(other))
	tel := otelpacedhttp.New(otelpacedhttp.WithMeterProvider(meters))
	asked := 0
	stop := tel.ObservePacer("api", func() pacer.Stats { asked++; return pacer.Burst(1, time.Second).Stats() })
	collect := func(reader sdkmetric.Reader, want int) {
		t.Helper()
		if err := reader.Collect(t.Context(), new(metricdata.ResourceMetrics)); err != nil {
			t.Error(err)
		}
		if asked != want {
			t.Errorf("asked %d times, want %d", asked, want)
		}
	}
	collect(one, 1)
	collect(one, 2)
	collect(other, 3)
	stop()
	collect(one, 3)
	collect(other, 3)
}

// TestStatsAreNotAskedAfterStop by collections that go on meanwhile.
func TestStatsAreNotAskedAfterStop(t *testing.T) {
	rec := record(t)
	var over atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !over.Load() {
				rec.metrics(t)
			}
		})
	}
	for i := range 200 {
		var stopped atomic.Bool
		stop := rec.ObservePacer(fmt.Sprint(i%2), func() pacer.Stats {
			if stopped.Load() {
				t.Error("asked after stop")
			}
			return pacer.Stats{}
		})
		var both sync.WaitGroup
		for range 2 {
			both.Go(stop)
		}
		both.Wait()
		stopped.Store(true)
	}
	over.Store(true)
	wg.Wait()
}
