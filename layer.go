package pacedhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// RoundTripperFunc is a function that is an [http.RoundTripper], for a layer or a base
// that needs no state. It must keep to that interface's contract: close the request's
// body, modify nothing else of it, and return a response or an error.
type RoundTripperFunc func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f RoundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A layer is what the RoundTrippers of this package have in common.
type layer struct{ next http.RoundTripper } // which is strict

func (l layer) below() http.RoundTripper { return l.next }

// CloseIdleConnections reaches the base also where a chain was put together by hand.
func (l layer) CloseIdleConnections() { closeIdle(l.next) }

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// ours is a RoundTripper of this package that has another below it.
type ours interface{ below() http.RoundTripper }

// oursOf returns rt if it is one. A type of another make that embeds one is not, though it
// has its methods.
func oursOf(rt http.RoundTripper) ours {
	switch rt := rt.(type) {
	case *Transport:
		return rt
	case *observeTransport:
		return rt
	case *fallbackTransport:
		return rt
	case *costTransport:
		return rt
	case *retryTransport:
		return rt
	case *paceTransport:
		return rt
	case *prepareTransport:
		return rt
	}
	return nil
}

var errNothing = errors.New("pacedhttp: a RoundTripper below returned neither a response nor an error")

// strict returns rt held to its contract, so that every layer can rely on it: a response with a
// body and a request, or an error.
func strict(rt http.RoundTripper) http.RoundTripper {
	if oursOf(rt) != nil {
		return rt
	}
	return &edge{rt}
}

// An edge is where requests leave this package's layers. One that its caller has given up ends
// there.
type edge struct{ beyond http.RoundTripper }

func (e *edge) CloseIdleConnections() { closeIdle(e.beyond) }

func (e *edge) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := givenUp(req); err != nil {
		closeBody(req)
		return nil, err
	}
	leaves(req)
	resp, err := e.beyond.RoundTrip(req)
	switch {
	case err == nil && resp == nil:
		return nil, errNothing
	case resp == nil:
		return nil, err
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Request == nil {
		resp.Request = req
	}
	if err != nil {
		discard(resp)
		return nil, err
	}
	return resp, nil
}

// givenUp returns why the caller wants no more of req.
func givenUp(req *http.Request) error {
	//lint:ignore SA1019 http.Client.Timeout still sets it
	if req.Cancel == nil && req.Context().Err() == nil {
		return nil
	}
	ctx, release := waitContext(req)
	defer release()
	if ctx.Err() == nil {
		return nil
	}
	return interrupted(ctx, nil)
}

// closeBody closes the body of a request that is not sent.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // the caller's; nobody is left to tell
	}
}

// holding is what a layer closes on an early return, be it for an error or because one of the
// program's functions panics. What has been handed on is set to nil.
type holding struct {
	req  *http.Request  // its body is not in the hands of the layers below
	resp *http.Response // nobody above has it yet
	slot *slotContext

	// Nothing of these is to be closed.
	start pacer.Admission // of a request without a slot
	began time.Duration   // when the wait for a start did, on uptime's clock; zero where nobody asked
}

func (h *holding) close() {
	if h.slot != nil {
		h.slot.end()
	}
	if h.req != nil {
		closeBody(h.req)
	}
	if h.resp != nil {
		_ = h.resp.Body.Close()
	}
}

// endOf returns ctx's Err, and whether the caller gets it in place of err: err is none or
// an echo of it, and there is no other Cause.
func endOf(ctx context.Context, err error) (error, bool) {
	end := ctx.Err()
	return end, end != nil && context.Cause(ctx) == end && (err == nil || errors.Is(err, end))
}

// interrupted returns the error of a request whose caller gave it up: that of ctx itself
// or, if there is more to tell, one that matches ctx's Err and Cause besides err.
func interrupted(ctx context.Context, err error) error {
	if end, ok := endOf(ctx, err); ok {
		return end
	}
	if errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)) {
		err = nil // an echo, which may be no net.Error
	}
	return retrypolicy.NewError(ctx, 0, "", err).Err
}

// waitContext returns a context that ends with that of req's caller and with Request.Cancel,
// which net/http looks after only while it has the request itself. Whoever is done with it
// calls release.
func waitContext(req *http.Request) (ctx context.Context, release func()) {
	cancel := req.Cancel //lint:ignore SA1019 http.Client.Timeout still sets it
	if cancel == nil {
		return req.Context(), func() {}
	}
	c := &cancelContext{Context: req.Context(), cancel: cancel}
	return c, c.release
}

// A cancelContext ends with a context or a Request.Cancel, whichever ends first. Both end
// at one moment where http.Client.Timeout sets both, and then it was a deadline. Nothing
// watches the channel before somebody asks for Done: http.Client sets one in every
// request that has a timeout.
type cancelContext struct {
	context.Context
	cancel <-chan struct{}

	mu    sync.Mutex
	ended context.Context // nil before somebody asks
	end   context.CancelFunc

	released bool
}

func (c *cancelContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released && c.ended == nil {
		return c.Context.Done()
	}
	if c.ended == nil {
		c.ended, c.end = context.WithCancel(c.Context)
		go func() {
			select {
			case <-c.cancel:
				c.end()
			case <-c.ended.Done():
			}
		}()
	}
	return c.ended.Done()
}

func (c *cancelContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	if c.end != nil {
		c.end()
	}
}

// made returns the context whose channel Done gave out, nil before.
func (c *cancelContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *cancelContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	select {
	case <-c.cancel:
	default:
		if ended := c.made(); ended != nil {
			return ended.Err() // it may have been released
		}
		return nil
	}
	if deadline, ok := c.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return context.Canceled
}
