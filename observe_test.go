package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestHooksTellAWholeCall(t *testing.T) {
	const s = time.Second
	noSlot := func(mw ...pacedhttp.Middleware) []pacedhttp.Middleware {
		return append(mw, pacedhttp.Retry(policyOf(3, 2*s)), pacedhttp.Pace(grants(1)))
	}
	paced := func(mw ...pacedhttp.Middleware) []pacedhttp.Middleware {
		return append(mw, pacedhttp.Retry(policyOf(3, 2*s)), pacedhttp.Pace(pacer.Drip(1, 3*s)))
	}
	answer := pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))
	broken := pacedhttp.Fallback(func(*http.Request, *http.Response, error) (*http.Response, error) { return nil, errClosed })
	for name, tc := range map[string]struct {
		below []pacedhttp.Middleware
		steps []step
		want  []string
	}{
		"that succeeds": {paced(answer), []step{{delay: s}}, []string{
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot acquired #1 waited=0s err=<nil>",
			"0s attempt started #1/1 paced=0s previous=0s",
			"1s attempt done #1/1 200 accept took=1s",
			"1s call done #0 200 attempts=1 accepted elapsed=1s",
		}},
		"that fails for good": {paced(answer), []step{{status: 503, delay: s / 2}, {err: errLost}, {status: 500}}, []string{
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot acquired #1 waited=0s err=<nil>",
			"0s attempt started #1/1 paced=0s previous=0s",
			"500ms attempt done #1/1 503 transient took=500ms",
			"500ms retry scheduled #0/1 503 transient delay=2s",
			"2.5s slot requested #2 waited=0s err=<nil>",
			"3s slot acquired #2 waited=500ms err=<nil>",
			"3s attempt started #2/2 paced=500ms previous=2s",
			"3s attempt done #2/2 connection lost transient took=0s",
			"3s retry scheduled #0/2 connection lost transient delay=2s",
			"5s slot requested #3 waited=0s err=<nil>",
			"6s slot acquired #3 waited=1s err=<nil>",
			"6s attempt started #3/3 paced=1s previous=2s",
			"6s attempt done #3/3 500 transient took=0s",
			"6s gave up #0 500 attempts=3 max_attempts elapsed=6s",
			"6s call done #0 500 attempts=3 max_attempts elapsed=6s",
			"6s fallback used #0 200",
		}},
		"that gets no slot": {noSlot(broken), []step{{status: 503}}, []string{
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot acquired #1 waited=0s err=<nil>",
			"0s attempt started #1/1 paced=0s previous=0s",
			"0s attempt done #1/1 503 transient took=0s",
			"0s retry scheduled #0/1 503 transient delay=2s",
			"2s slot requested #2 waited=0s err=<nil>",
			"2s slot refused #2 waited=0s err=closed for today",
			"2s gave up #0 503 attempts=1 not_retryable elapsed=2s",
			"2s call done #0 503 attempts=1 not_retryable elapsed=2s",
			"2s fallback used #0 closed for today",
		}},
		"without Pace": {[]pacedhttp.Middleware{pacedhttp.Retry(policyOf(1, 0))}, []step{{status: 503}}, []string{
			"0s attempt started #1/1 paced=0s previous=0s",
			"0s attempt done #1/1 503 transient took=0s",
			"0s gave up #0 503 attempts=1 max_attempts elapsed=0s",
			"0s call done #0 503 attempts=1 max_attempts elapsed=0s",
		}},
		"without Retry": {[]pacedhttp.Middleware{pacedhttp.Pace(pacer.Burst(1, s))}, []step{{status: 503}}, []string{
			"0s slot requested #0 waited=0s err=<nil>",
			"0s slot acquired #0 waited=0s err=<nil>",
		}},
		"with layers between Retry and Pace": {[]pacedhttp.Middleware{
			pacedhttp.Retry(nil), pacedhttp.Observe(pacedhttp.Hooks{}), func(next http.RoundTripper) http.RoundTripper { return pacedhttp.New(next) },
			pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)), pacedhttp.Pace(grants(1)),
		}, []step{{}}, []string{
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot acquired #1 waited=0s err=<nil>",
			"0s attempt started #1/1 paced=0s previous=0s",
			"0s attempt done #1/1 200 accept took=0s",
			"0s call done #0 200 attempts=1 accepted elapsed=0s",
		}},
		"with PaceBy that picks nothing": {[]pacedhttp.Middleware{pacedhttp.Retry(nil), pacedhttp.Pace(nil)}, []step{{}}, []string{
			"0s attempt started #1/1 paced=0s previous=0s",
			"0s attempt done #1/1 200 accept took=0s",
			"0s call done #0 200 attempts=1 accepted elapsed=0s",
		}},
		"where the second of two quotas refuses": {[]pacedhttp.Middleware{pacedhttp.Retry(nil), pacedhttp.Pace(grants(1)), pacedhttp.Pace(grants(0))}, []step{{}}, []string{
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot acquired #1 waited=0s err=<nil>",
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot refused #1 waited=0s err=closed for today",
			"0s gave up #0 pacedhttp: not sent: closed for today attempts=0 not_retryable elapsed=0s",
			"0s call done #0 pacedhttp: not sent: closed for today attempts=0 not_retryable elapsed=0s",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				rt := pacedhttp.New(newScript(tc.steps...), append([]pacedhttp.Middleware{pacedhttp.Observe(j.hooks())}, tc.below...)...)
				send(t, rt, newRequest(t, "GET", nil))
				j.want(t, tc.want...)
			})
		})
	}
}

