package otelpacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// histogram returns the data points of a histogram, none if it has none.
func histogram[N int64 | float64](t testing.TB, rec *recorder, name string) []metricdata.HistogramDataPoint[N] {
	t.Helper()
	m, ok := rec.metrics(t)[name]
	if !ok {
		return nil
	}
	h, ok := m.Data.(metricdata.Histogram[N])
	if !ok {
		t.Fatalf("%s is a %T", name, m.Data)
	}
	return h.DataPoints
}

// TestMetricsAreThoseOfTheTable makes every instrument measure and pins its name, unit,
// kind, scale and attributes.
func TestMetricsAreThoseOfTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		fallback := pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))
		rt := pacedhttp.New(answering(503), rec.Call, fallback, pacedhttp.Retry(steady()), pacedhttp.Pace(pacer.Drip(1, 2*time.Second)), rec.Attempt)
		get(t, rt, "https://example.com/users/7?tenant=9") // sends at 0, 2, 4 and 6 s

		attrs := func(more ...attribute.KeyValue) attribute.Set {
			return attribute.NewSet(append(more, semconv.ServerAddress("example.com"), semconv.ServerPort(443))...)
		}
		seconds := func(bounds []float64, set attribute.Set, values ...float64) metricdata.Aggregation {
			return metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality,
				DataPoints: []metricdata.HistogramDataPoint[float64]{point(bounds, set, values...)}}
		}
		request := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
		wait := append(request[:len(request):len(request)], 30, 60, 120)
		method := semconv.HTTPRequestMethodGet

		got := rec.metrics(t)
		for name, want := range map[string]metricdata.Metrics{
			"http.client.request.duration": {Unit: "s", Description: "Duration of HTTP client requests.",
				Data: seconds(request, attrs(method, semconv.HTTPResponseStatusCode(503), attribute.String("error.type", "503"),
					semconv.NetworkProtocolVersion("1.1")), 0, 0, 0, 0)},
			"pacedhttp.call.duration": {Unit: "s", Description: "Duration of HTTP calls, with their retries, waits and fallbacks.",
				Data: seconds(wait, attrs(method, attribute.Bool("pacedhttp.fallback.used", true)), 6)},
			"pacedhttp.call.retries": {Unit: "{retry}", Description: "Retries of the calls that had any.",
				Data: metricdata.Histogram[int64]{Temporality: metricdata.CumulativeTemporality,
					DataPoints: []metricdata.HistogramDataPoint[int64]{point[int64]([]float64{1, 2, 3, 4, 5}, attrs(method), 3)}}},
			"pacedhttp.call.retry_delay": {Unit: "s", Description: "Time that the calls with retries spent in backoff.",
				Data: seconds(wait, attrs(method), 3)},
			"pacedhttp.pacing.request.time_in_queue": {Unit: "s", Description: "Time that requests waited for a slot.",
				Data: seconds(wait, attrs(attribute.String("pacedhttp.pacing.result", "acquired")), 0, 1, 1, 1)},
			"pacedhttp.pacing.request.queued": {Unit: "{request}", Description: "Requests that wait for a slot.",
				Data: metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality,
					DataPoints: []metricdata.DataPoint[int64]{{Attributes: attrs(), Value: 0}}}},
			"pacedhttp.retry.denials": {Unit: "{retry}", Description: "Failures that were not tried again although another attempt might have helped.",
				Data: metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
					DataPoints: []metricdata.DataPoint[int64]{{Attributes: attrs(attribute.String("pacedhttp.retry.denial.reason", "max_attempts")), Value: 1}}}},
			"pacedhttp.fallbacks": {Unit: "{fallback}", Description: "Fallbacks that were asked for an answer.",
				Data: metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
					DataPoints: []metricdata.DataPoint[int64]{{Attributes: attrs(), Value: 1}}}},
		} {
			want.Name = name
			metricdatatest.AssertEqual(t, want, got[name], metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
			delete(got, name)
		}
		for name := range got {
			t.Errorf("there is also %s", name)
		}
	})
}

// point is the data point of a histogram of values.
func point[N int64 | float64](bounds []float64, set attribute.Set, values ...N) metricdata.HistogramDataPoint[N] {
	p := metricdata.HistogramDataPoint[N]{Attributes: set, Bounds: bounds, BucketCounts: make([]uint64, len(bounds)+1), Count: uint64(len(values))}
	least, most := values[0], values[0]
	for _, v := range values {
		i := 0
		for i < len(bounds) && float64(v) > bounds[i] {
			i++
		}
		p.BucketCounts[i]++
		p.Sum += v
		least, most = min(least, v), max(most, v)
	}
	p.Min, p.Max = metricdata.NewExtrema(least), metricdata.NewExtrema(most)
	return p
}

