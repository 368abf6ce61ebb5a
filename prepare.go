package pacedhttp

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
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
// A server may redirect a call to any host, and http.Client follows. Once a hop of the call
// went to a host that is neither the first one's nor a subdomain of it, whatever the ports,
// f is not called any more, and requests go out as they came: exactly there http.Client
// does not send Authorization either. [PrepareAnyHost] is for what every host may see.
//
// If f fails, nothing is sent and the call ends with an error that unwraps to f's;
// it is not retried. A nil f does nothing.
func Prepare(f func(*http.Request, AttemptInfo) error) Middleware { return prepare(f, false) }

// PrepareAnyHost is [Prepare] for every hop of a redirected call, whoever the server sends
// it to. Nothing that f adds may be a secret.
func PrepareAnyHost(f func(*http.Request, AttemptInfo) error) Middleware { return prepare(f, true) }

func prepare(f func(*http.Request, AttemptInfo) error, anyHost bool) Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		if f == nil {
			return next
		}
		return &prepareTransport{layer{strict(next)}, f, anyHost}
	}
}

type prepareTransport struct {
	layer
	prepare func(*http.Request, AttemptInfo) error
	anyHost bool
}

func (t *prepareTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.anyHost && leftHost(req) {
		return t.next.RoundTrip(req)
	}
	prepared, err := t.prepared(req)
	if err != nil {
		return nil, err
	}
	return t.next.RoundTrip(prepared)
}

func (t *prepareTransport) prepared(req *http.Request) (*http.Request, error) {
	held := holding{req: req}
	defer held.close()
	info, ok := AttemptFromContext(req.Context())
	if !ok {
		info.Number = 1
	}
	prepared := req.Clone(req.Context())
	if err := t.prepare(prepared, info); err != nil {
		return nil, &prepareError{err}
	}
	if prepared.URL != nil && req.URL != nil && prepared.URL.Host != req.URL.Host {
		prepared = prepared.WithContext(context.WithValue(prepared.Context(), readdressedKey{}, readdressed{from: req.URL, to: prepared.URL}))
	}
	if maps.EqualFunc(prepared.Trailer, req.Trailer, slices.Equal) {
		prepared.Trailer = req.Trailer // the body may have values for it yet
	}
	held.req = nil
	return prepared, nil
}

// leftHost reports whether req, or a hop before it, was sent by a redirect to a host that
// http.Client would not show the first request's Authorization.
func leftHost(req *http.Request) bool {
	if req.Response == nil {
		return false
	}
	first := req
	for first.Response != nil {
		if first = first.Response.Request; first == nil {
			return true // whose response led here is not known
		}
	}
	origin := askedOf(first)
	for hop := req; hop != first; hop = hop.Response.Request {
		if to := askedOf(hop); to == nil || origin == nil || !sameDomain(to.Hostname(), origin.Hostname()) {
			return true
		}
	}
	return false
}

// readdressed is the URL that a request came with, and the one that Prepare gave it.
type readdressed struct{ from, to *url.URL }

type readdressedKey struct{}

// askedOf returns the URL that http.Client knows req by.
func askedOf(req *http.Request) *url.URL {
	if r, ok := req.Context().Value(readdressedKey{}).(readdressed); ok && r.to == req.URL {
		return r.from
	}
	return req.URL
}

// sameDomain reports whether host is domain or a subdomain of it. What has a colon or a
// percent sign is an IPv6 address, and its zone no domain.
func sameDomain(host, domain string) bool {
	if host == domain {
		return true
	}
	name, ok := strings.CutSuffix(host, domain)
	return ok && strings.HasSuffix(name, ".") && !strings.ContainsAny(host, ":%")
}

type prepareError struct{ err error }

func (e *prepareError) Error() string {
	return "pacedhttp: not sent: prepare: " + retrypolicy.ErrorText(e.err)
}
func (e *prepareError) Unwrap() error   { return e.err }
func (e *prepareError) Retryable() bool { return false }
