package pacedhttp_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestEveryResultIsJudgedOnce(t *testing.T) {
	lost := errors.New("connection lost")
	for answer, first := range map[string]step{
		"a failure":            {status: 503, body: "down"},
		"an error":             {err: lost},
		"a timeout":            {delay: time.Hour},
		"a timeout, untold":    {delay: time.Hour},
		"throttled":            {status: 429, header: header("Retry-After", "1")},
		"a success":            {body: "fine"},
		"a success, no body":   {},
		"a client's own fault": {status: 404},
	} {
		for layers, below := range underPeeks {
			t.Run(answer+"/"+layers, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					req := newRequest(t, "GET", nil)
					var judged []retrypolicy.Attempt
					policy := quick(retrypolicy.Config{MaxAttempts: 2, AttemptTimeout: time.Minute, Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
						judged = append(judged, a)
						time.Sleep(time.Second)
						return retrypolicy.Unprocessed
					}})
					mw := append([]pacedhttp.Middleware{
						pacedhttp.Fallback(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) { return resp, err }),
						pacedhttp.Retry(policy),
					}, below()...)
					script := newScript(first)
					base := pacedhttp.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
						resp, err := script.RoundTrip(r)
						if answer == "a timeout, untold" {
							err = r.Context().Err() // as a base does that knows of no Cause
						}
						return resp, err
					})
					resp, err := pacedhttp.New(base, mw...).RoundTrip(req)
					if err == nil {
						resp.Body.Close()
					}
					if len(judged) != 2 {
						t.Fatalf("2 attempts were judged %d times", len(judged))
					}
					for i, a := range judged {
						if a.Request != req || a.Number != i+1 || !a.Replayable || (a.Response == nil) == (a.Err == nil) {
							t.Errorf("judged %+v", a)
						}
						if timeout := strings.HasPrefix(answer, "a timeout"); timeout != errors.Is(a.Err, context.DeadlineExceeded) {
							t.Errorf("judged the error %v", a.Err)
						}
					}
					if judged[1].Elapsed < time.Second {
						t.Errorf("Elapsed is %v", judged[1].Elapsed)
					}
				})
			})
		}
	}
}

func TestWhatALayerBetweenHandsUpIsJudgedItself(t *testing.T) {
	lost := errors.New("connection lost")
	another := func(resp *http.Response) *http.Response {
		r := *resp
		return &r
	}
	for name, tc := range map[string]struct {
		change func(*http.Response, error) (*http.Response, error)
		first  step
		want   []string
	}{
		"the same":         {func(r *http.Response, err error) (*http.Response, error) { return r, err }, step{status: 503}, []string{"503"}},
		"another response": {func(r *http.Response, err error) (*http.Response, error) { return another(r), err }, step{status: 503}, []string{"503", "503"}},
		"another status":   {func(r *http.Response, err error) (*http.Response, error) { r.StatusCode = 418; return r, err }, step{status: 503}, []string{"503", "418"}},
		"an error instead": {func(r *http.Response, err error) (*http.Response, error) { r.Body.Close(); return nil, lost }, step{status: 503}, []string{"503", "connection lost"}},
		"another error":    {func(*http.Response, error) (*http.Response, error) { return nil, lost }, step{err: errRefused}, []string{errRefused.Error(), "connection lost"}},
		"the same error":   {func(_ *http.Response, err error) (*http.Response, error) { return nil, err }, step{err: errRefused}, []string{errRefused.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			var judged []string
			policy := retrypolicy.Must(retrypolicy.Config{Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
				judged = append(judged, result(a.Response, a.Err))
				return retrypolicy.Accept
			}})
			between := func(next http.RoundTripper) http.RoundTripper {
				return pacedhttp.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
					resp, err := next.RoundTrip(r)
					return tc.change(resp, err)
				})
			}
			pace := pacedhttp.Pace(pacer.Must(pacer.Config{MaxInFlight: 1}))
			resp, err := pacedhttp.New(newScript(tc.first), pacedhttp.Retry(policy), between, pace).RoundTrip(newRequest(t, "GET", nil))
			if err == nil {
				resp.Body.Close()
			}
			if len(judged) != len(tc.want) {
				t.Fatalf("judged %q, want %q", judged, tc.want)
			}
			for i, want := range tc.want {
				if judged[i] != want {
					t.Errorf("judged %q, want %q", judged, tc.want)
				}
			}
		})
	}
}