// A layer that hides Pace from Retry makes the start come before the wait; the two
// events still come in pairs, and the duration leaves the wait out.
func TestAttemptsComeInPairsBehindAForeignLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var passed []string
		j := newJournal()
		all := j.hooks()
		rt := pacedhttp.New(newScript(step{status: 503, delay: time.Second}),
			pacedhttp.Observe(pacedhttp.Hooks{AttemptStarted: all.AttemptStarted, AttemptDone: all.AttemptDone}),
			pacedhttp.Retry(policyOf(3, 0)), foreign("a", &passed), pacedhttp.Pace(pacer.Drip(1, 5*time.Second)))
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		j.want(t,
			"0s attempt started #1/1 paced=0s previous=0s",
			"1s attempt done #1/1 503 transient took=1s",
			"5s attempt started #2/2 paced=4s previous=0s",
			"6s attempt done #2/2 503 transient took=1s", // and there is no slot for a third
		)
	})
}

func TestHooksGetTheCallersValuesAndRequest(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		check := func(name string) func(context.Context) {
			return func(ctx context.Context) { seen = append(seen, fmt.Sprint(name, ctx.Value(key{}))) }
		}
		slot, start, done, retry, gaveUp, fallback := check("slot"), check("start"), check("done"), check("retry"), check("gaveUp"), check("fallback")
		req := newRequest(t, "GET", nil)
		req = req.WithContext(context.WithValue(req.Context(), key{}, "!"))
		rt := pacedhttp.New(newScript(step{status: 503}),
			pacedhttp.Observe(pacedhttp.Hooks{
				SlotAcquired:   func(ctx context.Context, _ pacedhttp.SlotInfo) { slot(ctx) },
				AttemptStarted: func(ctx context.Context, i pacedhttp.AttemptStart) { start(i.Request.Context()) },
				AttemptDone:    func(ctx context.Context, i pacedhttp.AttemptResult) { done(i.Response.Request.Context()) },
				RetryScheduled: func(ctx context.Context, i pacedhttp.RetryInfo) { retry(ctx) },
				GaveUp:         func(ctx context.Context, i pacedhttp.CallInfo) { gaveUp(ctx) },
				FallbackUsed:   func(ctx context.Context, i pacedhttp.FallbackInfo) { fallback(ctx) },
			}),
			pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)), pacedhttp.Retry(policyOf(2, 0)), pacedhttp.Pace(grants(9)))
		send(t, rt, req)
		want := []string{"slot!", "start!", "done!", "retry!", "slot!", "start!", "done!", "gaveUp!", "fallback!"}
		if !slices.Equal(seen, want) {
			t.Errorf("got %v, want %v", seen, want)
		}
	})
}

