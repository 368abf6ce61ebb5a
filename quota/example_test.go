package quota_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp/quota"
)

// What GitHub says of its rate limit, and that there is nothing to wait for yet.
func Example() {
	now := time.Unix(1781524800, 0)
	h := http.Header{}
	h.Set("X-RateLimit-Limit", "5000")
	h.Set("X-RateLimit-Remaining", "4987")
	h.Set("X-RateLimit-Reset", "1781527200")
	h.Set("X-RateLimit-Resource", "core")

	for _, s := range quota.Read(h, now) {
		fmt.Printf("%s: %d of %d left, whole again in %v\n", s.Name, s.Remaining, s.Limit, s.Reset)
	}
	_, told := quota.RetryAfter(h, now)
	fmt.Println("told to wait:", told)
	// Output:
	// core: 4987 of 5000 left, whole again in 40m0s
	// told to wait: false
}

func ExampleRead() {
	h := http.Header{}
	h.Set("x-ratelimit-limit-requests", "60")
	h.Set("x-ratelimit-remaining-requests", "59")
	h.Set("x-ratelimit-reset-requests", "1s")
	h.Set("x-ratelimit-limit-tokens", "150000")
	h.Set("x-ratelimit-remaining-tokens", "149984")
	h.Set("x-ratelimit-reset-tokens", "6m0s")
	for _, s := range quota.Read(h, time.Now()) {
		unit := s.Unit
		if unit == "" {
			unit = "requests"
		}
		fmt.Printf("%d of %d %s left, whole again in %v\n", s.Remaining, s.Limit, unit, s.Reset)
	}
	// Output:
	// 59 of 60 requests left, whole again in 1s
	// 149984 of 150000 tokens left, whole again in 6m0s
}

func ExampleRead_several() {
	h := http.Header{
		"Ratelimit":        {`"burst";r=3;t=1, "day";r=412;t=30412`},
		"Ratelimit-Policy": {`"burst";q=10;w=1, "day";q=10000;w=86400`},
	}
	for _, s := range quota.Read(h, time.Now()) {
		fmt.Printf("%s: %d of %d per %v\n", s.Name, s.Remaining, s.Limit, s.Window)
	}
	// Output:
	// burst: 3 of 10 per 1s
	// day: 412 of 10000 per 24h0m0s
}

func ExampleRetryAfter() {
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for _, h := range []http.Header{
		{"Retry-After": {"120"}},
		{"Retry-After": {"Mon, 15 Jun 2026 12:00:30 GMT"}},
		{"Retry-After": {"1781524845"}},
		{"X-Ms-Retry-After-Ms": {"900"}},
		{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1781524845"}},
		{"Ratelimit": {`"hourly";r=0;t=900`}},
		{"Anthropic-Ratelimit-Tokens-Remaining": {"0"}, "Anthropic-Ratelimit-Tokens-Reset": {"2026-06-15T12:00:20Z"}},
		{"Retry-After": {"soon"}},
	} {
		fmt.Println(quota.RetryAfter(h, now))
	}
	// Output:
	// 2m0s true
	// 30s true
	// 45s true
	// 900ms true
	// 45s true
	// 15m0s true
	// 20s true
	// 0s false
}
