package recipes_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// What a program got from the other library it gets from ours.
func TestClientsThatRetryDoSoAfterMigrating(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for name, wire := range map[string]func(http.RoundTripper) *http.Client{
		"retryablehttp, before": func(base http.RoundTripper) *http.Client { return beforeRetryable(base, logger) },
		"retryablehttp, after":  func(base http.RoundTripper) *http.Client { return afterRetryable(base, logger) },
		"rehttp, before":        beforeRehttp,
		"rehttp, after":         afterRehttp,
		"failsafe, before":      beforeFailsafe,
		"failsafe, after":       afterFailsafe,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &service{answer: func(n int, _ *http.Request) *http.Response {
					if n < 3 {
						return respond(503, "")
					}
					return respond(200, "ok")
				}}
				equal(t, "body", get(t, wire(api), "https://api.example/", 200), "ok")
				equal(t, "requests", len(api.seen), 3)
			})
		})
	}
}

func TestStatusesOfOnesOwnAreRetriedAfterMigrating(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for name, wire := range map[string]func(http.RoundTripper, *slog.Logger) *http.Client{"before": beforeRetryable, "after": afterRetryable} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &service{answer: func(n int, _ *http.Request) *http.Response {
					return respond([]int{404, 503, 200}[n-1], "ok")
				}}
				get(t, wire(api, logger), "https://api.example/", 200)
			})
		})
	}
}

// What cannot be mended is the service's own answer, after as many requests.
func TestTheLastAnswerIsDeliveredAfterMigrating(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for name, wire := range map[string]func(http.RoundTripper) *http.Client{
		"retryablehttp, before": func(base http.RoundTripper) *http.Client { return beforeRetryable(base, logger) },
		"retryablehttp, after":  func(base http.RoundTripper) *http.Client { return afterRetryable(base, logger) },
		"rehttp, before":        beforeRehttp,
		"rehttp, after":         afterRehttp,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &service{answer: func(int, *http.Request) *http.Response { return respond(503, "down") }}
				equal(t, "body", get(t, wire(api), "https://api.example/", 503), "down")
				equal(t, "requests", len(api.seen), 4)
			})
		})
	}
}

// A POST that may have been processed is where they differ.
func TestAPostIsNotRepeatedAfterMigrating(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for name, tt := range map[string]struct {
		wire func(http.RoundTripper) *http.Client
		want int
	}{
		"retryablehttp, before": {func(base http.RoundTripper) *http.Client { return beforeRetryable(base, logger) }, 4},
		"retryablehttp, after":  {func(base http.RoundTripper) *http.Client { return afterRetryable(base, logger) }, 1},
		"failsafe, after":       {afterFailsafe, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &service{answer: func(int, *http.Request) *http.Response { return respond(500, "") }}
				resp, err := tt.wire(api).Post("https://api.example/", "text/plain", strings.NewReader("an order"))
				if err != nil {
					t.Fatal(err)
				}
				read(t, resp, 500)
				equal(t, "requests", len(api.seen), tt.want)
			})
		})
	}
}

func TestClientsThatPaceDoSoAfterMigrating(t *testing.T) {
	limiter := func(base http.RoundTripper) *http.Client { return betweenRate(base, rate.NewLimiter(10, 20)) }
	for name, tt := range map[string]struct {
		wire func(http.RoundTripper) *http.Client
		last time.Duration // when the last of 30 starts
	}{
		"rate, before":     {beforeRate, time.Second},
		"rate, after":      {afterRate, time.Second},
		"rate, kept":       {limiter, time.Second},
		"failsafe, before": {beforeFailsafe, 2900 * time.Millisecond},
		"failsafe, after":  {afterFailsafe, 2900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &service{answer: func(int, *http.Request) *http.Response { return respond(200, "ok") }}
				client := tt.wire(api)
				var calls sync.WaitGroup
				for range 30 {
					calls.Go(func() { get(t, client, "https://api.example/", 200) })
				}
				calls.Wait()
				equal(t, "the last of 30", api.seen[29].Round(time.Millisecond), tt.last)
			})
		})
	}
}

func TestGitHubAfterMigrating(t *testing.T) {
	for name, wire := range map[string]func(http.RoundTripper) *http.Client{"before": beforeGofri, "after": afterGofri} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &service{answer: func(n int, _ *http.Request) *http.Response {
					if n == 1 {
						return respond(403, `{"message": "You have exceeded a secondary rate limit.", "documentation_url": "https://docs.github.com/rest/overview/resources-in-the-rest-api#secondary-rate-limits"}`, "Retry-After", "20")
					}
					return respond(200, "ok")
				}}
				get(t, wire(api), "https://api.github.com/user", 200)
				if again := api.seen[1]; again < 20*time.Second || again > 22*time.Second {
					t.Errorf("sent again after %v", again)
				}
			})
		})
	}
}

func TestUberAfterMigrating(t *testing.T) {
	for name, loop := range map[string]func(context.Context, int, func()) error{"before": beforeUber, "after": afterUber} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var last time.Duration
				if err := loop(t.Context(), 101, func() { last = time.Since(began) }); err != nil {
					t.Fatal(err)
				}
				equal(t, "the 101st", last, time.Second)
			})
		})
	}
}

func TestCallLimiterAfterMigrating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		answer, err := afterCallLimiter(t.Context(), func(context.Context) (string, error) {
			tries++
			return "", fmt.Errorf("fetch: %w", errTimeout)
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "answer", answer, "an older answer")
		equal(t, "tries", tries, 4)
		equal(t, "took", time.Since(began), 6*time.Second)
	})
}