func TestCallsWithoutRetriesAreNotInTheRetryMetrics(t *testing.T) {
	rec := record(t)
	get(t, pacedhttp.New(answering(200), rec.Call, pacedhttp.Retry(nil), rec.Attempt), "http://example.com/")
	for _, name := range []string{"pacedhttp.call.retries", "pacedhttp.call.retry_delay", "pacedhttp.retry.denials", "pacedhttp.fallbacks"} {
		if _, ok := rec.metrics(t)[name]; ok {
			t.Errorf("there is %s", name)
		}
	}
}

func TestEachAttemptIsMeasuredOnItsOwn(t *testing.T) {
	rec, srv := record(t), serveHTTP2(t, 503, 503, 200)
	get(t, pacedhttp.New(srv.base(t), rec.Call, pacedhttp.Retry(patient()), rec.Attempt), srv.URL)
	counts := map[string]uint64{}
	for _, p := range histogram[float64](t, rec, "http.client.request.duration") {
		status, _ := p.Attributes.Value("http.response.status_code")
		errorType, _ := p.Attributes.Value("error.type")
		protocol, _ := p.Attributes.Value("network.protocol.version")
		counts[fmt.Sprint(status.AsInt64(), " ", errorType.AsString(), " ", protocol.AsString())] = p.Count
	}
	if len(counts) != 2 || counts["503 503 2"] != 2 || counts["200  2"] != 1 {
		t.Errorf("counts %v", counts)
	}
}

func TestQueuedCountsThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		rt := pacedhttp.New(answering(200, 200, 200), rec.Call, pacedhttp.Pace(pacer.Drip(1, time.Second)))
		for range 3 {
			go get(t, rt, "http://example.com/")
		}
		for _, want := range []int64{2, 1, 0} {
			synctest.Wait()
			sum := rec.metrics(t)["pacedhttp.pacing.request.queued"].Data.(metricdata.Sum[int64])
			if sum.IsMonotonic {
				t.Error("a gauge of those who wait is not monotonic")
			}
			if got := sum.DataPoints[0].Value; got != want {
				t.Errorf("queued = %d, want %d", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestQueuedComesDownWhateverHappens is a Waiter that panics, and one that a layer left
// behind in a goroutine.
func TestQueuedComesDownWhateverHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				go next.RoundTrip(req)
				synctest.Wait()
				return answering(200).RoundTrip(req)
			})
		}
		for name, tt := range map[string]struct {
			layer pacedhttp.Middleware
			waits waiter
		}{
			"panic":       {nil, func(context.Context) error { panic("boom") }},
			"left behind": {left, func(context.Context) error { time.Sleep(time.Second); return nil }},
		} {
			rec := record(t)
			func() {
				defer func() { _ = recover() }()
				_ = send(t.Context(), pacedhttp.New(answering(200), rec.Call, tt.layer, pacedhttp.Pace(tt.waits)))
			}()
			for _, when := range []string{"at the end of the call", "and later"} {
				points := rec.metrics(t)["pacedhttp.pacing.request.queued"].Data.(metricdata.Sum[int64]).DataPoints
				if len(points) != 1 || points[0].Value != 0 {
					t.Errorf("%s: queued %v %s, want 0", name, points, when)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
			}
		}
	})
}

// TestWaitIsForTheServerThatTheRequestGoesTo is a fallback that is paced too.
func TestWaitIsForTheServerThatTheRequestGoesTo(t *testing.T) {
	rec := record(t)
	pace := pacedhttp.Pace(pacer.Burst(10, time.Second))
	backup := pacedhttp.New(answering(200), pace, rec.Attempt)
	fallback := pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
		return backup.RoundTrip(newRequest(t, req.Context(), http.MethodGet, "http://backup.example.com/"))
	})
	get(t, pacedhttp.New(answering(500), rec.Call, fallback, pace, rec.Attempt), "http://example.com/")
	waits := map[string]uint64{}
	for _, p := range histogram[float64](t, rec, "pacedhttp.pacing.request.time_in_queue") {
		host, _ := p.Attributes.Value("server.address")
		waits[host.AsString()] = p.Count
	}
	if len(waits) != 2 || waits["example.com"] != 1 || waits["backup.example.com"] != 1 {
		t.Errorf("waits %v, want one for each server", waits)
	}
	for _, p := range rec.metrics(t)["pacedhttp.pacing.request.queued"].Data.(metricdata.Sum[int64]).DataPoints {
		if p.Value != 0 {
			t.Errorf("queued %v, want none", p)
		}
	}
}

