package recipes_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/gofri/go-github-ratelimit/v2/github_ratelimit"
	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/ratelimit"
	"golang.org/x/time/rate"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/examples/recipes"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// The pairs below are those of docs/migrating.md: a client of another library, and ours.

func beforeRetryable(base http.RoundTripper, logger *slog.Logger) *http.Client {
	c := retryablehttp.NewClient()
	c.HTTPClient.Transport = base
	c.RetryMax = 3
	c.RetryWaitMin = 500 * time.Millisecond
	c.RetryWaitMax = 10 * time.Second
	c.Logger = logger
	c.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if resp != nil && resp.StatusCode == http.StatusNotFound {
			return true, nil
		}
		return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	}
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	client := c.StandardClient()
	return client
}

func afterRetryable(base http.RoundTripper, logger *slog.Logger) *http.Client {
	policy := retrypolicy.Must(retrypolicy.Config{
		MaxAttempts: 1 + 3,                                                         // RetryMax counts retries
		Backoff:     retrypolicy.Exponential(500*time.Millisecond, 10*time.Second), // RetryWaitMin, RetryWaitMax
		Classify: retrypolicy.First( // CheckRetry
			retrypolicy.Statuses(retrypolicy.Transient, http.StatusNotFound),
			retrypolicy.DefaultClassifier,
		),
	})
	client := pacedhttp.New(base, // HTTPClient.Transport
		pacedhttp.Log(logger), // Logger
		pacedhttp.Retry(policy),
	).Client() // StandardClient; the last response is delivered, as by PassthroughErrorHandler
	return client
}

func beforeRehttp(base http.RoundTripper) *http.Client {
	client := &http.Client{Transport: rehttp.NewTransport(base,
		rehttp.RetryAll(
			rehttp.RetryMaxRetries(3),
			rehttp.RetryHTTPMethods("GET", "PUT"),
			rehttp.RetryAny(rehttp.RetryStatuses(502, 503), rehttp.RetryTemporaryErr()),
		),
		rehttp.ExpJitterDelay(100*time.Millisecond, 10*time.Second),
	)}
	return client
}

func afterRehttp(base http.RoundTripper) *http.Client {
	client := pacedhttp.New(base, pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{
		MaxAttempts: 1 + 3,                                                         // RetryMaxRetries
		Backoff:     retrypolicy.Exponential(100*time.Millisecond, 10*time.Second), // ExpJitterDelay
	}))).Client() // RetryHTTPMethods, RetryStatuses, RetryTemporaryErr: see DefaultClassifier
	return client
}

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

func beforeRate(base http.RoundTripper) *http.Client {
	client := &http.Client{Transport: limited{base, rate.NewLimiter(10, 20)}}
	return client
}

func afterRate(base http.RoundTripper) *http.Client {
	limit := pacer.Limit{Calls: 10, Period: time.Second, Bucket: 20} // or without Bucket, where the API counts windows
	quota := pacer.Must(pacer.Config{Limits: []pacer.Limit{limit}})
	client := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(quota)).Client()
	return client
}

func betweenRate(base http.RoundTripper, limiter *rate.Limiter) *http.Client {
	client := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(limiter)).Client()
	return client
}

func beforeFailsafe(base http.RoundTripper) *http.Client {
	retries := failsafehttp.NewRetryPolicyBuilder().
		WithMaxRetries(3).
		WithBackoff(100*time.Millisecond, 10*time.Second).
		Build()
	limiter := ratelimiter.NewSmoothBuilder[*http.Response](10, time.Second).
		WithMaxWaitTime(5 * time.Second).
		Build()
	client := &http.Client{Transport: failsafehttp.NewRoundTripper(base, retries, limiter)}
	return client
}

func afterFailsafe(base http.RoundTripper) *http.Client {
	policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1 + 3})
	limiter := pacer.Must(pacer.Config{
		Limits:  []pacer.Limit{{Calls: 10, Period: time.Second, Even: true}}, // NewSmooth; without Even it is stricter than NewBursty
		MaxWait: 5 * time.Second,                                             // WithMaxWaitTime
		Outage:  &pacer.Outage{},                                             // in place of a circuit breaker
	})
	client := pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.Pace(limiter)).Client()
	return client
}

func beforeGofri(base http.RoundTripper) *http.Client {
	client := github_ratelimit.NewClient(base)
	return client
}

func afterGofri(base http.RoundTripper) *http.Client {
	client := recipes.GitHub(base, recipes.GitHubQuota())
	return client
}

func beforeUber(ctx context.Context, calls int, call func()) error {
	limiter := ratelimit.New(100, ratelimit.WithoutSlack)
	for range calls {
		limiter.Take()
		call()
	}
	return ctx.Err()
}

func afterUber(ctx context.Context, calls int, call func()) error {
	limiter := pacer.Drip(100, time.Second)
	for range calls {
		if err := limiter.Wait(ctx); err != nil {
			return err
		}
		call()
	}
	return ctx.Err()
}

var errTimeout = errors.New("timed out")

func afterCallLimiter(ctx context.Context, fetch func(context.Context) (string, error)) (string, error) {
	call := retrypolicy.Call[string]{ // ResilientLimiter; without Pacer it is CallRetry
		Pacer: pacer.Burst(5, time.Second), // calls, period, allow_burst=True; else pacer.Drip
		Policy: retrypolicy.Must(retrypolicy.Config{
			MaxAttempts: 1 + 3,                                                 // retry_count
			Backoff:     retrypolicy.Constant(2 * time.Second),                 // retry_interval
			Classify:    retrypolicy.Errors(retrypolicy.Transient, errTimeout), // retry_exceptions
		}),
		OnRetry: func(_ context.Context, err error, retry int, delay time.Duration) { // on_retry
			slog.Info("retrying", "retry", retry, "after", delay, "because", err)
		},
		Fallback: func(context.Context, error) (string, error) { return "an older answer", nil }, // fallback
	}
	return call.Do(ctx, fetch)
}
