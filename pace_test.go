package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

var (
	_ pacedhttp.Waiter = (*pacer.Pacer)(nil)
	_ pacedhttp.Waiter = waiterFunc(nil)
)

func TestFiveCallsASecond(t *testing.T) {
	for name, tc := range map[string]struct {
		pacer func() *pacer.Pacer
		want  []time.Duration
	}{
		"in bursts": {func() *pacer.Pacer { return pacer.Burst(5, time.Second) }, seconds(0, 0, 0, 0, 0, 1, 1, 1, 1, 1)},
		"evenly":    {func() *pacer.Pacer { return pacer.Drip(5, time.Second) }, seconds(0, .2, .4, .6, .8, 1, 1.2, 1.4, 1.6, 1.8)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, began := newScript(), time.Now()
				rt := pacedhttp.New(base, pacedhttp.Pace(tc.pacer()))
				var calls sync.WaitGroup
				for range 10 {
					calls.Go(func() { send(t, rt, newRequest(t, "GET", nil)) })
				}
				calls.Wait()
				wantTimes(t, base, began, tc.want...)
			})
		})
	}
}

func TestPaceByKeepsHostsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quotas, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer { return pacer.Drip(1, time.Second) }})
		if err != nil {
			t.Fatal(err)
		}
		base, began := newScript(), time.Now()
		rt := pacedhttp.New(base, pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
			if req.URL.Host == "free.test" {
				return nil
			}
			return quotas.Get(req.URL.Host)
		}))
		var calls sync.WaitGroup
		for _, host := range []string{"a.test", "b.test", "free.test"} {
			for range 3 {
				calls.Go(func() { send(t, rt, newRequestTo(t, "GET", "http://"+host, nil)) })
			}
		}
		calls.Wait()
		at := make(map[string][]time.Duration)
		for _, r := range base.requests() {
			at[r.URL.Host] = append(at[r.URL.Host], r.at.Sub(began))
		}
		for host, want := range map[string][]time.Duration{"a.test": seconds(0, 1, 2), "b.test": seconds(0, 1, 2), "free.test": seconds(0, 0, 0)} {
			if !slices.Equal(at[host], want) {
				t.Errorf("%s: sent at %v, want %v", host, at[host], want)
			}
		}
	})
}

func TestPaceOutsideOfRetryTakesOneSlotPerCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, began := newScript(step{status: 503}), time.Now()
		rt := pacedhttp.New(base, pacedhttp.Pace(pacer.Drip(1, time.Second)), pacedhttp.Retry(policyOf(3, 0)))
		send(t, rt, newRequest(t, "GET", nil))
		send(t, rt, newRequest(t, "GET", nil))
		wantTimes(t, base, began, seconds(0, 0, 0, 1, 1, 1)...)
	})
}

func TestThrottledResponsePausesTheWaiter(t *testing.T) {
	teapot := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, Classify: retrypolicy.Statuses(retrypolicy.Throttled, 418)})
	retry := func(p *retrypolicy.Policy) []pacedhttp.Middleware { return []pacedhttp.Middleware{pacedhttp.Retry(p)} }
	fiveSeconds := header("Retry-After", "5")
	for name, tc := range map[string]struct {
		above []pacedhttp.Middleware
		step  step
		pause time.Duration // 0: none
	}{
		"429":                                     {nil, step{status: 429, header: fiveSeconds}, 5 * time.Second},
		"503 with Retry-After":                    {nil, step{status: 503, header: fiveSeconds}, 5 * time.Second},
		"403 with Retry-After":                    {nil, step{status: 403, header: fiveSeconds}, 5 * time.Second},
		"milliseconds":                            {nil, step{status: 429, header: header("Retry-After-Ms", "1500")}, 1500 * time.Millisecond},
		"an exhausted quota":                      {nil, step{status: 429, header: header("RateLimit-Remaining", "0", "RateLimit-Reset", "7")}, 7 * time.Second},
		"from the answer on":                      {nil, step{status: 429, header: fiveSeconds, delay: time.Second}, 6 * time.Second},
		"a day at most":                           {nil, step{status: 429, header: header("Retry-After", "10000000000")}, 24 * time.Hour},
		"429 without a delay":                     {nil, step{status: 429}, 0},
		"429 with a delay of zero":                {nil, step{status: 429, header: header("Retry-After", "0")}, 0},
		"503 without a delay":                     {nil, step{status: 503}, 0},
		"201 with Retry-After":                    {nil, step{status: 201, header: fiveSeconds}, 0},
		"an error":                                {nil, step{err: errLost}, 0},
		"429, default policy above":               {retry(policyOf(1, 0)), step{status: 429, header: fiveSeconds}, 5 * time.Second},
		"418, default policy above":               {retry(policyOf(1, 0)), step{status: 418, header: fiveSeconds}, 0},
		"418, where the policy takes it for one":  {retry(teapot), step{status: 418, header: fiveSeconds}, 5 * time.Second},
		"429, where the policy takes it for none": {retry(teapot), step{status: 429, header: fiveSeconds}, 0},
		"longer than the policy would retry":      {retry(policyOf(1, 0)), step{status: 429, header: header("Retry-After", "3600")}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, began := &pausable{}, time.Now()
				send(t, pacedhttp.New(newScript(tc.step), append(tc.above, pacedhttp.Pace(w))...), newRequest(t, "GET", nil))
				var want []time.Time
				if tc.pause > 0 {
					want = []time.Time{began.Add(tc.pause)}
				}
				if !slices.EqualFunc(w.paused, want, time.Time.Equal) {
					t.Errorf("paused until %v, want %v", w.paused, want)
				}
				if w.waits != 1 {
					t.Errorf("waited %d times", w.waits)
				}
			})
		})
	}
}

