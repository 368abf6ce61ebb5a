package pacedhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// spare answers 200 "spare" and counts its calls.
func spare(calls *int) pacedhttp.FallbackFunc {
	answer := pacedhttp.StaticResponse(200, nil, []byte("spare"))
	return func(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
		*calls++
		return answer(req, resp, err)
	}
}

func TestFallbackAnswersWhatFailedForGood(t *testing.T) {
	retry := pacedhttp.Retry(policyOf(3, time.Second))
	teapot := pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{
		MaxAttempts: 2, Backoff: retrypolicy.Constant(0), Classify: retrypolicy.Statuses(retrypolicy.Transient, 418),
	}))
	refused := pacedhttp.Pace(grants(0))
	for name, tc := range map[string]struct {
		below  []pacedhttp.Middleware
		method string
		step   step
		sends  int
		used   bool
	}{
		"success":                      {[]pacedhttp.Middleware{retry}, "GET", step{}, 1, false},
		"404":                          {[]pacedhttp.Middleware{retry}, "GET", step{status: 404}, 1, false},
		"403":                          {[]pacedhttp.Middleware{retry}, "GET", step{status: 403}, 1, false},
		"503, retried in vain":         {[]pacedhttp.Middleware{retry}, "GET", step{status: 503}, 3, true},
		"an error, retried in vain":    {[]pacedhttp.Middleware{retry}, "GET", step{err: errLost}, 3, true},
		"an error, not retryable":      {[]pacedhttp.Middleware{retry}, "GET", step{err: errors.New("unsupported protocol scheme")}, 1, true},
		"POST 503, not retried":        {[]pacedhttp.Middleware{retry}, "POST", step{status: 503}, 1, true},
		"Retry-After too long":         {[]pacedhttp.Middleware{retry}, "GET", step{status: 429, header: header("Retry-After", "3600")}, 1, true},
		"no slot":                      {[]pacedhttp.Middleware{retry, refused}, "GET", step{}, 0, true},
		"no slot for the retry":        {[]pacedhttp.Middleware{retry, pacedhttp.Pace(grants(1))}, "GET", step{status: 503}, 1, true},
		"503, without Retry":           {nil, "GET", step{status: 503}, 1, true},
		"404, without Retry":           {nil, "GET", step{status: 404}, 1, false},
		"an error, without Retry":      {nil, "GET", step{err: errLost}, 1, true},
		"a failure to the policy":      {[]pacedhttp.Middleware{teapot}, "GET", step{status: 418}, 2, true},
		"no failure to the policy":     {[]pacedhttp.Middleware{teapot}, "GET", step{status: 503}, 1, false},
		"no failure, layers between":   {[]pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{}), teapot, pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil })}, "GET", step{status: 503}, 1, false},
		"the inner of two Retry":       {[]pacedhttp.Middleware{retry, teapot}, "GET", step{status: 418}, 2, false},
		"answered by another fallback": {[]pacedhttp.Middleware{pacedhttp.Fallback(pacedhttp.StaticResponse(204, nil, nil)), retry}, "GET", step{status: 503}, 3, false},
		"another fallback's own 503":   {[]pacedhttp.Middleware{pacedhttp.Fallback(pacedhttp.StaticResponse(503, nil, nil)), retry}, "GET", step{status: 500}, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				used := 0
				base := newScript(tc.step)
				rt := pacedhttp.New(base, append([]pacedhttp.Middleware{pacedhttp.Fallback(spare(&used))}, tc.below...)...)
				_, body, err := send(t, rt, newRequest(t, tc.method, strings.NewReader("x")))
				if (used == 1) != tc.used || used > 1 || (body == "spare") != tc.used {
					t.Errorf("fallback used %d times; got %q, %v", used, body, err)
				}
				if base.calls() != tc.sends {
					t.Errorf("%d sends, want %d", base.calls(), tc.sends)
				}
				for _, b := range base.responseBodies() {
					b.wantClosedOnce(t)
				}
			})
		})
	}
}

func TestWithoutRetryStillFallsBack(t *testing.T) {
	used := 0
	rt := pacedhttp.New(newScript(step{status: 503}), pacedhttp.Fallback(spare(&used)), pacedhttp.Retry(nil))
	req := newRequest(t, "GET", nil)
	if _, body, err := send(t, rt, req.WithContext(retrypolicy.WithoutRetry(req.Context()))); body != "spare" {
		t.Errorf("got %q, %v", body, err)
	}
}

