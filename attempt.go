package pacedhttp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// AttemptInfo is what a layer below Retry can know of the attempt it is part of.
type AttemptInfo struct {
	Number   int           // 1 = the first send of the call
	PacedFor time.Duration // how long it waited for its slot
	Previous time.Duration // the backoff delay before it, zero before the first
}

// AttemptFromContext returns what is known of the attempt that a request with this
// context belongs to. It reports false where no Retry layer is above.
//
// A response's Request has such a context too: that of the attempt it answered.
func AttemptFromContext(ctx context.Context) (AttemptInfo, bool) {
	a := attemptFrom(ctx)
	if a == nil {
		return AttemptInfo{}, false
	}
	return a.info, true
}

// An attempt is one pass through the layers below Retry, and the context of the
// request that makes it: one allocation serves both. It belongs to the goroutine
// of RoundTrip; after the send nothing writes to it but judge.
type attempt struct {
	context.Context // the call's, or one with a cancel of its own if the attempt has a timeout

	info     AttemptInfo
	policy   *retrypolicy.Policy
	observer *observer
	req      *http.Request       // as it was sent; nil before, and where nobody observes
	sent     time.Duration       // when, on uptime's clock; set with req
	verdict  retrypolicy.Verdict // set when it is over

	handshake *handshake // nil where nobody needs to know

	retry   *retryTransport
	call    *http.Request // the caller's
	body    *bodyReader   // nil if it has none
	startBy time.Duration // on uptime's clock; zero if it may start at any time

	timer   *time.Timer // nil before start
	ticking bool
	cancel  context.CancelCauseFunc // nil without a timeout
}

var loaded = time.Now()

// uptime is a clock for differences: it costs half of what time.Now does.
func uptime() time.Duration { return time.Since(loaded) }

type attemptKey struct{}

func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// bound gives the attempt its policy's timeout, if there is one. It runs from start.
func (a *attempt) bound() {
	if a.policy.AttemptTimeout() == 0 {
		return
	}
	a.Context, a.cancel = context.WithCancelCause(a.Context)
}

// start marks the send: from here on the attempt's own time runs. A Pace layer
// starts an attempt again if something above it could not know that there would
// be a wait.
func (a *attempt) start(req *http.Request) {
	if timeout := a.policy.AttemptTimeout(); timeout > 0 {
		if a.timer == nil {
			a.timer = time.AfterFunc(timeout, a.expire)
		} else {
			a.timer.Reset(timeout)
		}
		a.ticking = true
	}
	if a.observer == nil {
		return
	}
	first := a.req == nil
	a.req, a.sent = req, uptime()
	if first {
		a.observer.attemptStarted(a, AttemptStart{a.info, req})
	}
}

// waitsFor reports whether the slot that t gets for req is the attempt's own. Another
// chain that was given the attempt's context, to fetch a token, say, has its own
// waits. Where Retry can see no Pace layer there may be one behind a foreign layer,
// which is known by where its request goes.
func (a *attempt) waitsFor(t *paceTransport, req *http.Request) bool {
	if len(a.retry.paces) > 0 {
		return slices.Contains(a.retry.paces, t)
	}
	return req.Method == a.call.Method && req.URL != nil && a.call.URL != nil && req.URL.Host == a.call.URL.Host
}

// hold stops the attempt's clock, while it waits for a slot or for good. It is too
// late for that once the time has come, even if the timer has not got round to it.
func (a *attempt) hold() {
	if a.ticking && !a.timer.Stop() {
		a.expire()
	}
	a.ticking = false
}

func (a *attempt) expire() { a.cancel(&attemptTimeoutError{a.policy.AttemptTimeout()}) }

// settle ends the attempt's timeout and says what its error means. A response that
// came in time is not cut by it, nor is what is still to be sent of the request: the
// attempt's context is released when both bodies are done with.
func (a *attempt) settle(resp *http.Response, err error) (*http.Response, error) {
	err = a.handshake.explain(err)
	if a.cancel == nil {
		return resp, err
	}
	a.hold()
	if timeout, ok := context.Cause(a.Context).(*attemptTimeoutError); ok {
		if resp != nil {
			_ = resp.Body.Close() // cut already
		}
		return nil, timeout
	}
	if err != nil {
		a.cancel(nil)
		return nil, err
	}
	if resp.Body == http.NoBody {
		a.body.whenSent(func() { a.cancel(nil) })
		return resp, nil
	}
	resp.Body = releasing(resp.Body, func() { a.body.whenSent(func() { a.cancel(nil) }) })
	return resp, nil
}

// done records how the attempt ended.
func (a *attempt) done(resp *http.Response, err error, v retrypolicy.Verdict) {
	a.verdict = v
	if a.req != nil {
		a.observer.attemptDone(a, AttemptResult{a.info, a.req, resp, err, v, uptime() - a.sent})
	}
}

// An attemptTimeoutError is the cause of the end of an attempt's context, so that
// layers below can tell it from a cancellation. It does not unwrap to the base
// transport's error, which says that the context was cancelled: it was, but not by
// the caller.
type attemptTimeoutError struct{ after time.Duration }

func (e *attemptTimeoutError) Error() string {
	return fmt.Sprintf("pacedhttp: attempt timed out: no response within %v", e.after)
}

func (e *attemptTimeoutError) Timeout() bool { return true }

// Is matches context.DeadlineExceeded, as net/http's timeouts do.
func (e *attemptTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// releasing returns body with a release that is called at its end or Close. The
// body of a 101 response stays an io.Writer.
func releasing(body io.ReadCloser, release func()) io.ReadCloser {
	r := &releasingBody{body, release}
	switch conn := body.(type) {
	case halfCloser:
		return struct {
			*releasingBody
			halfCloser
		}{r, conn}
	case io.Writer:
		return struct {
			*releasingBody
			io.Writer
		}{r, conn}
	}
	return r
}

// A halfCloser is what the body of a 101 response may be besides an io.Writer;
// httputil.ReverseProxy asks.
type halfCloser interface {
	io.Writer
	CloseWrite() error
}

type releasingBody struct {
	io.ReadCloser
	release func() // may be called more than once
}

func (b *releasingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

func (b *releasingBody) Close() error {
	err := b.ReadCloser.Close()
	b.release()
	return err
}
