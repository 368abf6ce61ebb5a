package quota

import (
	"net/http"
	"reflect"
	"testing"
	"time"
)

// FuzzRead puts values into every dialect's headers. Whatever they are, nothing panics,
// nothing is negative, no quota is told twice, and the same answer means the same.
func FuzzRead(f *testing.F) {
	for _, v := range []string{
		"", "0", "-1", "7.9", "1e3", "10, 10;w=1, 1000;w=3600", "1, 1000", "76;w=21600", "32/40", "a;46,b;99",
		`"a\"b";r=0;t=30;pk=:eA==:, c;r=5`, "limit=10, remaining=0, reset=5", `"a`, ";;;", ",,,", "=", "6m0s", "1d2h", "15m", "99999999999h",
		"1782000000", "1782000000123", "99999999999999999999", "2026-06-15T12:01:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00Z",
		"Mon, 15 Jun 2026 12:01:00 GMT", "Tue Feb 16 2021 09:02:42 GMT+0100 (CET)", "2025-07-08 15:35:40 -0700",
	} {
		f.Add(v, "0", "100", "Mon, 15 Jun 2026 11:59:00 GMT")
		f.Add("0", v, v, v)
		f.Add(v, v, v, "")
	}
	f.Fuzz(func(t *testing.T, remaining, reset, limit, date string) {
		for _, h := range []http.Header{
			{"X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}, "X-Ratelimit-Limit": {limit}, "X-Ratelimit-Resource": {date}, "Date": {date}},
			{"X-Rate-Limit-Remaining": {remaining, reset}, "X-Rate-Limit-Reset": {reset, limit}, "X-Rate-Limit": {limit}, "Date": {date}},
			{"Ratelimit-Remaining": {remaining}, "Ratelimit-Reset-After": {reset}, "Ratelimit-Limit": {limit, reset}, "Ratelimit-Policy": {limit}, "Ratelimit-Name": {reset}},
			{"Ratelimit": {remaining, reset}, "Ratelimit-Policy": {limit, date}, "Date": {date}},
			{"X-Ratelimit-Remaining-Tokens": {remaining}, "X-Ratelimit-Reset-Tokens": {reset}, "X-Ratelimit-Limit-Tokens": {limit}},
			{"Anthropic-Ratelimit-Requests-Remaining": {remaining}, "Anthropic-Ratelimit-Requests-Reset": {reset}, "Anthropic-Ratelimit-Tokens-Remaining": {limit}},
			{shopify: {remaining, limit}, azureResource: {reset}},
			{"X-Ratelimit-Remaining-" + limit: {remaining}, "X-Ratelimit-Reset-" + limit: {reset}},
			{"Retry-After": {remaining, reset}, "Date": {date}},
			{"Retry-After-Ms": {remaining}, "X-Ms-Retry-After-Ms": {reset}, "X-Amz-Retry-After": {limit}, "Grpc-Retry-Pushback-Ms": {date}},
		} {
			states := Read(h, noon)
			seen := map[[2]string]bool{}
			for _, s := range states {
				if s.Remaining < 0 || s.Limit < 0 || s.Reset < 0 || s.Window < 0 {
					t.Errorf("%q: %+v", h, s)
				}
				if key := [2]string{s.Name, s.Unit}; seen[key] {
					t.Errorf("%q: %q twice", h, key)
				} else {
					seen[key] = true
				}
			}
			if again := Read(h, noon); !reflect.DeepEqual(again, states) {
				t.Errorf("%q: %+v, then %+v", h, states, again)
			}
			d, ok := RetryAfter(h, noon)
			if d < 0 || !ok && d != 0 {
				t.Errorf("%q: %v, %v", h, d, ok)
			}
			checkExhausted(t, h, states, d, ok)
		}
	})
}

// checkExhausted: without a header that asks for a delay, the delay is the longest reset
// of what is used up.
func checkExhausted(t *testing.T, h http.Header, states []State, delay time.Duration, asked bool) {
	t.Helper()
	for _, key := range []string{"Retry-After", "Retry-After-Ms"} {
		if h[key] != nil {
			return
		}
	}
	var longest time.Duration
	for _, s := range states {
		if s.Remaining == 0 {
			longest = max(longest, s.Reset)
		}
	}
	if delay != longest || longest > 0 && !asked {
		t.Errorf("%q: %v, %v, want %v", h, delay, asked, longest)
	}
}
