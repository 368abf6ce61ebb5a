package retrypolicy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
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
	// retried for every method, except that a 503 needs an idempotent request, and
	// a pacer holds back every caller for as long as the server asked.
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

// A Classifier judges one attempt by its status, header or error. It must be safe
// for concurrent use and must not touch the response's body.
type Classifier func(Attempt) Verdict

// DefaultClassifier is the [Classifier] of the zero [Config]; the package comment
// has its table. Statuses are those that RFC 9110 §15, RFC 6585 §4 (429) and
// RFC 8470 §5.2 (425) call temporary. Errors of net/http, crypto/tls, net and
// golang.org/x/net/http2 are told apart by whether the request can have reached
// the server and whether another attempt can end differently; errors it does not
// know are [Transient].
//
// A cancellation is [Accept]: the caller's, which it recognises by
// Attempt.Request's context, and also one that comes from inside the attempt, as
// whoever cancelled wanted the work to end. A context.DeadlineExceeded while the
// caller's context is alive is an attempt's timeout, hence [Transient].
func DefaultClassifier(a Attempt) Verdict {
	switch {
	case a.Err != nil && a.Request != nil && a.Request.Context().Err() != nil:
		return Accept
	case a.Err != nil:
		return classifyError(a.Err, connects(a.Request))
	case a.Response != nil:
		return classifyStatus(a.Response)
	default:
		return Accept
	}
}

func classifyStatus(resp *http.Response) Verdict {
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return Throttled
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusGatewayTimeout:
		return Transient
	case http.StatusServiceUnavailable:
		if asksForDelay(resp.Header) {
			return Throttled
		}
		return Transient
	case http.StatusForbidden:
		// GitHub and others refuse with 403 what exceeds a quota.
		if asksForDelay(resp.Header) {
			return Throttled
		}
	}
	return Accept
}

func asksForDelay(h http.Header) bool {
	_, ok := RetryAfter(h, time.Now())
	return ok
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
