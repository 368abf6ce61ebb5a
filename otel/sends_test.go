package otelpacedhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// twice retries once, at once.
func twice() *retrypolicy.Policy {
	return retrypolicy.Must(retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.Constant(time.Nanosecond)})
}

// toBackup is a fallback that sends the request to a base of its own.
func toBackup(rec *recorder) pacedhttp.Middleware {
	backup := rec.Attempt(answering(200))
	return pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
		return backup.RoundTrip(req)
	})
}

// granting is a Waiter that has so many slots.
func granting(slots int) waiter {
	return func(context.Context) error {
		if slots--; slots < 0 {
			return errors.New("closed")
		}
		return nil
	}
}

// foreign is a layer that nothing can look through.
func foreign(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) { return next.RoundTrip(req) })
}

// hedge sends every request twice at once.
func hedge(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		var resps [2]*http.Response
		var wg sync.WaitGroup
		for i := range resps {
			wg.Go(func() { resps[i], _ = next.RoundTrip(req) })
		}
		wg.Wait()
		_ = resps[1].Body.Close()
		return resps[0], nil
	})
}

// inTurn sends every request twice, one after the other.
func inTurn(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if resp, err := next.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
		return next.RoundTrip(req)
	})
}

// twiceAtHalfASecond sends every request again half a second later, and waits for both.
func twiceAtHalfASecond(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			time.Sleep(time.Second / 2)
			if resp, err := next.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		})
		return next.RoundTrip(req)
	})
}

// slow takes a second before it sends.
func slow(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		time.Sleep(time.Second)
		return next.RoundTrip(req)
	})
}

// resendCounts returns the resend counts of spans, in the order of their start; 0 is an
// absent one.
func resendCounts(t *testing.T, spans []sdktrace.ReadOnlySpan) []int64 {
	t.Helper()
	var counts []int64
	for _, s := range spans {
		v := value(s, "http.request.resend_count")
		if v.AsInterface() == int64(0) {
			t.Error("a resend count of 0 is to be left out")
		}
		counts = append(counts, v.AsInt64())
	}
	slices.Sort(counts) // concurrent sends end in any order
	return counts
}

// TestSendsAreCountedWhereTheyAreMade pins that what counts is that a request reached an
// Attempt layer, not that a Retry layer meant to send one, and how often it did.
func TestSendsAreCountedWhereTheyAreMade(t *testing.T) {
	noToken := pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return errors.New("no token") })
	noSecondToken := pacedhttp.Prepare(func(_ *http.Request, a pacedhttp.AttemptInfo) error {
		if a.Number == 2 {
			return errors.New("no token")
		}
		return nil
	})
	lostSecond := func(next http.RoundTripper) http.RoundTripper { // above the Attempt layer
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if a, _ := pacedhttp.AttemptFromContext(req.Context()); a.Number == 2 {
				return nil, io.ErrUnexpectedEOF
			}
			return next.RoundTrip(req)
		})
	}
	lostOnce := func() pacedhttp.Middleware { // the first second attempt
		lost := false
		return func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				if a, _ := pacedhttp.AttemptFromContext(req.Context()); a.Number == 2 && !lost {
					lost = true
					return nil, io.ErrUnexpectedEOF
				}
				return next.RoundTrip(req)
			})
		}
	}
	free := pacedhttp.Pace(pacer.Burst(1000, time.Second))
	for _, tt := range []struct {
		name    string
		layers  func(*recorder) []pacedhttp.Middleware
		status  []int
		counts  []int64
		retries int64
	}{
		{"a token that cannot be had", func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{toBackup(r), pacedhttp.Retry(patient()), noToken}
		}, []int{200}, []int64{0}, 0},
		{"a second token that cannot be had", func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{toBackup(r), pacedhttp.Retry(patient()), noSecondToken}
		}, []int{503}, []int64{0, 1}, 0},
		{"a retry that is lost above", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(patient()), lostSecond, hedge}
		}, []int{503, 503, 200}, []int64{0, 1, 2, 3}, 1},
		{"the second of two pacers refuses", func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{toBackup(r), pacedhttp.Retry(patient()), free, pacedhttp.Pace(granting(0))}
		}, []int{200}, []int64{0}, 0},
		{"the pacer refuses the retry", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(patient()), pacedhttp.Pace(granting(1))}
		}, []int{503}, []int64{0}, 0},
		{"the second of two pacers refuses the retry", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(patient()), free, pacedhttp.Pace(granting(1))}
		}, []int{503}, []int64{0}, 0},
		{"a pacer behind a foreign layer refuses the retry", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(patient()), foreign, pacedhttp.Pace(granting(1))}
		}, []int{503}, []int64{0}, 0},
		{"a fallback below Retry", func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(patient()), toBackup(r)}
		}, []int{503}, []int64{0, 1}, 0},
		{"hedging below Retry", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(patient()), hedge}
		}, []int{200}, []int64{0, 1}, 0},
		{"hedging below Retry, retried", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(twice()), hedge}
		}, []int{503}, []int64{0, 1, 2, 3}, 1},
		{"a second request above Retry", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{inTurn, pacedhttp.Retry(twice())}
		}, []int{503}, []int64{0, 1, 2, 3}, 2},
		{"a retry that is lost above, and one of a second request", func(*recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{inTurn, pacedhttp.Retry(twice()), lostOnce(), hedge}
		}, []int{503}, []int64{0, 1, 2, 3, 4, 5}, 1},
		{"no Retry", func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{toBackup(r)}
		}, []int{503}, []int64{0, 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, srv := record(t), serve(t, tt.status...)
			mw := slices.Concat([]pacedhttp.Middleware{rec.Call}, tt.layers(rec), []pacedhttp.Middleware{rec.Attempt})
			get(t, pacedhttp.New(srv.base(t), mw...), srv.URL)
			if got := resendCounts(t, rec.ended(trace.SpanKindClient)); !slices.Equal(got, tt.counts) {
				t.Errorf("resend counts %v, want %v", got, tt.counts)
			}
			if got := value(rec.calls(t, 1)[0], "pacedhttp.attempts").AsInt64(); got != int64(len(tt.counts)) {
				t.Errorf("pacedhttp.attempts = %d, want %d", got, len(tt.counts))
			}
			var retries int64
			for _, p := range histogram[int64](t, rec, "pacedhttp.call.retries") {
				retries += p.Sum
			}
			if retries != tt.retries {
				t.Errorf("%d retries, want %d", retries, tt.retries)
			}
		})
	}
}