// A Retry layer above sees the fallback's answer as its attempt's.
func TestFallbackBelowRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		teapot := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Second), Classify: retrypolicy.Statuses(retrypolicy.Transient, 418)})
		for status, want := range map[int]string{418: "spare", 503: ""} { // the policy above decides what is a failure
			used := 0
			rt := pacedhttp.New(newScript(step{status: status}), pacedhttp.Retry(teapot), pacedhttp.Fallback(spare(&used)))
			if _, body, err := send(t, rt, newRequest(t, "GET", nil)); body != want {
				t.Errorf("%d: got %q, %v", status, body, err)
			}
		}
	})
}

// A layer between Retry and Pace may send again by itself: what counts is what it hands up.
func TestFallbackLeavesASuccessThatAnAttemptBroughtAfterAFailure(t *testing.T) {
	again := func(next http.RoundTripper) http.RoundTripper {
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err == nil && resp.StatusCode == 503 {
				resp.Body.Close()
				return next.RoundTrip(req)
			}
			return resp, err
		})
	}
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		rt := pacedhttp.New(newScript(step{status: 503}, step{body: "own"}), pacedhttp.Fallback(spare(&calls)), pacedhttp.Retry(nil), again, pacedhttp.Pace(unlimited()))
		if status, body, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || body != "own" || err != nil || calls != 0 {
			t.Errorf("got %d %q, %v after %d fallbacks", status, body, err, calls)
		}
	})
}

func TestFallbackIsGivenTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []step{{status: 503, body: "busy"}, {err: errLost}} {
			req := newRequest(t, "GET", nil)
			rt := pacedhttp.New(newScript(s),
				pacedhttp.Fallback(func(got *http.Request, resp *http.Response, err error) (*http.Response, error) {
					if got != req {
						t.Error("the request is not the caller's")
					}
					failure, ok := errors.AsType[*retrypolicy.Error](err)
					switch {
					case s.err == nil && (resp == nil || resp.StatusCode != 503 || readAll(t, resp) != "busy" || err != nil):
						t.Errorf("given %v, %v", resp, err)
					case s.err != nil && (resp != nil || !ok || failure.Attempts != 2 || !errors.Is(err, s.err)):
						t.Errorf("given %v, %v", resp, err)
					}
					return pacedhttp.StaticResponse(200, nil, nil)(got, nil, nil)
				}),
				pacedhttp.Retry(policyOf(2, 0)))
			send(t, rt, req)
		}
	})
}

func TestFallbackMayReturnWhatItWasGiven(t *testing.T) {
	for _, s := range []step{{status: 503, body: "busy"}, {err: errLost}} {
		base := newScript(s)
		rt := pacedhttp.New(base, pacedhttp.Fallback(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			return resp, err
		}))
		status, body, err := send(t, rt, newRequest(t, "GET", nil))
		if status != s.status || body != s.body || err != s.err {
			t.Errorf("got %d %q, %v", status, body, err)
		}
		for _, b := range base.responseBodies() {
			b.wantClosedOnce(t) // by the caller
		}
	}
}

func TestFallbackReleasesWhatItReplaces(t *testing.T) {
	other := trackString("other")
	for name, tc := range map[string]struct {
		f      pacedhttp.FallbackFunc
		status int
		err    error
	}{
		"another response": {pacedhttp.StaticResponse(200, nil, nil), 200, nil},
		"an error":         {func(*http.Request, *http.Response, error) (*http.Response, error) { return nil, errClosed }, 0, errClosed},
		"both": {func(*http.Request, *http.Response, error) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: other}, errClosed
		}, 0, errClosed},
		"the same with an error": {func(_ *http.Request, resp *http.Response, _ error) (*http.Response, error) { return resp, errClosed }, 0, errClosed},
		"neither":                {func(*http.Request, *http.Response, error) (*http.Response, error) { return nil, nil }, 0, nil},
		"no body": {func(*http.Request, *http.Response, error) (*http.Response, error) {
			return &http.Response{StatusCode: 204}, nil
		}, 204, nil},
		"closed by itself": {func(req *http.Request, resp *http.Response, _ error) (*http.Response, error) {
			io.Copy(io.Discard, resp.Body)
			return pacedhttp.StaticResponse(200, nil, nil)(req, nil, nil)
		}, 200, nil},
	} {
		t.Run(name, func(t *testing.T) {
			base := newScript(step{status: 503, body: "busy"})
			var told pacedhttp.FallbackInfo
			rt := pacedhttp.New(base,
				pacedhttp.Observe(pacedhttp.Hooks{FallbackUsed: func(_ context.Context, i pacedhttp.FallbackInfo) { told = i }}),
				pacedhttp.Fallback(tc.f))
			status, _, err := send(t, rt, newRequest(t, "GET", nil))
			if status != tc.status || tc.err != nil && !errors.Is(err, tc.err) {
				t.Errorf("got %d, %v", status, err)
			}
			if told.Err != err || (told.Response == nil) == (err == nil) {
				t.Errorf("the hook was told %v, %v; the caller got %v", told.Response, told.Err, err)
			}
			base.responseBodies()[0].wantClosedOnce(t)
		})
	}
	other.wantClosedOnce(t)
}

