package pacedhttp

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// Prepare calls f with a copy of each request just before it is sent, for what must
// be fresh in every attempt: a signature with a timestamp, a token that may have
// expired while the call waited. Put it below Retry and Pace. f may change the copy
// in any way: it shares nothing with the caller's request but the body. If f puts
// another body in its place, whose Close must close the old one, it also sets
// ContentLength and GetBody to match; if it changes the Trailer, values that the
// body sets as it is read are not sent. Without a Retry layer above, the AttemptInfo
// has Number 1.
//
// If f fails, nothing is sent and the call ends with an error that unwraps to f's;
// it is not retried. A nil f does nothing.
func Prepare(f func(*http.Request, AttemptInfo) error) Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		if f == nil {
			return next
		}
		return &prepareTransport{layer{next}, f}
	}
}

type prepareTransport struct {
	layer
	prepare func(*http.Request, AttemptInfo) error
}

func (t *prepareTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	info, ok := AttemptFromContext(ctx)
	if !ok {
		info.Number = 1
	}
	prepared := req.Clone(ctx)
	if err := t.prepare(prepared, info); err != nil {
		closeBody(req)
		return nil, &prepareError{err}
	}
	if maps.EqualFunc(prepared.Trailer, req.Trailer, slices.Equal) {
		prepared.Trailer = req.Trailer // the body may have values for it yet
	}
	return exchange(t.next, prepared)
}

type prepareError struct{ err error }

func (e *prepareError) Error() string   { return fmt.Sprintf("pacedhttp: not sent: prepare: %v", e.err) }
func (e *prepareError) Unwrap() error   { return e.err }
func (e *prepareError) Retryable() bool { return false }
