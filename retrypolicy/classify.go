package retrypolicy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Verdict says what an attempt was: a result to deliver, or a failure of one of
// three kinds. The kind decides for which requests a retry is safe.
type Verdict int

const (
	// Accept delivers what the attempt brought, response or error.
	Accept Verdict = iota

	// Transient is a failure that may pass. The request may have been processed,
	// so it is retried only if it is idempotent.
	Transient

	// Unprocessed is a failure before the server could act on the request. It is
	// retried for every method.
	Unprocessed

	// Throttled is a server's refusal because it gets too many requests. It is
	// retried for every method, except that a 503 needs an idempotent request or a header
	// that says to retry, and a pacer holds back every caller for as long as the server asked.
	Throttled
)

// String returns the verdict's name in lower case, such as "transient".
func (v Verdict) String() string {
	switch v {
	case Accept:
		return "accept"
	case Transient:
		return "transient"
	case Unprocessed:
		return "unprocessed"
	case Throttled:
		return "throttled"
	default:
		return "Verdict(" + strconv.Itoa(int(v)) + ")"
	}
}

// A Classifier judges one attempt by its status, header or error, and by what
// [Attempt.Peek] shows of its body, which it must not touch otherwise. It must be safe for
// concurrent use.
type Classifier func(Attempt) Verdict

// DefaultClassifier is the [Classifier] of the zero [Config]; the package comment
// has its table, and the source of each rule. Errors of net/http, crypto/tls, net and
// golang.org/x/net/http2 are told apart by whether the request can have reached
// the server and whether another attempt can end differently; errors it does not
// know are [Transient].
//
// A cancellation is [Accept]: the caller's, which it recognises by
// Attempt.Request's context, and also one that comes from inside the attempt, as
// whoever cancelled wanted the work to end. A context.DeadlineExceeded while the
// caller's context is alive is an attempt's timeout, hence [Transient].
//
// Whether a 403 or 503 asks for a delay it reads from the header by [RetryAfter]. Only a
// policy without a Classifier of the program's own asks its Config.ServerDelay instead.
func DefaultClassifier(a Attempt) Verdict { return (*Policy)(nil).judge(a) }

// judge is DefaultClassifier, and asks p for delays unless it is nil.
func (p *Policy) judge(a Attempt) Verdict {
	switch {
	case a.Err != nil && a.Request != nil && a.Request.Context().Err() != nil:
		return Accept
	case a.Err != nil:
		return classifyError(a.Err, connects(a.Request))
	case a.Response != nil:
		return p.judgeStatus(a.Response)
	default:
		return Accept
	}
}

func (p *Policy) judgeStatus(resp *http.Response) Verdict {
	status := resp.StatusCode
	if retry, said := shouldRetry(resp); said {
		switch {
		case !retry:
			return Accept
		case status == http.StatusTooManyRequests, status == statusOverloaded,
			status == http.StatusServiceUnavailable && p.asksForDelay(resp):
			return Throttled
		default:
			return Unprocessed
		}
	}
	switch status {
	case http.StatusTooManyRequests, statusOverloaded:
		return Throttled
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusGatewayTimeout,
		520, 521, 522, 523, 524: // a proxy's, of Cloudflare's making: its server failed it
		return Transient
	case http.StatusServiceUnavailable:
		if p.asksForDelay(resp) {
			return Throttled
		}
		return Transient
	case http.StatusForbidden:
		// GitHub and others refuse with 403 what exceeds a quota.
		if p.asksForDelay(resp) {
			return Throttled
		}
	case http.StatusRequestEntityTooLarge:
		// Only this header says that it is temporary (RFC 9110 §15.5.14): a quota that is
		// used up makes no body smaller.
		if saysRetryAfter(resp.Header) {
			return Unprocessed
		}
	}
	return Accept
}

// statusOverloaded is what Anthropic and others answer while they have no capacity.
const statusOverloaded = 529

// asksForDelay reports whether resp asks for a delay, be it of zero.
func (p *Policy) asksForDelay(resp *http.Response) bool {
	_, ok := p.RetryAfter(resp, time.Now())
	return ok
}

// saysRetryAfter reports whether there is a legible Retry-After.
func saysRetryAfter(h http.Header) bool {
	_, ok := RetryAfter(http.Header{"Retry-After": h["Retry-After"]}, time.Now())
	return ok
}

// shouldRetry reports whether a response of 400 and more says whether to retry, and what. If
// it says both, a retry is what it does not want.
func shouldRetry(resp *http.Response) (retry, said bool) {
	if resp.StatusCode < http.StatusBadRequest {
		return false, false
	}
	for _, name := range [...]string{"X-Should-Retry", "Stripe-Should-Retry"} {
		for _, line := range resp.Header[name] {
			for v := range strings.SplitSeq(line, ",") {
				switch v = strings.TrimSpace(v); {
				case strings.EqualFold(v, "false"):
					return false, true
				case strings.EqualFold(v, "true"):
					retry, said = true, true
				}
			}
		}
	}
	return retry, said
}

// classifyError judges an error by itself. What cannot end differently outweighs
// what was not sent: a dial that failed for a malformed address is both. The words
// of a proxy that refused CONNECT mean something only where there may have been one.
func classifyError(err error, connects bool) Verdict {
	switch {
	case errors.Is(err, context.Canceled), contains(err, hopeless), connects && contains(err, connectForbidden):
		return Accept
	case contains(err, unsent), connects && contains(err, connectRefused):
		return Unprocessed
	default:
		return Transient
	}
}

// Statuses returns a [Classifier] that answers v for a response with one of the
// codes and [Accept] for everything else. Combine it with [First].
func Statuses(v Verdict, codes ...int) Classifier {
	codes = slices.Clone(codes)
	return func(a Attempt) Verdict {
		if a.Err == nil && a.Response != nil && slices.Contains(codes, a.Response.StatusCode) {
			return v
		}
		return Accept
	}
}

// Errors returns a [Classifier] that answers v for an error that matches one of
// targets by errors.Is and [Accept] for everything else. Alone it makes a policy
// that retries these errors only.
func Errors(v Verdict, targets ...error) Classifier {
	targets = slices.Clone(targets)
	return func(a Attempt) Verdict {
		if a.Err != nil && slices.ContainsFunc(targets, func(t error) bool { return errors.Is(a.Err, t) }) {
			return v
		}
		return Accept
	}
}

// First returns a [Classifier] that asks each classifier in turn; the first that
// does not answer [Accept] decides. Nil classifiers are skipped. Because Accept
// means "no opinion" here, First can add failures to [DefaultClassifier] but not
// remove any: write a Classifier that answers Accept before asking it.
func First(classifiers ...Classifier) Classifier {
	classifiers = slices.Clone(classifiers)
	return func(a Attempt) Verdict {
		for _, c := range classifiers {
			if c == nil {
				continue
			}
			if v := c(a); v != Accept {
				return v
			}
		}
		return Accept
	}
}
