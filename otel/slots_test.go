package otelpacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// budget is a pacer that counts costs in the given units.
func budget(inFlight int, units ...string) *pacer.Pacer {
	cfg := pacer.Config{MaxInFlight: inFlight}
	for _, unit := range units {
		cfg.Limits = append(cfg.Limits, pacer.Limit{Cost: 1000, Unit: unit, Period: time.Hour})
	}
	return pacer.Must(cfg)
}

// An acquirer grants a pacer's slots, and is none itself.
type acquirer struct{ *pacer.Pacer }

func (acquirer) Admit() {} // hides the pacer's

// taken returns the attributes of a span that tell of its slots, without their common prefix.
func taken(s sdktrace.ReadOnlySpan) map[string]int64 {
	attrs := map[string]int64{}
	for _, a := range s.Attributes() {
		if key, ok := strings.CutPrefix(string(a.Key), "pacedhttp.pacing."); ok && key != "wait.duration" {
			attrs[key] = a.Value.AsInt64()
		}
	}
	return attrs
}

// TestAttemptSpanTellsCostAndFlights only where they are counted and bounded.
func TestAttemptSpanTellsCostAndFlights(t *testing.T) {
	tokens := pacer.WithCost(t.Context(), "tokens", 7)
	free := pacer.Burst(10, time.Hour)
	for _, tt := range []struct {
		name string
		ctx  context.Context
		pace []pacedhttp.Waiter
		want map[string]int64
	}{
		{"starts", tokens, []pacedhttp.Waiter{free}, nil},
		{"no slots", tokens, []pacedhttp.Waiter{granting(2)}, nil},
		{"cost", tokens, []pacedhttp.Waiter{budget(0, "tokens")}, map[string]int64{"cost.tokens": 7}},
		{"no cost", pacer.WithCost(t.Context(), "tokens", 0), []pacedhttp.Waiter{budget(0, "tokens")}, map[string]int64{"cost.tokens": 0}},
		{"cost that nobody said", t.Context(), []pacedhttp.Waiter{budget(0, "tokens")}, map[string]int64{"cost.tokens": 1}},
		{"several costs", tokens, []pacedhttp.Waiter{budget(0, "points", "tokens")}, map[string]int64{"cost.points": 1, "cost.tokens": 7}},
		{"flights", tokens, []pacedhttp.Waiter{budget(3)}, map[string]int64{"in_flight": 1}},
		{"cost and flights", tokens, []pacedhttp.Waiter{budget(3, "tokens")}, map[string]int64{"in_flight": 1, "cost.tokens": 7}},
		{"acquirer", tokens, []pacedhttp.Waiter{acquirer{budget(3, "tokens")}}, map[string]int64{"in_flight": 1, "cost.tokens": 7}},
		{"several pacers", tokens, []pacedhttp.Waiter{budget(0, "tokens"), free, budget(3, "points")},
			map[string]int64{"in_flight": 1, "cost.points": 1, "cost.tokens": 7}},
		{"cost, then flights", tokens, []pacedhttp.Waiter{budget(0, "tokens"), budget(3)}, map[string]int64{"in_flight": 1, "cost.tokens": 7}},
		{"flights, then cost", tokens, []pacedhttp.Waiter{budget(3), budget(0, "tokens")}, map[string]int64{"in_flight": 1, "cost.tokens": 7}},
	} {
		for name, retry := range map[string]pacedhttp.Middleware{"": nil, ", below Retry": pacedhttp.Retry(nil)} {
			t.Run(tt.name+name, func(t *testing.T) {
				rec := record(t)
				mw := []pacedhttp.Middleware{rec.Call, retry}
				for _, w := range tt.pace {
					mw = append(mw, pacedhttp.Pace(w))
				}
				getContext(t, tt.ctx, pacedhttp.New(answering(200), append(mw, rec.Attempt)...), "http://example.com/")
				required := slices.Concat(startKeys, []string{"pacedhttp.pacing.wait.duration"})
				for key := range tt.want {
					required = append(required, "pacedhttp.pacing."+key)
				}
				span := rec.attempts(t, 1)[0]
				wantKeys(t, "span", span.Attributes(), required, laterKeys)
				wantKeys(t, "sampler", rec.sampler.seen["GET"], required, nil)
				wantKeys(t, "call", rec.calls(t, 1)[0].Attributes(), []string{"server.address", "server.port", "pacedhttp.attempts", "pacedhttp.pacing.wait.duration"}, nil)
				if got := taken(span); !maps.Equal(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
			})
		}
	}
}

// pacedBy tells what a Pace layer does whose pacer let each attempt start by its fallback, or not.
func pacedBy(fallback ...bool) pacedhttp.Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			told := pacedhttp.SlotInfo{Request: req}
			if attempt, _ := pacedhttp.AttemptFromContext(req.Context()); fallback[attempt.Number-1] {
				told.Fallback = errors.New("connection refused")
			}
			otelpacedhttp.SlotAcquired(req.Context(), told)
			return next.RoundTrip(req)
		})
	}
}

