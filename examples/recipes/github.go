package recipes

import (
	"bytes"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// GitHubQuota is what GitHub allows a user: the primary limit, and of the secondary ones those
// that can be counted beforehand. It waits for the primary limit's reset, up to an hour.
func GitHubQuota() *pacer.Pacer {
	return pacer.Must(pacer.Config{
		Limits: []pacer.Limit{
			{Calls: 5000, Period: time.Hour},
			{Cost: 900, Unit: "points", Period: time.Minute},
		},
		MaxInFlight: 100,
		MaxPause:    time.Hour,
	})
}

// GitHub returns a client of the REST API that keeps to quota.
func GitHub(base http.RoundTripper, quota *pacer.Pacer) *http.Client {
	points := func(req *http.Request) int {
		switch req.Method {
		case "GET", "HEAD", "OPTIONS":
			return 1
		}
		return 5
	}
	policy := retrypolicy.Must(retrypolicy.Config{
		MaxRetryAfter: 61 * time.Minute, // the primary limit's reset is up to an hour away, rounded up
		ServerDelay: func(resp *http.Response, now time.Time) (time.Duration, bool) {
			if d, said := retrypolicy.RetryAfter(resp.Header, now); said {
				return d, true
			}
			body := retrypolicy.Attempt{Response: resp}.Peek(512)
			return time.Minute, resp.StatusCode >= 400 && bytes.Contains(body, []byte("secondary rate limit"))
		},
	})
	return pacedhttp.New(base, pacedhttp.Cost("points", points), pacedhttp.Retry(policy), pacedhttp.Pace(quota)).Client()
}
