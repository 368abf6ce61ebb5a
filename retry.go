package pacedhttp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Retry sends a request again when it failed and p says that it may be. A nil p
// means [retrypolicy.Default]; [retrypolicy.WithPolicy] and
// [retrypolicy.WithoutRetry] choose for a single request.
//
// The caller gets the last attempt's response, unread, with a nil error, be it a
// success or the failure that retrying could not mend. If the last attempt failed
// with an error, the caller gets a [*retrypolicy.Error]. When the caller's context
// ends the call, the error matches its Err and Cause too.
//
// Responses that are thrown away are drained, at most 64 KiB and 100 ms of each, and
// closed. Should the pacer refuse the slot for the next attempt, the caller gets the
// last of them after all, or a *retrypolicy.Error if it was longer.
//
// A request body is sent again if the request has GetBody, as those of
// http.NewRequest with a buffer or string have; if it fits the policy's
// ReplayBuffer; or if nothing of it was read. The base transport may close the
// caller's body after RoundTrip has returned, like any other transport. When the
// context ends, the body is closed even while it is being read: a producer that blocks
// does not delay the end of the call, nor does a copy of GetBody's whose Close ends a
// Read. Where ContentLength is known the last bytes are
// sent once the body has ended there, so that no server takes for whole what is not.
//
// A layer below Retry sees one attempt at a time: hedging belongs above it or below
// Pace. A response's Close must end a Read under way, as net/http's does; only
// that bounds the time of draining.
func Retry(p *retrypolicy.Policy) Middleware {
	if p == nil {
		p = retrypolicy.Default()
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return &retryTransport{layer{next}, p, pacesBelow(next)}
	}
}

type retryTransport struct {
	layer
	policy *retrypolicy.Policy
	paces  []*paceTransport // below; the last of them says when an attempt starts
}

func (t *retryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := call{
		retryTransport: t,
		req:            req,
		ctx:            req.Context(),
		policy:         t.policy.For(req.Context()),
		observer:       observerFrom(req.Context()),
		began:          uptime(),
	}
	c.body = newReplay(req, c.policy.ReplayBuffer())
	if c.ctx.Err() != nil {
		return c.fail(0, "", nil)
	}

	var last outcome // of the previous attempt
	var delay time.Duration
	for n := 1; ; n++ {
		a, resp, err := c.attempt(n, delay)
		if refusal := refusalIn(err); refusal != nil {
			a.done(nil, err, retrypolicy.Accept)
			return c.refused(n-1, refusal, err, last)
		}
		last.forget()

		next := c.policy.Next(c.ctx, retrypolicy.Attempt{
			Number:     n,
			Request:    req,
			Response:   resp,
			Err:        err,
			Elapsed:    uptime() - c.began,
			Previous:   delay,
			Replayable: c.body.replayable(),
		})
		a.done(resp, err, next.Verdict)
		if next.Retry {
			next, resp, err = c.rewind(next, resp, err)
		}
		switch {
		case next.Retry:
		case err != nil:
			return c.fail(n, next.Reason, err)
		default:
			return c.deliver(n, next.Reason, resp)
		}

		delay = next.Delay
		decided := uptime()
		c.observer.retryScheduled(c.ctx, RetryInfo{a.info, req, resp, err, next.Verdict, delay})
		last = setAside(resp, err)
		next.Delay -= uptime() - decided // the drain is part of the wait
		if !next.Wait(c.ctx) || c.late() {
			return c.interrupted(n, last)
		}
	}
}

// A call is one RoundTrip of a Retry layer.
type call struct {
	*retryTransport
	req      *http.Request // the caller's
	ctx      context.Context
	policy   *retrypolicy.Policy
	observer *observer
	body     *replay
	began    time.Duration // a reading of uptime
}

// attempt sends the request once.
func (c *call) attempt(n int, delay time.Duration) (*attempt, *http.Response, error) {
	a := &attempt{
		Context:  c.ctx,
		info:     AttemptInfo{Number: n, Previous: delay},
		policy:   c.policy,
		observer: c.observer,
		retry:    c.retryTransport,
		call:     c.req,
	}
	if d := c.policy.MaxElapsed(); n > 1 && d > 0 {
		a.startBy = c.began + min(d, math.MaxInt64/4)
	}
	a.bound()
	a.Context, a.handshake = watchHandshake(a.Context, c.req)
	out := c.req.WithContext(a)
	a.body = c.body.attach(out)
	if len(c.paces) == 0 {
		a.start(out)
	}
	resp, err := exchange(c.next, out)
	resp, err = a.settle(resp, err)
	if resp != nil && resp.Request == nil {
		resp.Request = out
	}
	return a, resp, err
}

