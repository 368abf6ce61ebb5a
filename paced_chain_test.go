package pacedhttp_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// throttling is a step that refuses for so many seconds.
func throttling(retryAfter string) step {
	return step{status: 429, header: header("Retry-After", retryAfter), body: "busy"}
}

func TestTheServersDelayBelongsToThePacer(t *testing.T) {
	for name, newPacer := range map[string]func() *pacer.Pacer{
		"windows": unlimited, "flights": func() *pacer.Pacer { return flights(1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				rt := pacedhttp.New(newScript(throttling("30"), step{}), pacedhttp.Observe(j.hooks()),
					pacedhttp.Retry(policyOf(2, time.Second)), pacedhttp.Pace(newPacer()))
				send(t, rt, newRequest(t, "POST", nil))
				j.want(t, // and no tenth more
					"0s slot requested #1 waited=0s err=<nil>",
					"0s slot acquired #1 waited=0s err=<nil>",
					"0s attempt started #1/1 paced=0s previous=0s",
					"0s paused #1 429 for 30s",
					"0s attempt done #1/1 429 throttled took=0s",
					"0s retry scheduled #0/1 429 throttled delay=0s",
					"0s slot requested #2 waited=0s err=<nil>",
					"10s slot waiting #2 waited=10s paused throttled predicted=20s",
					"30s slot acquired #2 waited=30s err=<nil>",
					"30s attempt started #2/2 paced=30s previous=0s",
					"30s attempt done #2/2 200 accept took=0s",
					"30s call done #0 200 attempts=2 accepted elapsed=30s",
				)
			})
		})
	}
}

// What has but PauseUntil may not hold back who was told, so Retry waits too.
func TestOnlyWhatHearsReportsTakesTheDelayOver(t *testing.T) {
	for name, tc := range map[string]struct {
		waiter pacedhttp.Waiter
		mw     pacedhttp.Middleware // between Retry and Pace
		delay  bool                 // of Retry's
	}{
		"a pacer":           {unlimited(), nil, false},
		"slots":             {flights(9), nil, false},
		"PauseUntil":        {&pausable{}, nil, true},
		"a plain Waiter":    {grants(9), nil, true},
		"another's answer":  {unlimited(), throttlesAnew, true},
		"nothing was asked": {nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var waits []time.Duration
				rt := pacedhttp.New(newScript(throttling("5"), step{}), delays(&waits),
					pacedhttp.Retry(policyOf(2, time.Second)), tc.mw, pacedhttp.PaceBy(func(*http.Request) pacedhttp.Waiter { return tc.waiter }))
				send(t, rt, newRequest(t, "GET", nil))
				if len(waits) != 1 || (waits[0] > 0) != tc.delay {
					t.Errorf("Retry waits for %v", waits)
				}
			})
		})
	}
}

// throttlesAnew is a layer that hands up an answer of its own for one that throttles.
func throttlesAnew(next http.RoundTripper) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil && resp.StatusCode == 429 {
			resp.Body.Close()
			return &http.Response{StatusCode: 429, Header: header("Retry-After", "3"), Body: http.NoBody, Request: req}, nil
		}
		return resp, err
	})
}

func TestAnotherPacerMayBeFreeForTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, n := time.Now(), 0
		quotas := []*pacer.Pacer{unlimited(), unlimited()}
		base := newScript(throttling("50"), step{})
		rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.PaceBy(func(*http.Request) pacedhttp.Waiter {
			n++
			return quotas[(n-1)%2]
		}))
		if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		wantTimes(t, base, began, 0, 0)
	})
}

