package sdks

import (
	"bytes"
	"net/http"
	"time"

	"github.com/google/go-github/v88/github"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// GitHub returns a go-github client whose requests and retries keep to quota.
//
// go-github does not retry, so Retry does. But it guards itself: after an answer that said
// "remaining: 0" it refuses every call until the reset, without sending anything, where no layer
// below can mend it. WithDisableRateLimitCheck takes that guard away, and the pacer takes its
// place: it reads the same headers, and waits.
func GitHub(quota *pacer.Pacer, base http.RoundTripper, opts ...github.ClientOptionsFunc) (*github.Client, error) {
	return github.NewClient(append(opts,
		github.WithTransport(pacedhttp.New(base, pacedhttp.Retry(githubRetries), pacedhttp.Pace(quota))),
		github.WithDisableRateLimitCheck(),
	)...)
}

// A secondary limit is a 403 or 429 that may name no delay; its documentation asks for a minute
// then.
var githubRetries = retrypolicy.Must(retrypolicy.Config{
	Classify: retrypolicy.First(func(a retrypolicy.Attempt) retrypolicy.Verdict {
		if secondaryLimit(a.Response) {
			return retrypolicy.Throttled
		}
		return retrypolicy.Accept // the next is asked
	}, retrypolicy.DefaultClassifier),
	ServerDelay: func(resp *http.Response, now time.Time) (time.Duration, bool) {
		if d, said := retrypolicy.RetryAfter(resp.Header, now); said || !secondaryLimit(resp) {
			return d, said
		}
		return time.Minute, true
	},
	MaxRetryAfter: 61 * time.Minute, // the primary limit's reset is up to an hour away
})

func secondaryLimit(resp *http.Response) bool {
	return resp != nil && resp.StatusCode == http.StatusForbidden &&
		bytes.Contains(retrypolicy.Attempt{Response: resp}.Peek(512), []byte("secondary rate limit"))
}
