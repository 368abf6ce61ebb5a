package pacedhttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-cleanhttp"
)

// A Middleware wraps a RoundTripper in another. It is an alias, so that it fits
// the function types of other packages, such as client-go's WrapperFunc.
type Middleware = func(http.RoundTripper) http.RoundTripper

// A Transport is a chain of middlewares around a base RoundTripper. Make one with
// [New] or [WrapClient]. It is safe for concurrent use.
type Transport struct {
	chain http.RoundTripper // the outermost layer
	base  http.RoundTripper
}

var _ http.RoundTripper = (*Transport)(nil)

// New returns base wrapped in the middlewares, the first listed outermost: a
// request passes them in the order they are written. Nil middlewares are skipped.
// A nil base means a new pooled transport of go-cleanhttp, which shares no state
// with http.DefaultTransport.
func New(base http.RoundTripper, mw ...Middleware) *Transport {
	if base == nil {
		base = cleanhttp.DefaultPooledTransport()
	}
	chain := base
	for i := len(mw) - 1; i >= 0; i-- {
		if mw[i] != nil {
			chain = mw[i](chain)
		}
	}
	return &Transport{chain: chain, base: base}
}

// RoundTrip sends req through the chain. It implements [http.RoundTripper] to the
// letter: req is not modified, its body is always closed, and the result is a
// response or an error, never both.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return exchange(t.chain, req)
}

// Client returns a new client on t.
func (t *Transport) Client() *http.Client { return &http.Client{Transport: t} }

// CloseIdleConnections closes the idle connections of the base transport, whatever
// layers are around it. http.Client.CloseIdleConnections calls it. Nothing in this
// package calls it by itself.
func (t *Transport) CloseIdleConnections() { closeIdle(t.base) }

// WrapClient returns a copy of c whose transport is wrapped in the middlewares, the
// first listed outermost; c is not touched. Timeout, Jar and CheckRedirect stay: a
// Timeout bounds the whole call, waits and retries included. A nil c means
// http.DefaultClient, and like there a nil transport means http.DefaultTransport.
func WrapClient(c *http.Client, mw ...Middleware) *http.Client {
	if c == nil {
		c = http.DefaultClient
	}
	base := c.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	wrapped := *c
	wrapped.Transport = New(base, mw...)
	return &wrapped
}

// A layer is what the RoundTrippers of this package have in common.
type layer struct{ next http.RoundTripper }

func (l layer) below() http.RoundTripper { return l.next }

// CloseIdleConnections reaches the base also where a chain was put together by hand.
func (l layer) CloseIdleConnections() { closeIdle(l.next) }

func (t *Transport) below() http.RoundTripper { return t.chain }

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

var errNothing = errors.New("pacedhttp: a RoundTripper below returned neither a response nor an error")

// exchange sends req through rt and holds rt to its contract, so that every layer
// can rely on it: a response with a body, or an error. A context that is done ends
// the request where it would leave this package's layers.
func exchange(rt http.RoundTripper, req *http.Request) (*http.Response, error) {
	if ctx := req.Context(); ctx.Err() != nil {
		if _, ours := rt.(interface{ below() http.RoundTripper }); !ours {
			closeBody(req)
			return nil, fmt.Errorf("pacedhttp: not sent: %w", interrupted(ctx, nil))
		}
	}
	resp, err := rt.RoundTrip(req)
	switch {
	case err == nil && resp == nil:
		return nil, errNothing
	case resp == nil:
		return nil, err
	case resp.Body == nil:
		resp.Body = http.NoBody
	}
	if err != nil {
		release(resp)
		return nil, err
	}
	return resp, nil
}

// closeBody closes the body of a request that is not sent.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // the caller's; nobody is left to tell
	}
}