// rewind readies the body for the retry that next wants, or turns next into giving
// up if the body cannot be sent again after all.
func (c *call) rewind(next retrypolicy.Decision, resp *http.Response, err error) (retrypolicy.Decision, *http.Response, error) {
	ok, fault := c.body.rewind()
	if ok {
		return next, resp, err
	}
	if fault != nil { // GetBody's own error must not hide behind an old response
		if resp != nil {
			release(resp)
		}
		resp, err = nil, fault
	}
	return retrypolicy.Decision{Verdict: next.Verdict, Reason: retrypolicy.ReasonBodyNotReplayable}, resp, err
}

// deliver ends the call with a response, good or bad.
func (c *call) deliver(attempts int, reason retrypolicy.Reason, resp *http.Response) (*http.Response, error) {
	c.body.retire()
	if reason != retrypolicy.ReasonAccepted {
		c.gaveUp(attempts, reason, resp, nil)
	}
	return resp, nil
}

// fail ends the call with an error.
func (c *call) fail(attempts int, reason retrypolicy.Reason, err error) (*http.Response, error) {
	c.body.close()
	failure := retrypolicy.NewError(c.ctx, attempts, reason, err)
	c.gaveUp(attempts, failure.Reason, nil, failure)
	return nil, failure
}

// late reports whether a retry would start after MaxElapsed: to drain a response may
// take longer than the delay.
func (c *call) late() bool {
	d := c.policy.MaxElapsed()
	return d > 0 && uptime()-c.began > d
}

// interrupted ends the call when its time ended during a delay. What the last attempt
// brought is not lost to that, unless the caller cancelled.
func (c *call) interrupted(attempts int, last outcome) (*http.Response, error) {
	defer last.forget()
	reason := retrypolicy.ReasonMaxElapsed
	if c.ctx.Err() != nil {
		reason = retrypolicy.ReasonDeadline
	}
	if last.whole && c.ctx.Err() != context.Canceled {
		return c.restore(attempts, reason, last)
	}
	return c.fail(attempts, reason, last.failure())
}

// refused ends the call when the pacer gave no slot to its next attempt. What the
// last attempt brought is not lost to that, unless the caller cancelled.
func (c *call) refused(attempts int, refusal *PaceError, err error, last outcome) (*http.Response, error) {
	defer last.forget()
	reason := c.refusalReason(refusal)
	switch {
	case attempts == 0:
		c.body.close()
		c.gaveUp(0, reason, nil, err)
		return nil, err
	case last.whole && reason != retrypolicy.ReasonCanceled:
		return c.restore(attempts, reason, last)
	default:
		return c.fail(attempts, reason, fmt.Errorf("%w; last failure: %w", err, last.failure()))
	}
}

// refusalIn returns the refusal of the attempt's own slot, if that is what err is. What
// Prepare met with, or a Retry layer below after it had sent something, is none.
func refusalIn(err error) *PaceError {
	for ; err != nil; err = errors.Unwrap(err) {
		switch e := err.(type) {
		case *PaceError:
			return e
		case *prepareError, *retrypolicy.Error:
			return nil
		}
	}
	return nil
}

func (c *call) refusalReason(refusal *PaceError) retrypolicy.Reason {
	_, hasDeadline := c.ctx.Deadline()
	switch {
	case c.ctx.Err() == context.Canceled:
		return retrypolicy.ReasonCanceled
	case errors.Is(refusal, errMaxElapsed):
		return retrypolicy.ReasonMaxElapsed
	case hasDeadline && refusal.Timeout():
		return retrypolicy.ReasonDeadline
	default:
		return retrypolicy.ReasonNotRetryable
	}
}

// restore ends the call with a response that had been set aside.
func (c *call) restore(attempts int, reason retrypolicy.Reason, last outcome) (*http.Response, error) {
	c.body.close()
	resp := last.restore()
	c.gaveUp(attempts, reason, resp, nil)
	return resp, nil
}

func (c *call) gaveUp(attempts int, reason retrypolicy.Reason, resp *http.Response, err error) {
	c.observer.gaveUp(c.ctx, GaveUpInfo{c.req, resp, err, attempts, reason, uptime() - c.began})
}
