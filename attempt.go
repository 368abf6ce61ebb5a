package pacedhttp

import (
	"context"
	"fmt"
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
// of RoundTrip; from others only its context is asked and ended.
//
// Its context has an end of its own besides the call's: its timeout, or that its response
// was thrown away.
type attempt struct {
	separable // from the call's context, or one that watches the connection's set-up
	caller    context.Context

	info     AttemptInfo
	policy   *retrypolicy.Policy
	observer *observer
	retry    *retryTransport
	startBy  time.Duration       // on uptime's clock; zero if it may start at any time
	started  bool                // by the last of its Pace layers, if it has any
	refused  retrypolicy.Reason  // why a Pace layer gave it no slot; empty once it has started
	verdict  retrypolicy.Verdict // set when it is over

	timer   *time.Timer // nil before start
	ticking bool
	listens bool // while it waits for a slot of its own

	req  *http.Request // as it was sent; nil before, and where nobody observes
	sent time.Duration // when, on uptime's clock; set with req
}

var loaded = time.Now()

// uptime is a clock for differences: it costs half of what time.Now does.
func uptime() time.Duration { return time.Since(loaded) }

type attemptKey struct{}

func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// attemptOf returns the attempt that brought resp.
func attemptOf(resp *http.Response) *attempt {
	if resp.Request == nil { // of a fallback's making
		return nil
	}
	return attemptFrom(resp.Request.Context())
}

// start marks the send: from here on the attempt's own time runs. It does so anew where a
// layer between Retry and Pace sends more than once.
func (a *attempt) start(req *http.Request) {
	a.started, a.refused = true, ""
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

// waitsFor reports whether a slot that t gets with the attempt's context is its own. Another
// chain that was given the context, to fetch a token, say, has its own waits.
func (a *attempt) waitsFor(t *paceTransport) bool { return slices.Contains(a.retry.paces, t) }

// startsWith reports whether t is the last layer that the attempt waits in.
func (a *attempt) startsWith(t *paceTransport) bool { return a.retry.paces[len(a.retry.paces)-1] == t }

// Waited is how a pacer.Pacer tells the context of a Wait that there was a wait. Another
// chain may wait with the attempt's context, which is none of the attempt's.
func (a *attempt) Waited(d time.Duration) {
	if a.listens {
		a.info.PacedFor += d
	}
}

// hold stops the attempt's timeout, while it waits for a slot or for good. If its time has
// come the attempt is over, even if the timer has not got round to it.
func (a *attempt) hold() {
	if a.ticking && !a.timer.Stop() {
		a.expire()
	}
	a.ticking = false
}

func (a *attempt) expire() { a.end(&attemptTimeoutError{a.policy.AttemptTimeout()}) }

// settle ends the attempt's timeout. A response that came in time is not cut by it, nor
// is what is still to be sent of the request.
func (a *attempt) settle(resp *http.Response, err error) (*http.Response, error) {
	a.hold()
	if timeout, ok := a.ownCause().(*attemptTimeoutError); ok {
		if resp != nil {
			_ = resp.Body.Close() // cut already
		}
		resp, err = nil, timeout
	}
	if resp != nil {
		if attemptOf(resp) == nil { // the base named a request of its own
			resp.Request = resp.Request.WithContext(a)
		}
		a.separateAfter(resp)
	}
	return resp, err
}

// abort ends an attempt after a panic, settled or not.
func (a *attempt) abort() {
	a.hold()
	a.end(nil)
}

// done records how the attempt ended.
func (a *attempt) done(resp *http.Response, err error, v retrypolicy.Verdict) {
	a.verdict = v
	if a.req != nil {
		a.observer.attemptDone(a, AttemptResult{a.info, a.req, resp, err, v, uptime() - a.sent})
	}
	if resp == nil {
		a.separateAfter(nil)
	}
}

// parentIfOver leaves out what watched the attempt's connection.
func (a *attempt) parentIfOver() (parent context.Context, over bool) {
	_, over = a.separable.parentIfOver()
	return a.caller, over
}

// Value answers for the attempt, also when it is over.
func (a *attempt) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return a
	}
	return a.separable.Value(key)
}

// An attemptTimeoutError is the cause of the end of an attempt's context, so that
// layers below can tell it from a cancellation. It does not unwrap to the base
// transport's error, which says that the context was cancelled: it was, but not by
// the caller.
type attemptTimeoutError struct{ after time.Duration }

func (e *attemptTimeoutError) Error() string {
	return fmt.Sprintf("pacedhttp: attempt timed out: no response within %v", e.after)
}

func (e *attemptTimeoutError) Timeout() bool   { return true }
func (e *attemptTimeoutError) Temporary() bool { return true }

// Is matches context.DeadlineExceeded, as net/http's timeouts do.
func (e *attemptTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