func TestPolicyOfTheRequestDecidesAboutThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &pausable{}
		rt := pacedhttp.New(newScript(step{status: 418, header: header("Retry-After", "5")}), pacedhttp.Retry(nil), pacedhttp.Pace(w))
		policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, Classify: retrypolicy.Statuses(retrypolicy.Throttled, 418)})
		req := newRequest(t, "GET", nil)
		send(t, rt, req.WithContext(retrypolicy.WithPolicy(req.Context(), policy)))
		if len(w.paused) != 1 {
			t.Errorf("paused %d times, want once", len(w.paused))
		}
	})
}

func TestWaiterWithoutPauseUntilOnlyPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, began := newScript(step{status: 429, header: header("Retry-After", "60")}), time.Now()
		var next time.Time // like a limiter of one call a second
		limiter := waiterFunc(func(context.Context) error {
			time.Sleep(time.Until(next))
			next = time.Now().Add(time.Second)
			return nil
		})
		rt := pacedhttp.New(base, pacedhttp.Pace(limiter))
		for range 3 {
			send(t, rt, newRequest(t, "GET", nil))
		}
		wantTimes(t, base, began, seconds(0, 1, 2)...)
	})
}

func TestRefusedRequestIsNotSentAndItsBodyClosed(t *testing.T) {
	full := pacer.Burst(1, time.Hour)
	full.Allow()
	late, cancelLate := context.WithTimeout(context.Background(), time.Minute)
	defer cancelLate()
	limiter := waiterFunc(func(context.Context) error { return errClosed })
	slow := waiterFunc(func(context.Context) error { return context.DeadlineExceeded })
	for name, tc := range map[string]struct {
		waiter    pacedhttp.Waiter
		ctx       context.Context
		is        error
		timeout   bool
		errorType string
	}{
		"a deadline before the slot": {full, late, pacer.ErrDeadline, true, "pacing_deadline"},
		"the Waiter's own reason":    {limiter, context.Background(), errClosed, false, "pacing_refused"},
		"a Waiter's own deadline":    {slow, context.Background(), context.DeadlineExceeded, true, "pacing_deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			base, body := newScript(), trackString("payload")
			_, _, err := send(t, pacedhttp.New(base, pacedhttp.Pace(tc.waiter)), newRequest(t, "POST", body).WithContext(tc.ctx))
			refusal, ok := errors.AsType[*pacedhttp.PaceError](err)
			if !ok || !errors.Is(err, tc.is) {
				t.Fatalf("got %v", err)
			}
			if refusal.Timeout() != tc.timeout || refusal.ErrorType() != tc.errorType || refusal.Retryable() {
				t.Errorf("%v: Timeout %v, ErrorType %q, Retryable %v", err, refusal.Timeout(), refusal.ErrorType(), refusal.Retryable())
			}
			if !strings.HasPrefix(err.Error(), "pacedhttp: not sent: ") || errors.Unwrap(err) != refusal.Err {
				t.Errorf("got %q", err)
			}
			if base.calls() != 0 {
				t.Errorf("%d sends", base.calls())
			}
			body.wantClosedOnce(t)
		})
	}
}

func TestContextThatEndsAWaitIsTheErrorItself(t *testing.T) {
	full := pacer.Burst(1, time.Hour)
	full.Allow()
	for name, waiter := range map[string]pacedhttp.Waiter{
		"pacer":            full,
		"gives it anyway":  waiterFunc(func(context.Context) error { return nil }),
		"says why not":     waiterFunc(func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("gone: %w", ctx.Err()) }),
		"says what it was": waiterFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
	} {
		for state, after := range map[string]time.Duration{"before": 0, "meanwhile": time.Second} {
			t.Run(name+"/"+state, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := canceledAfter(after)(t.Context())
					defer cancel()
					for _, mw := range [][]pacedhttp.Middleware{{pacedhttp.Pace(waiter)}, {pacedhttp.Retry(nil), pacedhttp.Pace(waiter)}} {
						base, body := newScript(), trackString("payload")
						_, _, err := send(t, pacedhttp.New(base, mw...), newRequest(t, "POST", body).WithContext(ctx))
						if name != "gives it anyway" || after == 0 {
							if err != context.Canceled || base.calls() != 0 {
								t.Errorf("%v after %d sends", err, base.calls())
							}
						}
						body.wantClosedOnce(t)
					}
				})
			})
		}
	}
}

