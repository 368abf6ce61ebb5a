package pacedhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A Waiter blocks until the caller may go ahead, or returns why it may not. It
// must be safe for concurrent use and return when ctx is done. *pacer.Pacer,
// *redispacer.Pacer and *rate.Limiter of golang.org/x/time are Waiters.
//
// A Waiter that also has PauseUntil(time.Time) is told when a server asks for a
// pause.
type Waiter interface {
	Wait(ctx context.Context) error
}

// Pace makes every request wait for w before it is sent. Put it below Retry: then
// each attempt takes a slot of its own, and the quota holds while retrying too.
//
// When a response says that the server is throttling and for how long, Pace tells
// a w that has PauseUntil, so that all callers of w hold back and not only the
// one that was told. The policy of the Retry layer above judges the response, or
// [retrypolicy.DefaultClassifier] if there is none. A server that asks for more
// than a day is given a day. Every Pace layer that the response passes does so: if
// one host's trouble must not stop the others, give the layer that they share a
// Waiter without PauseUntil.
//
// The wait counts towards the caller's deadline but never towards an attempt's
// timeout or duration. If w refuses, nothing is sent and the error is a
// [*PaceError]. A nil w paces nothing.
func Pace(w Waiter) Middleware {
	return PaceBy(func(*http.Request) Waiter { return w })
}

// PaceBy is [Pace] with a Waiter picked for each request, by host or by token, say.
// Where pick returns nil the request is not paced. pick must not modify the request
// and must be safe for concurrent use. A nil pick paces nothing.
func PaceBy(pick func(*http.Request) Waiter) Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		if pick == nil {
			return next
		}
		return &paceTransport{layer{next}, pick, pacesBelow(next) != nil}
	}
}

// A PaceError says that the Waiter refused or the context ended before there was a
// slot: nothing was sent. It is never retried and unwraps to Err.
type PaceError struct{ Err error }

// Error returns the Waiter's reason, without what [retrypolicy.ErrorText] leaves out.
func (e *PaceError) Error() string { return "pacedhttp: not sent: " + retrypolicy.ErrorText(e.Err) }

// Unwrap returns Err.
func (e *PaceError) Unwrap() error { return e.Err }

// Timeout reports whether the deadline was the reason, as net.Error does.
func (e *PaceError) Timeout() bool { return errors.Is(e.Err, context.DeadlineExceeded) }

// Retryable returns false: asking the same pacer again would be refused again.
func (e *PaceError) Retryable() bool { return false }

// ErrorType returns a name for telemetry: that of Err if it has one, such as
// "pacing_deadline" or "pacing_queue_full", else "pacing_canceled" or
// "pacing_refused".
func (e *PaceError) ErrorType() string {
	if named, ok := errors.AsType[interface {
		error
		ErrorType() string
	}](e.Err); ok {
		return named.ErrorType()
	}
	switch {
	case e.Timeout():
		return "pacing_deadline"
	case errors.Is(e.Err, context.Canceled):
		return "pacing_canceled"
	default:
		return "pacing_refused"
	}
}

// longestPause keeps one absurd header from stopping a program for good.
const longestPause = 24 * time.Hour

type paceTransport struct {
	layer
	pick  func(*http.Request) Waiter
	paced bool // another Pace layer below says when an attempt starts
}

func (t *paceTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	a := attemptFrom(ctx)
	if a != nil && !a.waitsFor(t, req) {
		a = nil
	}
	w := t.pick(req)
	if w != nil {
		if err := acquire(req, w, a); err != nil {
			closeBody(req)
			return nil, &PaceError{err}
		}
	}
	if a != nil && !t.paced {
		a.start(req)
	}
	resp, err := exchange(t.next, req)
	if p, ok := w.(interface{ PauseUntil(time.Time) }); ok && resp != nil {
		if d := throttledFor(req, resp, a); d > 0 {
			p.PauseUntil(time.Now().Add(d))
		}
	}
	return resp, err
}

// pacesBelow returns the Pace layers below rt that belong to the same attempts.
func pacesBelow(rt http.RoundTripper) []*paceTransport {
	var paces []*paceTransport
	for {
		if t, ok := rt.(*paceTransport); ok {
			paces = append(paces, t)
		}
		l, ok := rt.(interface{ below() http.RoundTripper })
		if _, retries := rt.(*retryTransport); retries || !ok {
			return paces
		}
		rt = l.below()
	}
}

var errMaxElapsed = errors.New("a retry would start after the policy's MaxElapsed")

// acquire waits for a slot. A context that ends at the moment the slot comes wins.
func acquire(req *http.Request, w Waiter, a *attempt) error {
	ctx := req.Context()
	if a != nil {
		a.hold()
	}
	observer := observerFrom(ctx)
	observer.slotRequested(ctx, SlotInfo{Request: req})
	began := uptime()
	err := wait(ctx, w, a)
	waited := uptime() - began
	if a != nil {
		a.info.PacedFor += waited // there may be several Pace layers
	}
	if err != nil {
		observer.slotRefused(ctx, SlotInfo{Request: req, Waited: waited, Err: err})
		return err
	}
	observer.slotAcquired(ctx, SlotInfo{Request: req, Waited: waited})
	return nil
}

// wait waits for w until ctx ends, or until a retry would start too late.
func wait(ctx context.Context, w Waiter, a *attempt) error {
	limited := ctx
	if a != nil && a.startBy != 0 {
		startBy := time.Now().Add(a.startBy - uptime() + 1) // at MaxElapsed is not after it
		if deadline, ok := ctx.Deadline(); !ok || startBy.Before(deadline) {
			var cancel context.CancelFunc
			limited, cancel = context.WithDeadlineCause(ctx, startBy, errMaxElapsed)
			defer cancel()
		}
	}
	err := w.Wait(limited)
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx, err)
	case limited.Err() != nil:
		return interrupted(limited, err)
	case limited != ctx && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", errMaxElapsed, err)
	}
	return err
}

// interrupted makes err match ctx's Err and Cause, whatever the Waiter made of them.
func interrupted(ctx context.Context, err error) error {
	for _, end := range [...]error{ctx.Err(), context.Cause(ctx)} {
		switch {
		case err == nil:
			err = end
		case !errors.Is(err, end):
			err = fmt.Errorf("%w: %w", err, end)
		}
	}
	return err
}

// throttledFor returns for how long the server wants not to be called; zero means
// that it did not say.
func throttledFor(req *http.Request, resp *http.Response, a *attempt) time.Duration {
	if judge(req, resp, a) != retrypolicy.Throttled {
		return 0
	}
	d, _ := retrypolicy.RetryAfter(resp.Header, time.Now())
	return min(d, longestPause)
}

// judge asks the policy of the Retry layer above, or the default where there is none.
func judge(req *http.Request, resp *http.Response, a *attempt) retrypolicy.Verdict {
	seen := retrypolicy.Attempt{Number: 1, Request: req, Response: resp}
	if a == nil {
		return retrypolicy.DefaultClassifier(seen)
	}
	seen.Number, seen.Previous = a.info.Number, a.info.Previous
	return a.policy.Classify(seen)
}