// TestSpansTellThatAFallbackPaced: that of each attempt which it let start, whatever other pacer
// the attempt passed, and that of the call.
func TestSpansTellThatAFallbackPaced(t *testing.T) {
	const key = "pacedhttp.pacing.fallback"
	for _, tt := range []struct {
		name     string
		pace     []pacedhttp.Middleware
		attempts [2]bool
	}{
		{"none", []pacedhttp.Middleware{pacedBy(false, false)}, [2]bool{false, false}},
		{"the first attempt", []pacedhttp.Middleware{pacedBy(true, false)}, [2]bool{true, false}},
		{"the second", []pacedhttp.Middleware{pacedBy(false, true)}, [2]bool{false, true}},
		{"an outer pacer", []pacedhttp.Middleware{pacedBy(true, false), pacedBy(false, false)}, [2]bool{true, false}},
		{"an inner pacer", []pacedhttp.Middleware{pacedBy(false, false), pacedBy(true, false)}, [2]bool{true, false}},
		{"each of one", []pacedhttp.Middleware{pacedBy(true, false), pacedBy(false, true)}, [2]bool{true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t)
			mw := slices.Concat([]pacedhttp.Middleware{rec.Call, pacedhttp.Retry(twice())}, tt.pace, []pacedhttp.Middleware{rec.Attempt})
			get(t, pacedhttp.New(answering(503), mw...), "http://example.com/")
			want := func(what string, s sdktrace.ReadOnlySpan, told bool) {
				t.Helper()
				has := slices.ContainsFunc(s.Attributes(), func(a attribute.KeyValue) bool { return a.Key == key })
				if has != told || told && !value(s, key).AsBool() {
					t.Errorf("%s has %v, want it to tell: %v", what, s.Attributes(), told)
				}
			}
			for i, s := range rec.attempts(t, 2) {
				want(fmt.Sprint("attempt ", i+1), s, tt.attempts[i])
			}
			want("the call", rec.calls(t, 1)[0], tt.attempts[0] || tt.attempts[1])
			if last := slices.ContainsFunc(rec.sampler.seen["GET"], func(a attribute.KeyValue) bool { return a.Key == key }); last != tt.attempts[1] {
				t.Errorf("the sampler saw that the last attempt fell back: %v, want %v", last, tt.attempts[1])
			}
		})
	}
}

