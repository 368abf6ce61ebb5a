package retrypolicy

import (
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

// RetryAfter returns for how long the server that sent resp wants to be left alone, and
// whether it says so: what Config.ServerDelay answers, or else [RetryAfter] of the header. The
// delay is never negative. A nil resp says nothing; a nil Policy goes by the header. Whoever
// holds back others for a server's sake asks this, as pacedhttp.Pace does.
func (p *Policy) RetryAfter(resp *http.Response, now time.Time) (time.Duration, bool) {
	switch {
	case resp == nil:
		return 0, false
	case p == nil || p.cfg.ServerDelay == nil:
		return RetryAfter(resp.Header, now)
	}
	if d, ok := p.cfg.ServerDelay(resp, now); ok && d >= 0 {
		return d, true
	}
	return 0, false
}

// askedDelay is the delay the server asked for, zero if it did not.
func (p *Policy) askedDelay(a *Attempt, now time.Time) time.Duration {
	switch {
	case a.Response != nil:
		d, _ := p.RetryAfter(a.Response, now)
		return d
	case a.Request == nil:
		return namedDelay(a.Err)
	default:
		return 0
	}
}

// namedDelay is the delay that the error of a function names, the longest if several do, and
// zero if none does.
func namedDelay(err error) (longest time.Duration) {
	contains(err, func(err error) bool {
		if e, ok := err.(interface{ RetryAfter() time.Duration }); ok {
			longest = max(longest, e.RetryAfter())
		}
		return false // look at all
	})
	return longest
}

// delay is the wait before the retry that follows a, never less than asked. The
// jitter on top of asked is what spreads callers that were told the same moment.
func (p *Policy) delay(a *Attempt, v Verdict, asked time.Duration) time.Duration {
	backoff := p.cfg.Backoff
	if v == Throttled && asked <= 0 {
		backoff = p.cfg.ThrottleBackoff
	}
	d := max(0, backoff.Delay(a.Number, a.Previous))
	if asked <= 0 {
		return d
	}
	d = max(d, asked)
	jitter := rand.N(d/10 + 1)
	if jitter > math.MaxInt64-d {
		return math.MaxInt64
	}
	return d + jitter
}