// TestRetryThatThePacerRefusesIsDenied tells it from a failure that no retry would mend,
// and from a call that was not sent at all.
func TestRetryThatThePacerRefusesIsDenied(t *testing.T) {
	for name, tt := range map[string]struct {
		slots   int
		err     func(*testing.T) error
		denials int
		reason  string
	}{
		"full queue":    {1, fullQueue, 1, "pacing_queue_full"},
		"other":         {1, func(*testing.T) error { return errors.New("closed") }, 1, "pacing_refused"},
		"first slot":    {0, fullQueue, 0, "pacing_queue_full"},
		"no slots ever": {0, func(*testing.T) error { return errors.New("closed") }, 0, "pacing_refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec, slots, refusal := record(t), granting(tt.slots), tt.err(t)
				pace := pacedhttp.Pace(waiter(func(ctx context.Context) error {
					if slots(ctx) != nil {
						return refusal
					}
					return nil
				}))
				_ = send(t.Context(), pacedhttp.New(answering(503), rec.Call, pacedhttp.Retry(patient()), pace, rec.Attempt))
				if got := denials(t, rec); len(got) != tt.denials || tt.denials > 0 && got[tt.reason] != 1 {
					t.Errorf("denials %v, want %d for %q", got, tt.denials, tt.reason)
				}
				if got := value(rec.calls(t, 1)[0], "pacedhttp.reason").AsString(); got != tt.reason {
					t.Errorf("pacedhttp.reason = %q, want %q", got, tt.reason)
				}
			})
		})
	}
}

// fullQueue returns what a pacer says when too many wait.
func fullQueue(t *testing.T) error {
	p, err := pacer.New(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Hour}}, MaxWaiting: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.Allow()
	ctx, cancel := context.WithCancel(t.Context())
	go p.Wait(ctx)
	synctest.Wait()
	err = p.Wait(ctx)
	cancel()
	synctest.Wait()
	return err
}

// TestOldRefusalIsNotTheReasonOfALaterFailure is a fallback whose own chain fails.
func TestOldRefusalIsNotTheReasonOfALaterFailure(t *testing.T) {
	rec := record(t)
	backup := pacedhttp.New(failing(pacedhttpError{}), pacedhttp.Retry(patient()))
	fallback := pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
		return backup.RoundTrip(req)
	})
	_ = send(t.Context(), pacedhttp.New(answering(200), rec.Call, fallback, pacedhttp.Pace(granting(0))))
	if got := denials(t, rec); len(got) != 0 {
		t.Errorf("denials %v, want none", got)
	}
	if got := value(rec.calls(t, 1)[0], "pacedhttp.reason").AsString(); got != "not_retryable" {
		t.Errorf("pacedhttp.reason = %q, want not_retryable", got)
	}
}

// denials returns how often retries were denied, by reason.
func denials(t *testing.T, rec *recorder) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	if m, ok := rec.metrics(t)["pacedhttp.retry.denials"]; ok {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			reason, _ := p.Attributes.Value("pacedhttp.retry.denial.reason")
			counts[reason.AsString()] = p.Value
		}
	}
	return counts
}

func TestDenialsTellWhy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		base   http.RoundTripper
		method string
		cfg    retrypolicy.Config
		want   string
	}{
		{"accepted", answering(200), "GET", retrypolicy.Config{}, ""},
		{"not a failure", answering(404), "GET", retrypolicy.Config{}, ""},
		{"exhausted", answering(503), "GET", retrypolicy.Config{MaxAttempts: 2}, "max_attempts"},
		{"not idempotent", answering(500), "POST", retrypolicy.Config{}, "method_not_idempotent"},
		{"out of budget", answering(503), "GET", retrypolicy.Config{Budget: retrypolicy.NewBudget(0.1, 0)}, "budget_exhausted"},
		{"out of time", answering(503), "GET", retrypolicy.Config{MaxElapsed: time.Millisecond}, "max_elapsed"},
		{"hopeless", failing(pacedhttpError{}), "GET", retrypolicy.Config{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				tt.cfg.Backoff = retrypolicy.Constant(time.Second)
				rt := pacedhttp.New(tt.base, rec.Call, pacedhttp.Retry(retrypolicy.Must(tt.cfg)))
				_, _ = rt.RoundTrip(newRequest(t, t.Context(), tt.method, "http://example.com/"))
				want := map[string]int64{}
				if tt.want != "" {
					want[tt.want] = 1
				}
				if got := denials(t, rec); !maps.Equal(got, want) {
					t.Errorf("denials %v, want %v", got, want)
				}
			})
		})
	}
}

// pacedhttpError is an error that no retry would mend.
type pacedhttpError struct{}

func (pacedhttpError) Error() string   { return "hopeless" }
func (pacedhttpError) Retryable() bool { return false }