// TestCostAndFlightsBelongToTheirSend also where sends of one attempt, or of several, lie
// within each other or side by side.
func TestCostAndFlightsBelongToTheirSend(t *testing.T) {
	lost := func(next http.RoundTripper) http.RoundTripper { // the first, above the Attempt layer
		first := true
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if first {
				first = false
				return nil, io.ErrUnexpectedEOF
			}
			return next.RoundTrip(req)
		})
	}
	together := func(next http.RoundTripper) http.RoundTripper { // two
		var both sync.WaitGroup
		both.Add(2)
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			both.Done()
			both.Wait()
			return next.RoundTrip(req)
		})
	}
	noToken := pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return errors.New("no token") })
	fallback := func(r *recorder, mw ...pacedhttp.Middleware) pacedhttp.Middleware {
		backup := pacedhttp.New(answering(200), append(mw, r.Attempt)...)
		return pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
			return backup.RoundTrip(req)
		})
	}
	authorize := func(r *recorder) pacedhttp.Middleware {
		tokens := pacedhttp.New(answering(200), pacedhttp.Pace(budget(0, "points")), r.Attempt)
		return pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			getContext(t, req.Context(), tokens, "http://tokens.example.com/")
			return nil
		})
	}
	const all, points = "map[cost.tokens:7 in_flight:1]", "map[cost.points:1]"
	none, second := "map[]", "map[cost.tokens:7 in_flight:2]"
	for _, tt := range []struct {
		name   string
		layers func(r *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware
		status int
		want   []string // sorted
	}{
		{"retries", func(_ *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(twice()), pace}
		}, 503, []string{all, all}},
		{"hedging above Retry", func(_ *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{hedge, pacedhttp.Retry(twice()), pace, together}
		}, 200, []string{all, second}},
		{"hedging of flights alone", func(*recorder, pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{hedge, pacedhttp.Pace(budget(9)), together}
		}, 200, []string{"map[in_flight:1]", "map[in_flight:2]"}},
		{"hedging of costs alone", func(*recorder, pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{hedge, pacedhttp.Pace(budget(0, "credits")), together}
		}, 200, []string{"map[cost.credits:1]", "map[cost.credits:1]"}},
		{"hedging without Retry", func(_ *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{hedge, pace, together}
		}, 200, []string{all, second}},
		{"a second request between Retry and Pace", func(_ *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(twice()), inTurn, pace}
		}, 200, []string{all, all}},
		{"hedging below Pace", func(_ *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(twice()), pace, hedge}
		}, 200, []string{none, all}},
		{"a token, above Pace", func(r *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(twice()), authorize(r), pace}
		}, 503, []string{points, points, all, all}},
		{"a token, below Pace", func(r *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(twice()), pace, authorize(r)}
		}, 503, []string{points, points, all, all}},
		{"a slot that was not used, and a fallback", func(r *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{fallback(r, pacedhttp.Retry(twice())), pacedhttp.Retry(twice()), pace, noToken}
		}, 200, []string{none}},
		{"a slot that was not used before the last attempt, and a fallback", func(r *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{fallback(r, pacedhttp.Retry(twice())), pacedhttp.Retry(twice()), pace, lost}
		}, 503, []string{none, all}},
		{"an inner pacer refuses, and a fallback", func(r *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{fallback(r), pace, pacedhttp.Pace(granting(0))}
		}, 200, []string{none}},
		{"the pacer of a token refuses", func(_ *recorder, pace pacedhttp.Middleware) []pacedhttp.Middleware {
			tokens := pacedhttp.New(answering(200), pacedhttp.Pace(granting(0)))
			return []pacedhttp.Middleware{pacedhttp.Retry(twice()), pace, pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
				_, _ = tokens.RoundTrip(newRequest(t, req.Context(), http.MethodGet, "http://tokens.example.com/"))
				return nil
			})}
		}, 200, []string{all}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t)
			ctx := pacer.WithCost(t.Context(), "tokens", 7)
			mw := slices.Concat([]pacedhttp.Middleware{rec.Call}, tt.layers(rec, pacedhttp.Pace(budget(9, "tokens"))), []pacedhttp.Middleware{rec.Attempt})
			getContext(t, ctx, pacedhttp.New(answering(tt.status), mw...), "http://example.com/")
			var got []string
			for _, s := range rec.ended(trace.SpanKindClient) {
				got = append(got, fmt.Sprint(taken(s)))
				if host := value(s, "server.address").AsString(); (got[len(got)-1] == points) != (host == "tokens.example.com") {
					t.Errorf("%s has %s", host, got[len(got)-1])
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// TestSlotsOfSeveralRetryLayersAtOnceAreAllTold although attempts end while another has its
// slot and is not sent yet: one of the same number, or the next.
func TestSlotsOfSeveralRetryLayersAtOnceAreAllTold(t *testing.T) {
	for _, backoff := range []time.Duration{time.Second, time.Second / 4} {
		t.Run(backoff.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(backoff)})
				rec, pace := record(t), pacedhttp.Pace(budget(0, "tokens"))
				get(t, pacedhttp.New(answering(503), rec.Call, twiceAtHalfASecond, pacedhttp.Retry(policy), pace, slow, rec.Attempt), "http://example.com/")
				for i, s := range rec.attempts(t, 8) {
					if got := fmt.Sprint(taken(s)); got != "map[cost.tokens:1]" {
						t.Errorf("span %d has %s", i+1, got)
					}
				}
			})
		})
	}
}