func TestPanicInAFallbackPassesThroughAndReleasesTheResponse(t *testing.T) {
	base := newScript(step{status: 503, body: "busy"})
	rt := pacedhttp.New(base, pacedhttp.Fallback(func(*http.Request, *http.Response, error) (*http.Response, error) {
		panic("no idea")
	}), pacedhttp.Retry(policyOf(1, 0)))
	func() {
		defer func() {
			if r := recover(); r != "no idea" {
				t.Errorf("recovered %v", r)
			}
		}()
		send(t, rt, newRequest(t, "GET", nil))
	}()
	base.responseBodies()[0].wantClosedOnce(t)
}

func TestCallersCancellationIsNeverAnswered(t *testing.T) {
	for name, tc := range map[string]struct {
		step  step
		below []pacedhttp.Middleware
	}{
		"during an attempt":             {step{delay: time.Hour}, nil},
		"during an attempt, with Retry": {step{delay: time.Hour}, []pacedhttp.Middleware{pacedhttp.Retry(nil)}},
		"during a backoff":              {step{status: 503}, []pacedhttp.Middleware{pacedhttp.Retry(policyOf(2, time.Hour))}},
		"in the queue":                  {step{}, []pacedhttp.Middleware{pacedhttp.Pace(waiterFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				used := 0
				rt := pacedhttp.New(newScript(tc.step), append([]pacedhttp.Middleware{pacedhttp.Fallback(spare(&used))}, tc.below...)...)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				_, _, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
				if used != 0 || !errors.Is(err, context.Canceled) {
					t.Errorf("fallback used %d times; got %v", used, err)
				}
			})
		})
	}
}

func TestCallersDeadlineIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := 0
		client := pacedhttp.New(newScript(step{delay: time.Hour}), pacedhttp.Fallback(spare(&used)), pacedhttp.Retry(nil)).Client()
		client.Timeout = time.Second
		resp, err := client.Get("http://api.test/")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); body != "spare" {
			t.Errorf("got %q", body)
		}
	})
}

func TestStaticResponse(t *testing.T) {
	text := header("Content-Type", "text/plain", "Content-Length", "999")
	for name, tc := range map[string]struct {
		method       string
		status       int
		body         string
		want, length string
		size         int64
	}{
		"a body":          {"GET", 200, "cached", "cached", "6", 6},
		"no body":         {"GET", 200, "", "", "0", 0},
		"HEAD":            {"HEAD", 200, "cached", "", "6", 6},
		"204 has none":    {"GET", 204, "cached", "", "", 0},
		"304 has none":    {"GET", 304, "cached", "", "", 0},
		"the least code":  {"GET", 100, "", "", "", 0},
		"the utmost code": {"GET", 999, "odd", "odd", "3", 3},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(tc.body)
			f := pacedhttp.StaticResponse(tc.status, text, body)
			clear(body) // copied, so this changes nothing
			req := newRequest(t, tc.method, nil)
			for range 2 {
				resp, err := f(req, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != tc.status || resp.Proto != "HTTP/1.1" || !resp.ProtoAtLeast(1, 1) || resp.Request != req {
					t.Errorf("got %+v", resp)
				}
				if resp.ContentLength != tc.size || resp.Header.Get("Content-Length") != tc.length {
					t.Errorf("ContentLength %d, header %q; want %d and %q", resp.ContentLength, resp.Header.Get("Content-Length"), tc.size, tc.length)
				}
				if resp.Header.Get("Content-Type") != "text/plain" {
					t.Errorf("got the header %v", resp.Header)
				}
				if got := readAll(t, resp); got != tc.want {
					t.Errorf("got the body %q, want %q", got, tc.want)
				}
				resp.Header.Set("Content-Type", "changed") // a copy too, so the second has it unchanged
			}
		})
	}
	if text.Get("Content-Length") != "999" {
		t.Error("the header that was given is modified")
	}
}

func TestStaticResponseRefusesAStatusThatIsNone(t *testing.T) {
	for _, status := range []int{-1, 0, 99, 1000} {
		resp, err := pacedhttp.StaticResponse(status, nil, nil)(newRequest(t, "GET", nil), nil, nil)
		if resp != nil || err == nil || !strings.Contains(err.Error(), "must be from 100 to 999") {
			t.Errorf("%d: got %v, %v", status, resp, err)
		}
	}
}