func TestEveryObserverIsCalledTheInnermostFirst(t *testing.T) {
	var called []string
	observe := func(name string) pacedhttp.Middleware {
		return pacedhttp.Observe(pacedhttp.Hooks{
			SlotAcquired: func(context.Context, pacedhttp.SlotInfo) { called = append(called, "slot "+name) },
			AttemptDone:  func(context.Context, pacedhttp.AttemptResult) { called = append(called, "done "+name) },
		})
	}
	rt := pacedhttp.New(newScript(), observe("a"), pacedhttp.Observe(pacedhttp.Hooks{}), observe("b"),
		pacedhttp.Retry(nil), observe("c"), pacedhttp.Pace(grants(1)))
	send(t, rt, newRequest(t, "GET", nil))
	// The third is below Retry, so it is told of slots only.
	if want := []string{"slot c", "slot b", "slot a", "done b", "done a"}; !slices.Equal(called, want) {
		t.Errorf("called %v, want %v", called, want)
	}
}

func TestResponseTellsItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := pacedhttp.New(newScript(step{status: 503}, step{}), pacedhttp.Retry(policyOf(2, time.Second)), pacedhttp.Pace(pacer.Drip(1, 3*time.Second)))
		req := newRequest(t, "GET", nil)
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		info, ok := pacedhttp.AttemptFromContext(resp.Request.Context())
		if want := (pacedhttp.AttemptInfo{Number: 2, PacedFor: 2 * time.Second, Previous: time.Second}); !ok || info != want {
			t.Errorf("got %+v, %v, want %+v", info, ok, want)
		}
		if info, ok := pacedhttp.AttemptFromContext(req.Context()); ok || info != (pacedhttp.AttemptInfo{}) {
			t.Errorf("the caller's own context tells of %+v", info)
		}
		readAll(t, resp)
	})
}

func TestResponseOfABaseThatNamesNoRequestTellsItsAttemptToo(t *testing.T) {
	base := newScript(step{answer: func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil }})
	resp, err := pacedhttp.New(base, pacedhttp.Retry(nil)).RoundTrip(newRequest(t, "GET", nil))
	if err != nil || resp.Request == nil {
		t.Fatalf("got %+v, %v", resp, err)
	}
	if info, ok := pacedhttp.AttemptFromContext(resp.Request.Context()); !ok || info.Number != 1 {
		t.Errorf("got %+v, %v", info, ok)
	}
}

func TestRedirectHopFindsTheEarlierAttempt(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case calls.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/":
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	}))
	defer server.Close()
	var numbers []int
	rt := pacedhttp.New(nil, pacedhttp.Retry(policyOf(2, 0)), pacedhttp.Prepare(func(req *http.Request, info pacedhttp.AttemptInfo) error {
		sends := info.Number
		for hop := req.Response; hop != nil; hop = hop.Request.Response {
			earlier, ok := pacedhttp.AttemptFromContext(hop.Request.Context())
			if !ok {
				return errors.New("the hop's attempt is unknown")
			}
			sends += earlier.Number
		}
		numbers = append(numbers, sends)
		return nil
	}))
	defer rt.CloseIdleConnections()
	resp, err := rt.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if want := []int{1, 2, 3}; !slices.Equal(numbers, want) {
		t.Errorf("sends counted as %v, want %v", numbers, want)
	}
}

func TestHooksAreSafeForConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var started, done, gaveUp atomic.Int64
		count := pacedhttp.Observe(pacedhttp.Hooks{
			AttemptStarted: func(context.Context, pacedhttp.AttemptStart) { started.Add(1) },
			AttemptDone:    func(context.Context, pacedhttp.AttemptResult) { done.Add(1) },
			GaveUp:         func(context.Context, pacedhttp.CallInfo) { gaveUp.Add(1) },
		})
		policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 3, Backoff: retrypolicy.Constant(time.Millisecond), AttemptTimeout: time.Second})
		base := newScript(step{status: 503, delay: time.Millisecond})
		rt := pacedhttp.New(base, count, count, pacedhttp.Log(discard()), pacedhttp.Retry(policy), pacedhttp.Pace(pacer.Burst(10, time.Second)))
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
				if err != nil {
					t.Error(err)
					return
				}
				info, _ := pacedhttp.AttemptFromContext(resp.Request.Context())
				if info.Number != 3 {
					t.Errorf("delivered the answer to attempt %d", info.Number)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			})
		}
		calls.Wait()
		if s, d, g := started.Load(), done.Load(), gaveUp.Load(); s != 120 || d != 120 || g != 40 {
			t.Errorf("%d starts, %d ends, %d given up; want 120, 120, 40", s, d, g)
		}
	})
}