// TestSlotIsNotOfARequestBesideIt that no Retry layer made.
func TestSlotIsNotOfARequestBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, pace := record(t), pacedhttp.Pace(budget(0, "tokens"))
		backup := rec.Attempt(answering(200))
		beside := func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				time.AfterFunc(time.Second/2, func() { getContext(t, req.Context(), backup, "http://backup.example.com/") })
				return next.RoundTrip(req)
			})
		}
		get(t, pacedhttp.New(answering(200), rec.Call, beside, pacedhttp.Retry(nil), pace, slow, rec.Attempt), "http://example.com/")
		for i, want := range []string{"map[]", "map[cost.tokens:1]"} {
			if got := fmt.Sprint(taken(rec.attempts(t, 2)[i])); got != want {
				t.Errorf("span %d has %s, want %s", i+1, got, want)
			}
		}
	})
}

// TestFallbackDoesNotInheritAnOuterPacersWait where an inner one refused.
func TestFallbackDoesNotInheritAnOuterPacersWait(t *testing.T) {
	rec := record(t)
	backup := rec.Attempt(answering(200))
	fallback := pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
		return backup.RoundTrip(req)
	})
	get(t, pacedhttp.New(answering(200), rec.Call, fallback, pacedhttp.Pace(granting(1)), pacedhttp.Pace(granting(0)), rec.Attempt), "http://example.com/")
	wantKeys(t, "span", rec.attempts(t, 1)[0].Attributes(), startKeys, laterKeys)
}

// TestCostsOfASpanAreAtMostSixteen although two pacers may count in twenty units.
func TestCostsOfASpanAreAtMostSixteen(t *testing.T) {
	var units, want []string
	for u := range 20 {
		units = append(units, fmt.Sprintf("u%02d", u))
		if u < 16 {
			want = append(want, "pacedhttp.pacing.cost."+units[u])
		}
	}
	rec := record(t)
	get(t, pacedhttp.New(answering(200), rec.Call, pacedhttp.Pace(budget(0, units[10:]...)), pacedhttp.Pace(budget(0, units[:10]...)), rec.Attempt), "http://example.com/")
	wantKeys(t, "span", rec.attempts(t, 1)[0].Attributes(), want, slices.Concat(startKeys, laterKeys, []string{"pacedhttp.pacing.wait.duration"}))
}

// TestCostsAreNotSharedWithOtherHooks: what another hook does with the map is its own matter,
// and so is what telemetry does.
func TestCostsAreNotSharedWithOtherHooks(t *testing.T) {
	var told []map[string]int
	other := pacedhttp.Observe(pacedhttp.Hooks{SlotAcquired: func(_ context.Context, i pacedhttp.SlotInfo) {
		told = append(told, maps.Clone(i.Costs))
		clear(i.Costs)
	}})
	rec := record(t)
	get(t, pacedhttp.New(answering(200), other, rec.Call, pacedhttp.Pace(budget(0, "tokens")), pacedhttp.Pace(budget(0, "points")), rec.Attempt), "http://example.com/")
	if got := fmt.Sprint(taken(rec.attempts(t, 1)[0])); got != "map[cost.points:1 cost.tokens:1]" {
		t.Errorf("span has %s", got)
	}
	if got := fmt.Sprint(told); got != "[map[tokens:1] map[points:1]]" {
		t.Errorf("the other hook was told %s", got)
	}
}
