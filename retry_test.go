package pacedhttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

var (
	errLost    = errors.New("connection lost")
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
)

func TestRetryTimeline(t *testing.T) {
	const s = time.Second
	for name, tc := range map[string]struct {
		policy retrypolicy.Config
		steps  []step
		want   []time.Duration
	}{
		"a success is sent once":                {retrypolicy.Config{}, []step{{}}, seconds(0)},
		"a constant backoff":                    {retrypolicy.Config{Backoff: retrypolicy.Constant(2 * s)}, []step{{status: 503}}, seconds(0, 2, 4, 6)},
		"errors and statuses alike":             {retrypolicy.Config{Backoff: retrypolicy.Constant(2 * s)}, []step{{err: errLost}, {status: 500}, {err: errRefused}, {}}, seconds(0, 2, 4, 6)},
		"the backoff follows the answer":        {retrypolicy.Config{Backoff: retrypolicy.Constant(2 * s)}, []step{{status: 503, delay: s}}, seconds(0, 3, 6, 9)},
		"one attempt is no retry":               {retrypolicy.Config{MaxAttempts: 1}, []step{{status: 503}}, seconds(0)},
		"a zero backoff retries at once":        {retrypolicy.Config{MaxAttempts: 3, Backoff: retrypolicy.Constant(0)}, []step{{status: 503}}, seconds(0, 0, 0)},
		"a negative delay counts as zero":       {retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.BackoffFunc(func(int, time.Duration) time.Duration { return -s })}, []step{{status: 503}}, seconds(0, 0)},
		"retry and previous reach the backoff":  {retrypolicy.Config{Backoff: retrypolicy.BackoffFunc(func(n int, previous time.Duration) time.Duration { return time.Duration(n)*s + previous })}, []step{{status: 503}}, seconds(0, 1, 4, 10)},
		"MaxElapsed ends before a late attempt": {retrypolicy.Config{MaxAttempts: 9, Backoff: retrypolicy.Constant(2 * s), MaxElapsed: 5 * s}, []step{{status: 503}}, seconds(0, 2, 4)},
		"MaxElapsed allows an attempt in time":  {retrypolicy.Config{MaxAttempts: 9, Backoff: retrypolicy.Constant(2 * s), MaxElapsed: 4 * s}, []step{{status: 503}}, seconds(0, 2, 4)},
		"Retry-After of zero is no hot loop":    {retrypolicy.Config{ThrottleBackoff: retrypolicy.Constant(2 * s)}, []step{{status: 429, header: header("Retry-After", "0")}}, seconds(0, 2, 4, 6)},
		"Retry-After in the past likewise":      {retrypolicy.Config{ThrottleBackoff: retrypolicy.Constant(2 * s)}, []step{{status: 429, header: header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")}}, seconds(0, 2, 4, 6)},
		"a negative Retry-After likewise":       {retrypolicy.Config{ThrottleBackoff: retrypolicy.Constant(2 * s)}, []step{{status: 429, header: header("Retry-After", "-5")}}, seconds(0, 2, 4, 6)},
		"throttled without a delay":             {retrypolicy.Config{}, []step{{status: 429}}, seconds(0, 1, 3, 7)},
		"overloaded without a delay":            {retrypolicy.Config{}, []step{{status: 529}}, seconds(0, 1, 3, 7)},
		"a day of Retry-After is not slept":     {retrypolicy.Config{}, []step{{status: 429, header: header("Retry-After", "86400")}}, seconds(0)},
		"a huge Retry-After does not overflow":  {retrypolicy.Config{}, []step{{status: 429, header: header("Retry-After", "10000000000")}}, seconds(0)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, began := newScript(tc.steps...), time.Now()
				rt := pacedhttp.New(base, pacedhttp.Retry(retrypolicy.Must(tc.policy)))
				if _, _, err := send(t, rt, newRequest(t, "GET", nil)); err != nil {
					t.Error(err)
				}
				wantTimes(t, base, began, tc.want...)
			})
		})
	}
}

func TestJitterOnlyLengthensWhatTheServerAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const asked = 20 * time.Second
		base, began := newScript(step{status: 429, header: header("Retry-After", "20")}), time.Now()
		var slept []time.Duration
		rt := pacedhttp.New(base, delays(&slept), pacedhttp.Retry(policyOf(100, time.Second)))
		if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 429 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		want := seconds(0)
		for _, d := range slept {
			if d < asked || d > asked+asked/10 {
				t.Errorf("a retry after %v, want from %v to a tenth more", d, asked)
			}
			want = append(want, want[len(want)-1]+d)
		}
		wantTimes(t, base, began, want...)
		if len(slices.Compact(slices.Sorted(slices.Values(slept)))) < 50 {
			t.Error("the retries have no jitter")
		}
	})
}

func TestStrictWindowWhileEverythingFails(t *testing.T) {
	tenths := func(from, to, step int) (at []time.Duration) {
		for i := from; i < to; i += step {
			at = append(at, time.Duration(i)*100*time.Millisecond)
		}
		return at
	}
	var burst []time.Duration
	for i := range 30 {
		burst = append(burst, time.Duration(i/5)*time.Second)
	}
	for name, tc := range map[string]struct {
		pacer func() *pacer.Pacer
		want  []time.Duration
	}{
		"in bursts": {func() *pacer.Pacer { return pacer.Burst(5, time.Second) }, burst},
		"evenly":    {func() *pacer.Pacer { return pacer.Drip(5, time.Second) }, tenths(0, 60, 2)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, began := newScript(step{status: 503}, step{err: errLost}), time.Now()
				rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(3, 100*time.Millisecond)), pacedhttp.Pace(tc.pacer()))
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

func TestRetryIsSafeWhereTheMethodAllowsIt(t *testing.T) {
	key := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, "k1") }
	}
	plain := func(*http.Request) {}
	ifMatch := func(r *http.Request) { r.Header.Set("If-Match", `"v1"`) }
	throttled := header("Retry-After", "1")
	for name, tc := range map[string]struct {
		method string
		change func(*http.Request)
		step   step
		sends  int
	}{
		"GET on a 503":                          {"GET", plain, step{status: 503}, 2},
		"PUT on a lost connection":              {"PUT", plain, step{err: errLost}, 2},
		"QUERY on a 503":                        {"QUERY", plain, step{status: 503}, 2},
		"POST on a 503":                         {"POST", plain, step{status: 503}, 1},
		"POST on a 500":                         {"POST", plain, step{status: 500}, 1},
		"POST on a 503 with Retry-After":        {"POST", plain, step{status: 503, header: throttled}, 1},
		"POST on a lost connection":             {"POST", plain, step{err: errLost}, 1},
		"PATCH on a 502":                        {"PATCH", plain, step{status: 502}, 1},
		"POST on a 429":                         {"POST", plain, step{status: 429}, 2},
		"POST on a 403 with Retry-After":        {"POST", plain, step{status: 403, header: throttled}, 2},
		"POST on a 529":                         {"POST", plain, step{status: 529}, 2},
		"POST on a 413 with Retry-After":        {"POST", plain, step{status: 413, header: throttled}, 2},
		"POST on a 413":                         {"POST", plain, step{status: 413}, 1},
		"POST on a 522":                         {"POST", plain, step{status: 522}, 1},
		"GET on a 522":                          {"GET", plain, step{status: 522}, 2},
		"POST on a 409 with x-should-retry":     {"POST", plain, step{status: 409, header: header("X-Should-Retry", "true")}, 2},
		"GET on a 503 with x-should-retry off":  {"GET", plain, step{status: 503, header: header("X-Should-Retry", "false")}, 1},
		"PUT with If-Match on a 503":            {"PUT", ifMatch, step{status: 503}, 1},
		"PUT with If-Match on a 429":            {"PUT", ifMatch, step{status: 429}, 2},
		"POST on a refused connection":          {"POST", plain, step{err: errRefused}, 2},
		"POST with Idempotency-Key on a 503":    {"POST", key("Idempotency-Key"), step{status: 503}, 2},
		"POST with X-Idempotency-Key on an EOF": {"POST", key("X-Idempotency-Key"), step{err: io.ErrUnexpectedEOF}, 2},
		"GET on a 404":                          {"GET", plain, step{status: 404}, 1},
		"GET on a 501":                          {"GET", plain, step{status: 501}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(tc.step)
				rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(2, time.Second)))
				req := newRequest(t, tc.method, strings.NewReader("payload"))
				tc.change(req)
				status, _, err := send(t, rt, req)
				if status != tc.step.status {
					t.Errorf("got %d, %v", status, err)
				}
				if base.calls() != tc.sends {
					t.Errorf("%d sends, want %d", base.calls(), tc.sends)
				}
				for _, r := range base.requests() {
					if r.body != "payload" {
						t.Errorf("sent the body %q", r.body)
					}
				}
			})
		})
	}
}

