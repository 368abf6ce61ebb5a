package retrypolicy

import (
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp/quota"
)

// RetryAfter reads from a response's header how long the server wants the client
// to stay away: it is [quota.RetryAfter].
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	return quota.RetryAfter(h, now)
}
