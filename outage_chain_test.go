package pacedhttp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// What times out is judged above Pace, and yet the pacer hears that it failed.
func TestAttemptsThatTimeOutMakeAnOutage(t *testing.T) {
	hangs := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	limits := []pacer.Limit{{Calls: 100, Period: time.Second}}
	for name, cfg := range map[string]pacer.Config{
		"no slots": {Limits: limits, Outage: &pacer.Outage{After: 3}},
		"slots":    {Limits: limits, MaxInFlight: 2, Outage: &pacer.Outage{After: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacer.Must(cfg)
				rt := pacedhttp.New(hangs,
					pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, AttemptTimeout: time.Second})),
					pacedhttp.Pace(p))
				for call := 1; call <= 3; call++ {
					if got := p.Stats().State; got != pacer.StateFlowing {
						t.Errorf("%v before call %d, want flowing", got, call)
					}
					if _, err := rt.RoundTrip(newRequest(t, "GET", nil)); err == nil {
						t.Error("a call that hangs has succeeded")
					}
				}
				if got := p.Stats(); got.State != pacer.StateDown || got.Cause != "3 failures in a row" {
					t.Errorf("%v, %q after three calls that timed out, want down", got.State, got.Cause)
				}
			})
		})
	}
}