func TestPostIsSentAgainAfterARealRefusedConnection(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	sends := 0
	rt := pacedhttp.New(nil,
		pacedhttp.Observe(pacedhttp.Hooks{
			AttemptDone: func(context.Context, pacedhttp.AttemptResult) { sends++ },
		}),
		pacedhttp.Retry(policyOf(3, 0)))
	defer rt.CloseIdleConnections()
	req := newRequestTo(t, "POST", "http://"+closed.Addr().String(), strings.NewReader("order"))
	_, _, err = send(t, rt, req)
	if dial, ok := errors.AsType[*net.OpError](err); !ok || dial.Op != "dial" || sends != 3 {
		t.Errorf("got %v after %d sends", err, sends)
	}
}

func TestPolicyOfOneRequest(t *testing.T) {
	other := policyOf(3, 0)
	for name, tc := range map[string]struct {
		ctx   func(context.Context) context.Context
		sends int
	}{
		"the chain's": {func(ctx context.Context) context.Context { return ctx }, 2},
		"WithPolicy":  {func(ctx context.Context) context.Context { return retrypolicy.WithPolicy(ctx, other) }, 3},
		"nil is the default": {func(ctx context.Context) context.Context {
			return retrypolicy.WithPolicy(ctx, nil)
		}, 4},
		"WithoutRetry": {retrypolicy.WithoutRetry, 1},
		"WithPolicy undoes WithoutRetry": {func(ctx context.Context) context.Context {
			return retrypolicy.WithPolicy(retrypolicy.WithoutRetry(ctx), other)
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(step{status: 503})
				rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(2, 0)))
				req := newRequest(t, "GET", nil)
				send(t, rt, req.WithContext(tc.ctx(req.Context())))
				if base.calls() != tc.sends {
					t.Errorf("%d sends, want %d", base.calls(), tc.sends)
				}
			})
		})
	}
}

func TestNilPolicyIsTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{status: 503})
		send(t, pacedhttp.New(base, pacedhttp.Retry(nil)), newRequest(t, "GET", nil))
		if base.calls() != 4 {
			t.Errorf("%d sends, want 4", base.calls())
		}
	})
}

func TestStatusListLeavesErrorRetriesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{status: 418}, step{err: errLost}, step{status: 503}, step{})
		policy := retrypolicy.Must(retrypolicy.Config{
			Classify: retrypolicy.First(retrypolicy.Statuses(retrypolicy.Transient, 418), retrypolicy.DefaultClassifier),
		})
		status, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(policy)), newRequest(t, "GET", nil))
		if status != 200 || base.calls() != 4 {
			t.Errorf("got %d, %v after %d sends", status, err, base.calls())
		}
	})
}

func TestBudgetIsSharedByTwoChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := retrypolicy.Must(retrypolicy.Config{
			Backoff: retrypolicy.Constant(0),
			Budget:  retrypolicy.NewBudget(0.5, 0),
		})
		var why []retrypolicy.Reason
		bases := []*script{newScript(step{status: 503}), newScript(step{status: 503})}
		chains := []http.RoundTripper{
			pacedhttp.New(bases[0], reasons(&why), pacedhttp.Retry(policy)),
			pacedhttp.New(bases[1], reasons(&why), pacedhttp.Retry(policy)),
		}
		// Every second call brings one retry, whichever chain makes it.
		for _, chain := range []int{0, 1, 0, 1} {
			if status, _, err := send(t, chains[chain], newRequest(t, "GET", nil)); status != 503 {
				t.Errorf("got %d, %v", status, err)
			}
		}
		if a, b := bases[0].calls(), bases[1].calls(); a != 2 || b != 4 {
			t.Errorf("%d and %d sends, want 2 and 4", a, b)
		}
		for _, r := range why {
			if r != retrypolicy.ReasonBudgetExhausted {
				t.Errorf("gave up for %q", r)
			}
		}
	})
}

func TestNestedRetriesMultiply(t *testing.T) {
	for name, tc := range map[string]struct {
		inner pacedhttp.Middleware
		want  []time.Duration
	}{
		"two by two":          {pacedhttp.Retry(policyOf(2, time.Second)), seconds(0, 1, 11, 12)},
		"one with one of one": {pacedhttp.Retry(policyOf(1, time.Second)), seconds(0, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, began := newScript(step{status: 503, body: "busy"}), time.Now()
				rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(2, 10*time.Second)), tc.inner, pacedhttp.Pace(pacer.Burst(10, time.Second)))
				status, body, err := send(t, rt, newRequest(t, "GET", nil))
				if status != 503 || body != "busy" {
					t.Errorf("got %d %q, %v", status, body, err)
				}
				wantTimes(t, base, began, tc.want...)
			})
		})
	}
}

func TestClientTimeoutBoundsTheWholeCall(t *testing.T) {
	for name, tc := range map[string]struct {
		step   step
		status int // 0: an error that is a timeout
		took   time.Duration
		sends  []time.Duration
	}{
		"a wait that would outlive it is not begun": {step{status: 503}, 503, 4 * time.Second, seconds(0, 2, 4)},
		"an attempt that outlives it is cut":        {step{status: 503, delay: 2 * time.Second}, 0, 5 * time.Second, seconds(0, 4)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, began := newScript(tc.step), time.Now()
				client := pacedhttp.New(base, pacedhttp.Retry(policyOf(9, 2*time.Second))).Client()
				client.Timeout = 5 * time.Second
				resp, err := client.Get("http://api.test/")
				if took := time.Since(began); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				wantTimes(t, base, began, tc.sends...)
				var timeout net.Error
				switch {
				case err == nil:
					resp.Body.Close()
					if resp.StatusCode != tc.status {
						t.Errorf("got %d, want %d", resp.StatusCode, tc.status)
					}
				case tc.status != 0 || !errors.As(err, &timeout) || !timeout.Timeout():
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestSuccessStartsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goroutines := func() int {
			buf := make([]byte, 1<<20)
			return strings.Count(string(buf[:runtime.Stack(buf, true)]), "synctest bubble")
		}
		var during int
		base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
			during = goroutines()
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("ok")), Request: req}, nil
		}})
		rt := pacedhttp.New(base,
			pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)),
			pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{AttemptTimeout: time.Second})),
			pacedhttp.Pace(pacer.Burst(5, time.Second)))
		before := goroutines()
		resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		if after := goroutines(); before == 0 || during != before || after != before {
			t.Errorf("%d goroutines before, %d during, %d after the call", before, during, after)
		}
		readAll(t, resp)
	})
}