func TestFailedFallbackHasAnErrorType(t *testing.T) {
	rec := record(t)
	fallback := pacedhttp.Fallback(func(*http.Request, *http.Response, error) (*http.Response, error) {
		return nil, namedError("cache_miss")
	})
	_ = send(t.Context(), pacedhttp.New(failing(errors.New("down")), rec.Call, fallback))
	p := rec.metrics(t)["pacedhttp.fallbacks"].Data.(metricdata.Sum[int64]).DataPoints[0]
	if got, _ := p.Attributes.Value("error.type"); got.AsString() != "cache_miss" || p.Value != 1 {
		t.Errorf("fallbacks %v", p)
	}
	wantEnd(t, rec.calls(t, 1)[0], "cache_miss")
}

// TestFallbackCutOffByTheCallerDidNotFail and did not answer either.
func TestFallbackCutOffByTheCallerDidNotFail(t *testing.T) {
	rec := record(t)
	ctx, cancel := context.WithCancel(t.Context())
	fallback := pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
		cancel()
		return nil, req.Context().Err()
	})
	_ = send(ctx, pacedhttp.New(answering(503), rec.Call, fallback, rec.Attempt))
	if m, ok := rec.metrics(t)["pacedhttp.fallbacks"]; ok {
		t.Errorf("fallbacks %v, want none", m.Data)
	}
	wantEnd(t, rec.calls(t, 1)[0], "")
}

func TestRetryDelayIsCutShortWithItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1250*time.Millisecond, cancel) // in the second backoff
		_ = send(ctx, pacedhttp.New(answering(503), rec.Call, pacedhttp.Retry(steady()), rec.Attempt))
		if got := histogram[float64](t, rec, "pacedhttp.call.retry_delay")[0].Sum; got != 1.25 {
			t.Errorf("retry_delay = %v, want 1.25", got)
		}
		if got := histogram[int64](t, rec, "pacedhttp.call.retries")[0].Sum; got != 1 {
			t.Errorf("retries = %v, want 1", got)
		}
		if got := denials(t, rec); len(got) != 0 { // the caller denied himself the retry
			t.Errorf("denials %v, want none", got)
		}
		wantEnd(t, rec.calls(t, 1)[0], "")
	})
}

func TestManyServersAreMeasuredWithoutGrowth(t *testing.T) {
	rec := record(t)
	rt := pacedhttp.New(answering(200), rec.Call, rec.Attempt)
	for i := range 1500 {
		get(t, rt, fmt.Sprintf("http://host-%d.example.com/", i))
	}
	get(t, rt, "http://host-0.example.com/")
	for _, p := range histogram[float64](t, rec, "pacedhttp.call.duration") {
		if host, _ := p.Attributes.Value("server.address"); host.AsString() == "host-0.example.com" && p.Count != 2 {
			t.Errorf("host-0 was called %d times, want 2", p.Count)
		}
	}
}

func TestPausesAreCountedByWhatCausedThem(t *testing.T) {
	for name, tt := range map[string]struct {
		resp *http.Response
		err  error
		want []attribute.KeyValue // nil: none
	}{
		"throttled":          {&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"5"}}}, nil, []attribute.KeyValue{semconv.HTTPResponseStatusCode(429)}},
		"without a delay":    {&http.Response{StatusCode: 429}, nil, []attribute.KeyValue{semconv.HTTPResponseStatusCode(429)}},
		"a quota is used up": {&http.Response{StatusCode: 200, Header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"7"}}}, nil, []attribute.KeyValue{semconv.HTTPResponseStatusCode(200)}},
		"an error":           {nil, errBusy{}, []attribute.KeyValue{attribute.String("error.type", "busy")}},
		"nothing":            {&http.Response{StatusCode: 503}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
					if a.Err != nil {
						return retrypolicy.Throttled
					}
					return retrypolicy.DefaultClassifier(a)
				}})
				base := pacedhttp.RoundTripperFunc(func(*http.Request) (*http.Response, error) { return tt.resp, tt.err })
				_ = send(t.Context(), pacedhttp.New(base, rec.Call, pacedhttp.Retry(policy), pacedhttp.Pace(pacer.Burst(9, time.Second))))
				got := rec.metrics(t)["pacedhttp.pacing.pauses"]
				if tt.want == nil {
					if got.Name != "" {
						t.Errorf("counted %v", got)
					}
					return
				}
				set := attribute.NewSet(append(tt.want, semconv.ServerAddress("example.com"), semconv.ServerPort(80))...)
				want := metricdata.Metrics{Name: "pacedhttp.pacing.pauses", Unit: "{pause}", Description: "Pauses of a pacer that an answer began or lengthened.",
					Data: metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
						DataPoints: []metricdata.DataPoint[int64]{{Attributes: set, Value: 1}}}}
				metricdatatest.AssertEqual(t, want, got, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
			})
		})
	}
}

type errBusy struct{}

func (errBusy) Error() string     { return "busy" }
func (errBusy) ErrorType() string { return "busy" }
