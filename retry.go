package pacedhttp

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/handshake"
	"github.com/pacedhttp/pacedhttp/internal/replay"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Retry sends a request again when it failed and p says that it may be. A nil p
// means [retrypolicy.Default]; [retrypolicy.WithPolicy] and
// [retrypolicy.WithoutRetry] choose for a single request.
//
// The caller gets the last attempt's response, unread, with a nil error, be it a
// success or the failure that retrying could not mend. A call of one attempt ends with
// the very error that the layers below returned; one of several with a
// [*retrypolicy.Error]. A call that its context ended ends with the context's Err, or
// with an error that also matches its Cause and what the last attempt failed with.
//
// Responses that are thrown away are drained, at most 64 KiB and 100 ms of each, and
// closed. Should the pacer refuse the slot for the next attempt, the caller gets the
// last of them after all, or a *retrypolicy.Error if it was longer.
//
// Where a Pace layer below told a pacer of a throttling, the delay before the next attempt is
// the pacer's: see [Pace]. A policy of one attempt gives Pace its judgement and sends nothing
// again, which is how an SDK that retries by itself is paced.
//
// A request body is sent again if the request has GetBody, as those of
// http.NewRequest with a buffer or string have; if it fits the policy's
// ReplayBuffer; or if nothing of it was read. A body in memory with GetBody reaches the
// base transport as it is. Any other is watched, and the base transport may close it
// after RoundTrip has returned, like any other transport. When the
// context ends, it is closed even while it is being read: a producer that blocks
// does not delay the end of the call, nor does a copy of GetBody's whose Close ends a
// Read. Where ContentLength is known the last bytes are
// sent once the body has ended there, so that no server takes for whole what is not.
//
// A panic of a hook, a Classifier, a Backoff or a layer below passes through; bodies are
// closed and contexts released.
//
// A layer below Retry sees one attempt at a time: hedging belongs above it or below
// Pace. A response's Close must end a Read under way, as net/http's does; only
// that bounds the time of draining.
func Retry(p *retrypolicy.Policy) Middleware {
	if p == nil {
		p = retrypolicy.Default()
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return &retryTransport{layer: layer{strict(next)}, policy: p, paces: pacesOf(layersOf(next))}
	}
}

type retryTransport struct {
	layer
	policy *retrypolicy.Policy
	paces  []*paceTransport // of its attempts; the last of them says when one starts
	paced  atomic.Bool      // there is a Pace layer above, too
}

// hasRetry reports whether a Retry layer is among layers.
func hasRetry(layers []ours) bool { return slices.ContainsFunc(layers, isRetry) }

func isRetry(l ours) bool { _, ok := l.(*retryTransport); return ok }

