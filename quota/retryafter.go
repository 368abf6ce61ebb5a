package quota

import (
	"math"
	"net/http"
	"time"
)

// RetryAfter reads from a response's header how long the server wants the client
// to stay away. It reports false if no header says so, or none legibly. The
// duration is never negative: a moment that has passed is zero, and what exceeds a
// time.Duration is the largest one, math.MaxInt64. The headers, in order of precedence:
//
//   - Retry-After-Ms, X-Ms-Retry-After-Ms, X-Amz-Retry-After and
//     Grpc-Retry-Pushback-Ms, milliseconds, which some services send beside a rounded
//     Retry-After or instead of it; the longest counts. A negative pushback forbids to
//     try again (gRFC A6), which is the largest duration: it is said of this one call, so
//     a pacer must not take it for a pause of all;
//   - Retry-After (RFC 9110 §10.2.3), seconds or one of the three forms of an
//     HTTP date;
//   - the Reset of every quota that Read tells and of which nothing remains; the
//     longest counts.
//
// Of a header that is repeated the longest delay counts. All of them are read in all
// forms: see the package comment, under Moments and durations.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	c := clock{h, now}
	longest, found := time.Duration(0), false
	for _, key := range [...]string{"Retry-After-Ms", "X-Ms-Retry-After-Ms", "X-Amz-Retry-After"} {
		if d, ok := c.longestWait(h[key], milliseconds); ok {
			longest, found = max(longest, d), true
		}
	}
	if d, ok := c.pushback(h["Grpc-Retry-Pushback-Ms"]); ok {
		longest, found = max(longest, d), true
	}
	if found {
		return longest, true
	}
	if d, ok := c.longestWait(h["Retry-After"], retryAfter); ok {
		return d, true
	}
	for _, s := range c.read() {
		if s.Remaining == 0 && s.Reset != unsaid {
			longest, found = max(longest, s.Reset), true
		}
	}
	return longest, found
}

func (c clock) pushback(values []string) (time.Duration, bool) {
	for value := range elements(values) {
		if negative(value) {
			return math.MaxInt64, true
		}
	}
	return c.longestWait(values, milliseconds)
}