func TestNoPacerLetsARetryWaitForLongerThanMaxRetryAfter(t *testing.T) {
	const s = time.Second
	for name, tc := range map[string]struct {
		asked   string
		max     time.Duration
		elapsed time.Duration
		waiter  func() pacedhttp.Waiter
		want    retrypolicy.Reason // "" = another attempt
	}{
		"longer":                         {"21", 20 * s, 0, nil, retrypolicy.ReasonRetryAfterTooLong},
		"as long":                        {"20", 20 * s, 0, nil, ""},
		"MaxElapsed before it":           {"20", 20 * s, 19 * s, nil, retrypolicy.ReasonMaxElapsed},
		"before MaxElapsed":              {"21", 20 * s, 21 * s, nil, retrypolicy.ReasonRetryAfterTooLong},
		"longer in flight":               {"21", 20 * s, 0, func() pacedhttp.Waiter { return flights(1) }, retrypolicy.ReasonRetryAfterTooLong},
		"by a Waiter that gives slots":   {"21", 20 * s, 0, func() pacedhttp.Waiter { return &shelf{flights(1)} }, retrypolicy.ReasonRetryAfterTooLong},
		"longer than a pause may last":   {"61", 2 * time.Minute, 0, nil, retrypolicy.ReasonPaused},
		"a pause as long as it may be":   {"60", 2 * time.Minute, 0, nil, ""},
		"the default, and as long as it": {"60", time.Minute, 0, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w pacedhttp.Waiter = unlimited()
				if tc.waiter != nil {
					w = tc.waiter()
				}
				var why []retrypolicy.Reason
				base := newScript(throttling(tc.asked), step{})
				began := time.Now()
				rt := pacedhttp.New(base, reasons(&why), pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{MaxRetryAfter: tc.max, MaxElapsed: tc.elapsed})), pacedhttp.Pace(w))
				status, body, err := send(t, rt, newRequest(t, "GET", nil))
				if tc.want == "" {
					if status != 200 || err != nil || len(why) > 0 {
						t.Errorf("got %d, %v, %q", status, err, why)
					}
					return
				}
				if status != 429 || body != "busy" || err != nil || time.Since(began) != 0 || !slices.Equal(why, []retrypolicy.Reason{tc.want}) {
					t.Errorf("got %d %q, %v after %v for %q, want what was set aside, at once, for %q", status, body, err, time.Since(began), why, tc.want)
				}
			})
		})
	}
}

// A shelf is an Acquirer of another make.
type shelf struct{ *pacer.Pacer }

// The pacer said that the slot comes in time. That others try first whether the server works
// again is no reason to give up.
func TestAWaitThatWasToBeInTimeIsNotCut(t *testing.T) {
	patient := func() pacedhttp.Waiter { return pacer.Must(pacer.Config{MaxInFlight: 5}) }
	for name, tc := range map[string]struct {
		waiter func() pacedhttp.Waiter
		flying int // of 20 calls
	}{
		"windows": {func() pacedhttp.Waiter {
			return pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}})
		}, 20},
		"flights":                   {patient, 5},
		"a Waiter that gives slots": {func() pacedhttp.Waiter { return &shelf{patient().(*pacer.Pacer)} }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps := slices.Repeat([]step{{status: 429, header: header("Retry-After", "60"), delay: time.Second}}, tc.flying)
				rt := pacedhttp.New(newScript(append(steps, step{delay: time.Second})...), pacedhttp.Retry(nil), pacedhttp.Pace(tc.waiter()))
				ends := make(chan int)
				for range 20 {
					go func() {
						status, _, err := send(t, rt, newRequest(t, "GET", nil))
						if err != nil {
							t.Error(err)
						}
						ends <- status
					}()
				}
				for range 20 {
					if status := <-ends; status != 200 {
						t.Errorf("got %d", status)
					}
				}
			})
		})
	}
}

// That is the wiring for an SDK that has a retryer of its own.
func TestRetryOfOneAttemptGivesPaceItsPolicyWithoutSendingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := unlimited()
		policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, ServerDelay: func(resp *http.Response, _ time.Time) (time.Duration, bool) {
			return 7 * time.Second, resp.Header.Get("Wait") != ""
		}})
		base := newScript(step{status: 429, header: header("Wait", "a little"), body: "busy"})
		status, body, err := send(t, pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.Pace(p)), newRequest(t, "GET", nil))
		if status != 429 || body != "busy" || err != nil || base.calls() != 1 {
			t.Errorf("got %d %q, %v after %d sends", status, body, err, base.calls())
		}
		if left := time.Until(p.Stats().PausedUntil); left != 7*time.Second {
			t.Errorf("the pacer is paused for %v", left)
		}
	})
}

// What fails without a response is heard of too, where that is the service's failure.
func TestThrottlingErrorIsThePacersToo(t *testing.T) {
	errBusy := errors.New("busy")
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 2, Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
			if errors.Is(a.Err, errBusy) {
				return retrypolicy.Throttled
			}
			return retrypolicy.DefaultClassifier(a)
		}})
		base, began := newScript(step{err: errBusy}, step{}), time.Now()
		send(t, pacedhttp.New(base, delays(&waits), pacedhttp.Retry(policy), pacedhttp.Pace(unlimited())), newRequest(t, "GET", nil))
		if !slices.Equal(waits, seconds(0)) {
			t.Errorf("Retry waits for %v", waits)
		}
		wantTimes(t, base, began, 0, time.Second)
	})
}