func (t *retryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, release := waitContext(req)
	defer release()
	c := call{
		retryTransport: t,
		req:            req,
		ctx:            ctx,
		policy:         t.policy.For(ctx),
		observer:       observerFrom(ctx),
	}
	if c.observer != nil || c.policy.Timed() { // or nobody asks
		c.times = &times{began: uptime()}
	}
	c.body = replay.New(req, c.policy.ReplayBuffer())
	defer c.leave()
	if ctx.Err() != nil {
		return c.end(0, "", nil, nil)
	}

	for n := 1; ; n++ {
		a := c.begin(n)
		resp, err := a.settle(c.next.RoundTrip(&a.out))
		c.resp = resp
		if err != nil && a.refused != nil {
			a.abort()
			return c.end(n-1, *a.refused, nil, err)
		}
		c.last.forget()
		c.last = outcome{}

		if err == nil && a.judge(resp, nil) == retrypolicy.Accept {
			c.policy.CountCall(n)
			a.done(resp, nil, retrypolicy.Accept)
			return c.end(n, retrypolicy.ReasonAccepted, resp, nil)
		}
		next := c.decide(a, resp, err)
		if !next.Retry {
			return c.end(n, next.Reason, resp, err)
		}
		if fault := c.body.Rewind(); fault != nil {
			if fault != replay.ErrNotReplayable { // it must not hide behind an old response
				if resp != nil {
					discard(resp)
				}
				resp, err = nil, fault
			}
			return c.end(n, retrypolicy.ReasonBodyNotReplayable, resp, err)
		}

		c.delay = next.Delay
		decided := c.elapsed()
		c.observer.retryScheduled(ctx, RetryInfo{a.info, req, resp, err, next.Verdict, c.delay})
		c.last, c.resp = setAside(resp, err), nil
		next.Delay -= c.elapsed() - decided // the drain is part of the wait
		if alive := next.Wait(ctx); !alive || c.late() {
			return c.end(n, retrypolicy.ReasonMaxElapsed, nil, nil)
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
	body     *replay.Body
	times    *times // see attempt

	current *attempt
	resp    *http.Response // the current attempt's, while nobody else has it
	last    outcome        // of the attempt before the current one
	delay   time.Duration  // between the two
	over    bool
}

// begin makes the next attempt current.
func (c *call) begin(n int) *attempt {
	a := &attempt{
		asked:  c.req,
		body:   c.body,
		info:   AttemptInfo{Number: n, Previous: c.delay},
		policy: c.policy,
		retry:  c.retryTransport,
		times:  c.times,
	}
	if c.observer != nil {
		a.observed = &observed{observer: c.observer}
	}
	a.Context, a.setUp = handshake.New(withoutEarlier(c.req.Context()), c.req)
	c.current = a
	a.out = *c.req.WithContext(a)
	c.body.Attach(&a.out)
	if len(c.paces) == 0 {
		a.start(&a.out)
	}
	return a
}

// decide asks the policy what follows attempt a.
func (c *call) decide(a *attempt, resp *http.Response, err error) retrypolicy.Decision {
	verdict := a.judge(resp, err)
	result := a.result(resp, err)
	next := c.policy.Decide(c.ctx, &result, verdict)
	a.done(resp, err, verdict)
	c.times = new(*a.note())
	c.times.asks = 0
	if result.Paced {
		c.times.asks = uptime()
	}
	return next
}

// late reports whether a retry would start after MaxElapsed: to drain a response may
// take longer than the delay.
func (c *call) late() bool {
	elapsed, d := c.elapsed(), c.policy.MaxElapsed()
	return d > 0 && elapsed > d
}

func (c *call) elapsed() time.Duration { return uptime() - c.times.began }

// end ends the call after some attempts. The caller gets what the last of them brought: its
// response or error or, if it was to be followed by another one that did not come, the
// response that was set aside. That is lost if it was too long, or if the caller cancelled.
func (c *call) end(attempts int, reason retrypolicy.Reason, resp *http.Response, err error) (*http.Response, error) {
	if resp == nil && c.ctx.Err() != nil {
		reason = retrypolicy.NewError(c.ctx, attempts, "", nil).Reason
	}
	switch {
	case resp != nil:
		c.body.Retire()
	case c.last.whole && reason != retrypolicy.ReasonCanceled:
		c.body.Close()
		resp, err = c.last.restore(), nil
	default:
		c.body.Close()
		err = c.failure(attempts, reason, err)
	}
	c.resp = resp
	if c.observer != nil {
		info := CallInfo{c.req, resp, err, attempts, reason, uptime() - c.times.began}
		if reason != retrypolicy.ReasonAccepted {
			c.observer.gaveUp(c.ctx, info)
		}
		c.observer.callDone(c.ctx, info)
	}
	c.over = true
	return resp, err
}

// failure is the error of a call that ends with err. Where there was but one attempt, that
// is all there is to tell.
func (c *call) failure(attempts int, reason retrypolicy.Reason, err error) error {
	earlier := c.last.failure()
	if attempts <= 1 && earlier == nil {
		if err != nil && c.req.Context().Err() == nil {
			return err
		}
		if end, ok := endOf(c.ctx, err); ok {
			return end
		}
	}
	switch {
	case err == nil:
		err = earlier
	case earlier != nil:
		err = fmt.Errorf("%w; last failure: %w", err, earlier)
	}
	return retrypolicy.NewError(c.ctx, attempts, reason, err)
}

// leave gives up what the call still holds: all of it, after a panic.
func (c *call) leave() {
	c.last.forget()
	if c.over {
		return
	}
	c.body.Close()
	if c.resp != nil {
		_ = c.resp.Body.Close()
	}
	if c.current != nil {
		c.current.abort()
	}
}
