package recipes

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cristalhq/hedgedhttp"
	"github.com/gregjones/httpcache"
	"github.com/sony/gobreaker/v2"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// Hedged sends a second request where the first has not been answered for some time. Each takes a
// slot, and has its own retries.
func Hedged(base http.RoundTripper, quota *pacer.Pacer, after time.Duration) (*http.Client, error) {
	chain := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(quota))
	return hedgedhttp.NewClient(after, 2, &http.Client{Transport: chain})
}

// Cached answers from a cache what it may: that takes no slot. What it revalidates does.
func Cached(base http.RoundTripper, quota *pacer.Pacer) *http.Client {
	cache := httpcache.NewMemoryCacheTransport()
	cache.Transport = pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(quota))
	return cache.Client()
}

var errUnavailable = errors.New("the service is unavailable")

// Broken has a circuit breaker above the retries: it counts calls that failed for good, and while
// it is open nothing below it is asked.
func Broken(base http.RoundTripper, quota *pacer.Pacer) *http.Client {
	breaker := gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		Timeout:     10 * time.Second,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		IsSuccessful: func(err error) bool { // who gives up or is refused by the pacer says nothing of the service
			_, refused := errors.AsType[*pacedhttp.PaceError](err)
			return err == nil || refused || errors.Is(err, context.Canceled)
		},
	})
	breaking := func(next http.RoundTripper) http.RoundTripper {
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			asked := false
			resp, err := breaker.Execute(func() (*http.Response, error) {
				asked = true
				resp, err := next.RoundTrip(req)
				if err == nil && resp.StatusCode >= 500 {
					return resp, errUnavailable
				}
				return resp, err
			})
			if !asked && req.Body != nil {
				req.Body.Close() // as every RoundTripper must
			}
			if err == errUnavailable {
				return resp, nil
			}
			return resp, err
		})
	}
	return pacedhttp.New(base, breaking, pacedhttp.Retry(nil), pacedhttp.Pace(quota)).Client()
}