// TestRetriesOfSeveralRetryLayersAtOnceAreAllCounted is a call that is sent again, half a
// second later, above Retry: one of the two gives up while the other's retry is on its way.
func TestRetriesOfSeveralRetryLayersAtOnceAreAllCounted(t *testing.T) {
	for attempts, between := range map[int]string{2: "giving up", 3: "a retry"} {
		t.Run(between, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: attempts, Backoff: retrypolicy.Constant(time.Second)})
				rec := record(t)
				get(t, pacedhttp.New(answering(503), rec.Call, twiceAtHalfASecond, pacedhttp.Retry(policy), slow, rec.Attempt), "http://example.com/")
				rec.attempts(t, 2*attempts)
				if got, want := histogram[int64](t, rec, "pacedhttp.call.retries")[0].Sum, int64(2*attempts-2); got != want {
					t.Errorf("%d retries, want %d", got, want)
				}
			})
		})
	}
}

// TestWaitBelongsToTheAttemptItWasFor also where another request is sent before it, with
// the attempt's context: for a token, by a chain without a Call layer.
func TestWaitBelongsToTheAttemptItWasFor(t *testing.T) {
	for name, layer := range map[string]func(*recorder) pacedhttp.Middleware{
		"attempt alone": func(r *recorder) pacedhttp.Middleware { return r.Attempt },
		"with a call":   func(r *recorder) pacedhttp.Middleware { return chain(r.Call, r.Attempt) },
		"paced": func(r *recorder) pacedhttp.Middleware {
			return chain(pacedhttp.Pace(waiter(func(context.Context) error { time.Sleep(time.Minute); return nil })), r.Attempt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				tokens := pacedhttp.New(answering(200), layer(rec))
				authorize := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
					getContext(t, req.Context(), tokens, "http://tokens.example.com/")
					return nil
				})
				p := pacer.Drip(1, time.Hour)
				p.Allow()
				get(t, pacedhttp.New(answering(503, 200), rec.Call, pacedhttp.Retry(steady()), pacedhttp.Pace(p), authorize, rec.Attempt), "http://example.com/")

				var waits []any
				for _, s := range rec.attempts(t, 4) {
					if value(s, "server.address").AsString() == "example.com" {
						waits = append(waits, value(s, "pacedhttp.pacing.wait.duration").AsInterface())
					}
				}
				second := time.Hour - time.Second
				if name == "paced" {
					second -= time.Minute
				}
				if !slices.Equal(waits, []any{time.Hour.Seconds(), second.Seconds()}) {
					t.Errorf("waits %v, want 3600 and %v", waits, second.Seconds())
				}
			})
		})
	}
}