func TestPaceObeysThePolicysServerDelay(t *testing.T) {
	for name, tc := range map[string]struct {
		delay time.Duration
		said  bool
		pause time.Duration // 0: none; but a pacer pauses for a second where nothing is said
	}{
		"a delay":              {7 * time.Second, true, 7 * time.Second},
		"none":                 {7 * time.Second, false, 0},
		"zero":                 {0, true, 0},
		"a negative one":       {-7 * time.Second, true, 0},
		"more than a day":      {48 * time.Hour, true, 24 * time.Hour},
		"as long as there is":  {math.MaxInt64 - 1, true, 24 * time.Hour},
		"do not retry":         {math.MaxInt64, true, 0},
		"as short as there is": {math.MinInt64, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, flights, began := &pausable{}, pacer.Must(pacer.Config{MaxInFlight: 1}), time.Now()
				policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, ServerDelay: func(resp *http.Response, now time.Time) (time.Duration, bool) {
					if resp.StatusCode != 429 || !now.Equal(began) {
						t.Errorf("asked about %d at %v", resp.StatusCode, now)
					}
					return tc.delay, tc.said
				}})
				base := newScript(step{status: 429, header: header("Retry-After", "20")})
				rt := pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.Pace(w), pacedhttp.Pace(flights))
				if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 429 || err != nil {
					t.Errorf("%d, %v", status, err)
				}
				if tc.pause == 0 {
					if len(w.paused) != 0 {
						t.Errorf("paused until %v", w.paused)
					}
				} else if len(w.paused) != 1 || !w.paused[0].Equal(began.Add(tc.pause)) {
					t.Errorf("paused until %v, want %v after %v", w.paused, tc.pause, began)
				}
				pause := max(tc.pause, time.Second)
				if tc.delay == math.MaxInt64 { // which is said of this call alone
					pause = 0
				}
				if got := max(0, time.Until(flights.Stats().PausedUntil)); got != pause {
					t.Errorf("the pacer is paused for %v, want %v", got, pause)
				}
			})
		})
	}
}

// An entity that is too large now says nothing of others: its call waits, and nobody else.
func TestTooLargeForNowHoldsNobodyElseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, began := newScript(step{status: 413, header: header("Retry-After", "10")}, step{}), time.Now()
		w := &pausable{}
		var slept []time.Duration
		rt := pacedhttp.New(base, delays(&slept), pacedhttp.Retry(policyOf(2, 0)), pacedhttp.Pace(w))
		if status, _, err := send(t, rt, newRequest(t, "POST", nil)); status != 200 || err != nil {
			t.Errorf("%d, %v", status, err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second || len(w.paused) != 0 {
			t.Errorf("took %v, paused until %v", took, w.paused)
		}
	})
}

func TestPanicOfServerDelayLeavesNothingOpen(t *testing.T) {
	for name, below := range underPeeks {
		base := newScript(step{status: 429, body: "busy"})
		policy := quick(retrypolicy.Config{ServerDelay: func(*http.Response, time.Time) (time.Duration, bool) { panic(errLost) }})
		func() {
			defer func() {
				if v := recover(); v != errLost {
					t.Errorf("%s: recovered %v", name, v)
				}
			}()
			pacedhttp.New(base, append([]pacedhttp.Middleware{pacedhttp.Retry(policy)}, below()...)...).RoundTrip(newRequest(t, "GET", nil))
		}()
		base.responseBodies()[0].wantClosedOnce(t)
	}
}

// What the first attempt wrote makes the second fail, and a caller who is told so believes
// that somebody else wrote.
func TestConditionalPutDoesNotReportItsOwnFirstAttempt(t *testing.T) {
	version := "v1"
	base := pacedhttp.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("If-Match") != version {
			return &http.Response{StatusCode: 412, Body: http.NoBody, Request: r}, nil
		}
		version = "v2"
		return nil, errLost // the answer never arrives
	})
	req := newRequest(t, "PUT", nil)
	req.Header.Set("If-Match", "v1")
	_, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{}))).RoundTrip(req)
	if err != errLost {
		t.Errorf("got %v, want the error itself", err)
	}
}
