package pacedhttp_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestBodyThatIsNeverClosedIsSeenInOldestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := flights(2)
		rt := pacedhttp.New(newScript(step{body: "abc"}), pacedhttp.Retry(nil), pacedhttp.Pace(p))
		forgotten, err := rt.RoundTrip(newRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 3 {
			time.Sleep(time.Minute)
			send(t, rt, newRequest(t, "GET", nil))
		}
		if stats := p.Stats(); stats.InFlight != 1 || !stats.OldestInFlight.Equal(began) {
			t.Errorf("%d in flight, the oldest since %v; want 1 since %v", stats.InFlight, stats.OldestInFlight, began)
		}
		forgotten.Body.Close()
	})
}

func TestCallerWhoGivesUpEndsItsFlightAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := flights(1)
		base := newScript(step{delay: time.Hour}, step{body: "abc"})
		rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(p))
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		send(t, rt, newRequest(t, "GET", nil))
		wantTimes(t, base, began, seconds(0, 1)...)
	})
}

// Through Wait a cost still counts, and stays what it was estimated to be.
func TestWaiterThatHidesAcquireSettlesNothing(t *testing.T) {
	p := tokens(1000)
	hidden := struct{ pacedhttp.Waiter }{p}
	rt := pacedhttp.New(newScript(step{body: "abc"}), costing(100), pacedhttp.Retry(nil), pacedhttp.Pace(hidden))
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if pacedhttp.Settle(resp, "tokens", 7) || used(p) != 100 {
		t.Errorf("was settled: %d used, want 100", used(p))
	}
}

func TestCostOnAProgramsContextIsThatOfEveryAttempt(t *testing.T) {
	p := tokens(1000)
	estimate := func(*http.Request) int { t.Error("was asked for an estimate"); return 1 }
	rt := pacedhttp.New(newScript(step{status: 503}, step{}), pacedhttp.Cost("tokens", estimate),
		pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(p))
	program := pacer.WithCost(t.Context(), "tokens", 70)
	for range 3 {
		send(t, rt, newRequest(t, "GET", nil).WithContext(program))
	}
	if used(p) != 4*70 {
		t.Errorf("%d used, want 280 for a retry and three calls", used(p))
	}
}

// Between Retry and Pace it takes a slot before the request does; below Pace the request
// holds the slot that the token would need.
func TestTokenFetchedBelowPaceThroughTheSamePacerWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := flights(1)
		base := newScript(step{body: "secret"})
		tokens := pacedhttp.New(base, pacedhttp.Pace(p))
		fetch := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			resp, err := tokens.RoundTrip(newRequestTo(t, "GET", "http://tokens.test/", nil).WithContext(req.Context()))
			if err == nil {
				readAll(t, resp)
			}
			return err
		})
		rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(p), fetch)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
		if stats := p.Stats(); !errors.Is(err, context.DeadlineExceeded) || base.calls() != 0 || stats.InFlight != 0 {
			t.Errorf("%v after %d sends, %d in flight; want the deadline, none and none", err, base.calls(), stats.InFlight)
		}
	})
}
