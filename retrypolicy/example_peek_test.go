package retrypolicy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// OpenAI answers 429 both to who is too fast and to who has no money left. Only the body tells
// which, and waiting helps the first alone.
func ExampleAttempt_Peek() {
	policy := retrypolicy.Must(retrypolicy.Config{Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
		broke := []byte(`"insufficient_quota"`)
		if a.Response != nil && a.Response.StatusCode == http.StatusTooManyRequests && bytes.Contains(a.Peek(4<<10), broke) {
			return retrypolicy.Accept
		}
		return retrypolicy.DefaultClassifier(a)
	}})

	for _, body := range []string{
		`{"error": {"message": "Rate limit reached for requests", "code": "rate_limit_exceeded"}}`,
		`{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}`,
	} {
		resp := &http.Response{StatusCode: 429, Body: io.NopCloser(strings.NewReader(body))}
		fmt.Println(policy.Classify(retrypolicy.Attempt{Response: resp}))
		whole, err := io.ReadAll(resp.Body) // nothing of it is gone
		fmt.Println(string(whole) == body, err)
	}
	// Output:
	// throttled
	// true <nil>
	// accept
	// true <nil>
}

// GitHub says in the body alone that its secondary limit is exceeded, and in its documentation
// that this means to wait for at least a minute. Retry waits for that, and Pace holds back
// everybody.
func ExampleConfig_serverDelay() {
	policy := retrypolicy.Must(retrypolicy.Config{ServerDelay: func(resp *http.Response, now time.Time) (time.Duration, bool) {
		if d, said := retrypolicy.RetryAfter(resp.Header, now); said {
			return d, true
		}
		refused := resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusTooManyRequests
		body := retrypolicy.Attempt{Response: resp}.Peek(4 << 10)
		return time.Minute, refused && bytes.Contains(body, []byte("secondary rate limit"))
	}})

	for _, body := range []string{
		`{"message": "You have exceeded a secondary rate limit."}`,
		`{"message": "Resource not accessible by personal access token"}`,
	} {
		resp := &http.Response{StatusCode: 403, Body: io.NopCloser(strings.NewReader(body))}
		fmt.Println(policy.Classify(retrypolicy.Attempt{Response: resp}))
		fmt.Println(policy.RetryAfter(resp, time.Now()))
	}
	// Output:
	// throttled
	// 1m0s true
	// accept
	// 0s false
}
