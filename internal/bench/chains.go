package main

import (
	"io"
	"log"
	"net/http"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/time/rate"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A simChain is a way to put a limit on calls and to retry them, set up as its own documentation
// does, but for what all have in common: a quota per second and so many attempts a call.
type simChain struct {
	name string
	even bool // it sends one by one
	make func(base http.RoundTripper, quota int) http.RoundTripper
}

const simAttempts = 8

func oursWith(even, outage bool) func(http.RoundTripper, int) http.RoundTripper {
	return func(base http.RoundTripper, quota int) http.RoundTripper {
		cfg := pacer.Config{
			Limits:   []pacer.Limit{{Calls: quota, Period: time.Second, Even: even}},
			MaxPause: 2 * time.Minute, // as patient as the others with what is down for a minute
		}
		if outage {
			cfg.Outage = &pacer.Outage{}
		}
		return pacedhttp.New(base,
			pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{MaxAttempts: simAttempts})),
			pacedhttp.Pace(pacer.Must(cfg)))
	}
}

// limited is what a program writes to put a limiter beneath its retries.
type limited struct {
	next    http.RoundTripper
	limiter *rate.Limiter
}

func (t limited) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.limiter.Wait(req.Context()); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(req)
}

// around has a slot taken for each request of next.
func around(next http.RoundTripper, quota int) http.RoundTripper {
	return limited{next, rate.NewLimiter(rate.Limit(quota), quota)}
}

func retryable(base http.RoundTripper) http.RoundTripper {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: base}
	c.RetryMax = simAttempts - 1
	c.Logger = log.New(io.Discard, "", 0)
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	return &retryablehttp.RoundTripper{Client: c}
}

func rehttpOver(base http.RoundTripper) http.RoundTripper {
	return rehttp.NewTransport(base,
		rehttp.RetryAll(rehttp.RetryMaxRetries(simAttempts-1), rehttp.RetryAny(
			rehttp.RetryStatuses(429, 500, 502, 503, 504), rehttp.RetryTemporaryErr())),
		rehttp.ExpJitterDelay(100*time.Millisecond, 10*time.Second))
}

func failsafeWith(base http.RoundTripper, inner failsafe.Policy[*http.Response]) http.RoundTripper {
	retry := failsafehttp.NewRetryPolicyBuilder().WithMaxRetries(simAttempts-1).
		WithBackoff(100*time.Millisecond, 10*time.Second).WithJitterFactor(.25).ReturnLastFailure().Build()
	return failsafehttp.NewRoundTripper(base, retry, inner)
}

var simChains = []simChain{
	{"ours, burst", false, oursWith(false, false)},
	{"ours, burst, Outage", false, oursWith(false, true)},
	{"ours, drip", true, oursWith(true, false)},
	{"ours, drip, Outage", true, oursWith(true, true)},
	{"retryablehttp over rate", false, func(base http.RoundTripper, quota int) http.RoundTripper { return retryable(around(base, quota)) }},
	{"rate over retryablehttp", false, func(base http.RoundTripper, quota int) http.RoundTripper { return around(retryable(base), quota) }},
	{"rehttp over rate", false, func(base http.RoundTripper, quota int) http.RoundTripper { return rehttpOver(around(base, quota)) }},
	{"rate over rehttp", false, func(base http.RoundTripper, quota int) http.RoundTripper { return around(rehttpOver(base), quota) }},
	{"failsafe, its limiter", true, func(base http.RoundTripper, quota int) http.RoundTripper {
		return failsafeWith(base, ratelimiter.NewSmoothBuilder[*http.Response](uint(quota), time.Second).WithMaxWaitTime(time.Hour).Build())
	}},
	{"failsafe, its breaker over rate", false, func(base http.RoundTripper, quota int) http.RoundTripper {
		breaker := circuitbreaker.NewBuilder[*http.Response]().
			HandleIf(func(r *http.Response, err error) bool { return err != nil || r != nil && r.StatusCode >= 500 }).
			WithFailureThreshold(5).WithDelay(time.Second).Build()
		return failsafeWith(around(base, quota), breaker)
	}},
}