// TestWaitOfACallWithinAnAttemptIsItsOwn covers a token that is fetched by a paced chain
// with a Call layer, and a Call layer below Retry.
func TestWaitOfACallWithinAnAttemptIsItsOwn(t *testing.T) {
	slow := func(d time.Duration) pacedhttp.Middleware {
		return pacedhttp.Pace(waiter(func(context.Context) error { time.Sleep(d); return nil }))
	}
	for name, layers := range map[string]func(*recorder) []pacedhttp.Middleware{
		"token": func(r *recorder) []pacedhttp.Middleware {
			tokens := pacedhttp.New(answering(200), r.Call, slow(time.Minute), r.Attempt)
			return []pacedhttp.Middleware{r.Call, pacedhttp.Retry(nil), slow(time.Hour), pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
				getContext(t, req.Context(), tokens, "http://tokens.example.com/")
				return nil
			})}
		},
		"below Retry": func(r *recorder) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{pacedhttp.Retry(nil), r.Call, slow(time.Minute)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				get(t, pacedhttp.New(answering(200), append(layers(rec), rec.Attempt)...), "http://example.com/")
				if got := value(rec.ended(trace.SpanKindClient)[0], "pacedhttp.pacing.wait.duration").AsInterface(); got != 60.0 {
					t.Errorf("wait = %v, want 60", got)
				}
			})
		})
	}
}

// chain is several middlewares as one.
func chain(mw ...pacedhttp.Middleware) pacedhttp.Middleware {
	return func(next http.RoundTripper) http.RoundTripper { return pacedhttp.New(next, mw...) }
}

// TestStaticRedirectIsNoSend follows a redirection that a fallback made up.
func TestStaticRedirectIsNoSend(t *testing.T) {
	redirect := pacedhttp.Fallback(pacedhttp.StaticResponse(302, http.Header{"Location": {"/landing"}}, nil))
	for _, tt := range []struct {
		name string
		opts []otelpacedhttp.Option
		pace pacedhttp.Middleware
		want []int
	}{
		{"both layers", nil, nil, []int{0, 1, 2}},
		{"without attempts", []otelpacedhttp.Option{otelpacedhttp.WithoutAttemptTelemetry()}, nil, []int{0, 1, 2}},
		{"nothing was sent", nil, pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
			if req.URL.Path == "/" {
				return granting(0)
			}
			return nil
		}), []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, srv := record(t, tt.opts...), serve(t, 503, 503, 200)
			if tt.pace != nil {
				srv.statuses = []int{200}
			}
			var seen []int
			probe := func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(req *http.Request) (*http.Response, error) {
					seen = append(seen, otelpacedhttp.ResendCount(req.Context()))
					return next.RoundTrip(req)
				})
			}
			resp, err := pacedhttp.New(srv.base(t), rec.Call, redirect, pacedhttp.Retry(twice()), tt.pace, rec.Attempt, probe).Client().Get(srv.URL + "/")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if !slices.Equal(seen, tt.want) {
				t.Errorf("resend counts %v, want %v", seen, tt.want)
			}
		})
	}
}

// TestRedirectOfABaseThatNamesNoRequestIsCounted is for bases, fakes mostly, that leave
// Response.Request nil.
func TestRedirectOfABaseThatNamesNoRequestIsCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		opts  []otelpacedhttp.Option
		layer func(*recorder) []pacedhttp.Middleware
	}{
		"attempt": {nil, func(r *recorder) []pacedhttp.Middleware { return []pacedhttp.Middleware{r.Attempt} }},
		"call":    {nil, func(r *recorder) []pacedhttp.Middleware { return []pacedhttp.Middleware{r.Call} }},
		"both":    {nil, func(r *recorder) []pacedhttp.Middleware { return []pacedhttp.Middleware{r.Call, r.Attempt} }},
		"without attempts": {[]otelpacedhttp.Option{otelpacedhttp.WithoutAttemptTelemetry()},
			func(r *recorder) []pacedhttp.Middleware { return []pacedhttp.Middleware{r.Call, r.Attempt} }},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []int
			base := roundTripper(func(req *http.Request) (*http.Response, error) {
				seen = append(seen, otelpacedhttp.ResendCount(req.Context()))
				if len(seen) == 3 {
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				}
				return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/x"}}, Body: http.NoBody}, nil
			})
			resp, err := pacedhttp.New(base, tt.layer(record(t, tt.opts...))...).Client().Get("http://example.com/")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if !slices.Equal(seen, []int{0, 1, 2}) {
				t.Errorf("resend counts %v, want [0 1 2]", seen)
			}
		})
	}
}

// TestResendCountBetweenTheLayers is that of the send which is about to be made.
func TestResendCountBetweenTheLayers(t *testing.T) {
	rec := record(t)
	var between, within []int
	tokens := pacedhttp.New(roundTripper(func(req *http.Request) (*http.Response, error) {
		within = append(within, otelpacedhttp.ResendCount(req.Context()))
		return answering(200).RoundTrip(req)
	}), rec.Call)
	prepare := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		between = append(between, otelpacedhttp.ResendCount(req.Context()))
		getContext(t, req.Context(), tokens, "http://tokens.example.com/")
		return nil
	})
	get(t, pacedhttp.New(answering(503, 200), rec.Call, pacedhttp.Retry(patient()), prepare, rec.Attempt), "http://example.com/")
	if !slices.Equal(between, []int{0, 1}) || !slices.Equal(within, []int{0, 0}) {
		t.Errorf("resend counts %v, and %v for tokens; want [0 1] and [0 0]", between, within)
	}
}