func TestPausedIsCalledWhenAReportBeganOrLengthenedAPause(t *testing.T) {
	for name, tc := range map[string]struct {
		steps []step
		want  []string
	}{
		"throttled":    {[]step{{status: 429, header: header("Retry-After", "5")}}, []string{"0s paused #0 429 for 5s"}},
		"used up":      {[]step{{header: header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "7")}}, []string{"0s paused #0 200 for 7s"}},
		"not any more": {[]step{{header: header("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "7")}}, nil},
		"shorter": {[]step{{delay: time.Second, status: 429, header: header("Retry-After", "5")}, {delay: 2 * time.Second, status: 429, header: header("Retry-After", "3")}},
			[]string{"1s paused #0 429 for 5s"}},
		"longer": {[]step{{delay: time.Second, status: 429, header: header("Retry-After", "5")}, {delay: 2 * time.Second, status: 429, header: header("Retry-After", "9")}},
			[]string{"1s paused #0 429 for 5s", "2s paused #0 429 for 9s"}},
	} {
		for pacing, newPacer := range map[string]func() *pacer.Pacer{"windows": unlimited, "flights": func() *pacer.Pacer { return flights(9) }} {
			t.Run(name+"/"+pacing, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					j := newJournal()
					rt := pacedhttp.New(newScript(tc.steps...), pacedhttp.Observe(pacedhttp.Hooks{Paused: j.hooks().Paused}), pacedhttp.Pace(newPacer()))
					var calls sync.WaitGroup
					for range tc.steps {
						calls.Go(func() { send(t, rt, newRequest(t, "GET", nil)) })
					}
					calls.Wait()
					j.want(t, tc.want...)
				})
			})
		}
	}
}

func TestCallDoneIsCalledOfEveryCall(t *testing.T) {
	for name, tc := range map[string]struct {
		steps  []step
		waiter pacedhttp.Waiter
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		want   string
	}{
		"a success":        {[]step{{}}, unlimited(), nil, "0s call done #0 200 attempts=1 accepted elapsed=0s"},
		"a late success":   {[]step{{status: 503, delay: time.Second}, {}}, unlimited(), nil, "2s call done #0 200 attempts=2 accepted elapsed=2s"},
		"a failure":        {[]step{{status: 503}}, unlimited(), nil, "1s call done #0 503 attempts=2 max_attempts elapsed=1s"},
		"a refusal":        {nil, grants(0), nil, "0s call done #0 pacedhttp: not sent: closed for today attempts=0 not_retryable elapsed=0s"},
		"a late refusal":   {[]step{{status: 503}}, grants(1), nil, "1s call done #0 503 attempts=1 not_retryable elapsed=1s"},
		"a dead context":   {nil, grants(1), canceledAfter(0), "0s call done #0 context canceled attempts=0 canceled elapsed=0s"},
		"a cancelled wait": {[]step{{status: 503}}, grants(1), canceledAfter(time.Second / 2), "500ms call done #0 retrypolicy: gave up after 1 attempt (canceled): context canceled; last failure: server answered 503 Service Unavailable attempts=1 canceled elapsed=500ms"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, ctx := newJournal(), t.Context()
				if tc.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tc.ctx(ctx)
					defer cancel()
				}
				rt := pacedhttp.New(newScript(tc.steps...), pacedhttp.Observe(pacedhttp.Hooks{CallDone: j.hooks().CallDone}),
					pacedhttp.Retry(policyOf(2, time.Second)), pacedhttp.Pace(tc.waiter))
				send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
				j.want(t, tc.want)
			})
		})
	}
}