func TestRefusalOfAWaiterThatIsToldToStopTellsWhyToo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	limiter := waiterFunc(func(context.Context) error { return errClosed })
	_, _, err := send(t, pacedhttp.New(newScript(), pacedhttp.Pace(limiter)), newRequest(t, "GET", nil).WithContext(ctx))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

func TestRefusalForTheDeadlinesSakeIsATimeoutWhateverTheWaiterSays(t *testing.T) {
	limiter := waiterFunc(func(context.Context) error { return errors.New("rate: Wait(n=1) would exceed context deadline") })
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, tc := range map[string]struct {
		ctx     context.Context
		timeout bool
		of      string
	}{
		"with a deadline":    {soon, true, "pacing_deadline"},
		"without a deadline": {t.Context(), false, "pacing_refused"},
	} {
		_, _, err := send(t, pacedhttp.New(newScript(), pacedhttp.Pace(limiter)), newRequest(t, "GET", nil).WithContext(tc.ctx))
		refusal, ok := err.(*pacedhttp.PaceError)
		if !ok || refusal.Timeout() != tc.timeout || refusal.Temporary() != tc.timeout || refusal.ErrorType() != tc.of {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}

func TestRefusalStaysOneThoughAHookEndsTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ends := pacedhttp.Observe(pacedhttp.Hooks{SlotRefused: func(_ context.Context, i pacedhttp.SlotInfo) {
		if i.Err != errClosed {
			t.Errorf("the hook was told of %v", i.Err)
		}
		cancel()
	}})
	_, _, err := send(t, pacedhttp.New(newScript(), ends, pacedhttp.Pace(grants(0))), newRequest(t, "GET", nil).WithContext(ctx))
	if refusal, ok := err.(*pacedhttp.PaceError); !ok || refusal.Err != errClosed {
		t.Errorf("got %v", err)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quota, err := pacer.New(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}, MaxWaiting: 1})
		if err != nil {
			t.Fatal(err)
		}
		base := newScript()
		rt := pacedhttp.New(base, pacedhttp.Pace(quota))
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() { send(t, rt, newRequest(t, "GET", nil)) })
			synctest.Wait()
		}
		_, _, err = send(t, rt, newRequest(t, "GET", nil))
		refusal, ok := errors.AsType[*pacedhttp.PaceError](err)
		if !ok || !errors.Is(err, pacer.ErrQueueFull) || refusal.ErrorType() != "pacing_queue_full" {
			t.Errorf("got %v", err)
		}
		if detail, ok := errors.AsType[*pacer.Error](err); !ok || detail.Wait() != 2*time.Second {
			t.Errorf("got %v", err)
		}
		calls.Wait()
		if base.calls() != 2 {
			t.Errorf("%d sends, want 2", base.calls())
		}
	})
}

func TestRefusalMatchesContextAndCause(t *testing.T) {
	cause := errors.New("shutting down")
	for name, waiter := range map[string]waiterFunc{
		"the Waiter says Err":     func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"the Waiter says Cause":   func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		"the Waiter says nothing": func(ctx context.Context) error { <-ctx.Done(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(cause) })
				_, _, err := send(t, pacedhttp.New(newScript(), pacedhttp.Pace(waiter)), newRequest(t, "GET", nil).WithContext(ctx))
				if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
					t.Errorf("%v does not match the context and its cause", err)
				}
			})
		})
	}
}

func TestPacingCountsTowardsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, began := newScript(step{status: 503, body: "busy"}), time.Now()
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(9, 0)), pacedhttp.Pace(pacer.Drip(1, 2*time.Second)))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		status, body, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		if status != 503 || body != "busy" {
			t.Errorf("got %d %q, %v", status, body, err)
		}
		wantTimes(t, base, began, seconds(0, 2, 4)...)
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("gave up after %v, want 4s", took)
		}
	})
}

// A fickleContext has ended when it is asked for the second time.
type fickleContext struct {
	context.Context
	asked int
}

func (c *fickleContext) Err() error {
	if c.asked++; c.asked > 1 {
		return context.Canceled
	}
	return nil
}

func TestAStartThatComesAsTheContextEndsIsGivenBack(t *testing.T) {
	p := pacer.Burst(1, time.Hour)
	rt := pacedhttp.New(pacedhttp.RoundTripperFunc(func(*http.Request) (*http.Response, error) {
		t.Error("it was sent")
		return nil, errors.New("sent")
	}), pacedhttp.Pace(p))
	req := newRequest(t, "GET", nil).WithContext(&fickleContext{Context: context.Background()})
	if _, err := rt.RoundTrip(req); !errors.Is(err, context.Canceled) || p.Stats().Granted != 0 {
		t.Errorf("got %v, and %d starts count; want the context's error and none", err, p.Stats().Granted)
	}
}
