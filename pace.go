package pacedhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A Waiter blocks until the caller may go ahead, or returns why it may not. It
// must be safe for concurrent use and return when ctx is done. A refusal within a
// minute of ctx's deadline is taken to mean that the wait would outlive it, unless the error
// has a method ErrorType() string and does not match context.DeadlineExceeded. *pacer.Pacer,
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
// timeout or duration, in a chain put together by [New]. If w refuses, nothing is sent and the error is a
// [*PaceError]. A nil w paces nothing, nor does one that is a nil pointer.
func Pace(w Waiter) Middleware {
	if isNil(w) {
		return func(next http.RoundTripper) http.RoundTripper { return next }
	}
	t := paceTransport{fixed: w, pick: func(*http.Request) Waiter { return w }}
	return t.middleware
}

// PaceBy is [Pace] with a Waiter picked for each request, by host or by token, say.
// Where pick returns nil, or a Waiter that is a nil pointer such as a nil *pacer.Pacer,
// the request is not paced. pick must not modify the request
// and must be safe for concurrent use. A nil pick paces nothing.
func PaceBy(pick func(*http.Request) Waiter) Middleware {
	t := paceTransport{pick: pick}
	return t.middleware
}

// A PaceError says that the Waiter refused: nothing was sent. It is never retried and
// unwraps to Err. It is a net.Error. Where the context ended during the wait, the error is
// the context's instead.
type PaceError struct{ Err error }

var _ net.Error = (*PaceError)(nil)

// Error returns the Waiter's reason, without what [retrypolicy.ErrorText] leaves out.
func (e *PaceError) Error() string { return "pacedhttp: not sent: " + retrypolicy.ErrorText(e.Err) }

// Unwrap returns Err.
func (e *PaceError) Unwrap() error { return e.Err }

// Timeout reports whether the deadline was the reason, as net.Error does.
func (e *PaceError) Timeout() bool { return errors.Is(e.Err, context.DeadlineExceeded) }

// Temporary is Timeout, as for [context.DeadlineExceeded].
func (e *PaceError) Temporary() bool { return e.Timeout() }

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
	fixed Waiter // what pick always returns; nil for PaceBy
}

func (t paceTransport) middleware(next http.RoundTripper) http.RoundTripper {
	if t.pick == nil {
		return next
	}
	t.layer = layer{next}
	return &t
}

func (t *paceTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	held := holding{req: req}
	defer held.close()
	a := attemptFrom(req.Context())
	if a != nil && !a.waitsFor(t) {
		a = nil
	}
	w := t.pick(req)
	paced := !isNil(w)
	if paced {
		if err := acquire(req, w, a); err != nil {
			return nil, err
		}
	}
	if a != nil && a.startsWith(t) {
		a.start(req)
	}
	held.req = nil
	resp, err := exchange(t.next, req)
	held.resp = resp
	if p, ok := w.(interface{ PauseUntil(time.Time) }); ok && paced && resp != nil {
		if d := throttledFor(req, resp, a); d > 0 {
			p.PauseUntil(time.Now().Add(d))
		}
	}
	held.resp = nil
	return resp, err
}

// pacesOf returns the Pace layers among layers, those below a Retry layer, that belong to its
// attempts: down to the next Retry layer.
func pacesOf(layers []ours) []*paceTransport {
	var paces []*paceTransport
	for _, l := range layers {
		switch l := l.(type) {
		case *paceTransport:
			paces = append(paces, l)
		case *retryTransport:
			return paces
		}
	}
	return paces
}

// sameAs reports whether t and other always have the same Waiter.
func (t *paceTransport) sameAs(other *paceTransport) bool {
	return t.fixed != nil && reflect.TypeOf(t.fixed).Kind() == reflect.Pointer && t.fixed == other.fixed
}

// isNil reports whether w is nothing to wait for: a nil pointer in an interface is not.
func isNil(w Waiter) bool {
	v := reflect.ValueOf(w)
	return w == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

var errMaxElapsed = errors.New("a retry would start after the policy's MaxElapsed")

// acquire waits for a slot, and tells who wants to know.
func acquire(req *http.Request, w Waiter, a *attempt) error {
	ctx, release := waitContext(req)
	defer release()
	if a != nil {
		a.hold()
	}
	observer := observerFrom(ctx)
	observer.slotRequested(ctx, SlotInfo{Request: req})
	limited, tooLate, cancel := bound(ctx, a)
	defer cancel()
	var began, waited time.Duration
	told := a != nil && tells(w, limited)
	measured := observer != nil || a != nil && !told
	if measured {
		began = uptime()
	}
	if told {
		a.listens = true
	}
	reason, err := wait(ctx, limited, tooLate, w)
	if measured {
		waited = uptime() - began
	}
	switch {
	case told:
		a.listens = false
	case a != nil:
		a.info.PacedFor += waited // there may be several Pace layers
	}
	if err == nil {
		observer.slotAcquired(ctx, SlotInfo{Request: req, Waited: waited})
		return nil
	}
	if a != nil && !a.started {
		a.refused = reason
	}
	why := err
	if refusal, refused := err.(*PaceError); refused {
		why = refusal.Err
	}
	observer.slotRefused(ctx, SlotInfo{Request: req, Waited: waited, Err: why})
	return err
}

// tells reports whether w tells the attempt that ctx is how long it waited, if it did: to
// read the clock costs as much as a free slot.
func tells(w Waiter, ctx context.Context) bool {
	_, pacer := w.(*pacer.Pacer)
	_, attempt := ctx.(*attempt)
	return pacer && attempt
}

// bound returns ctx with an end where a retry would start too late, and why a wait fails that
// goes on until its deadline.
func bound(ctx context.Context, a *attempt) (context.Context, retrypolicy.Reason, context.CancelFunc) {
	if a != nil && a.startBy != 0 {
		startBy := time.Now().Add(a.startBy - uptime() + 1) // at MaxElapsed is not after it
		if deadline, ok := ctx.Deadline(); !ok || startBy.Before(deadline) {
			limited, cancel := context.WithDeadlineCause(ctx, startBy, errMaxElapsed)
			return limited, retrypolicy.ReasonMaxElapsed, cancel
		}
	}
	return ctx, retrypolicy.ReasonDeadline, func() {}
}

// wait waits for w until limited, which is ctx or ends before it, and says why there is no
// slot: ctx has ended, which wins over a slot that comes at that moment, or w refused.
func wait(ctx, limited context.Context, tooLate retrypolicy.Reason, w Waiter) (retrypolicy.Reason, error) {
	err := w.Wait(limited)
	switch {
	case ctx.Err() != nil:
		return retrypolicy.NewError(ctx, 0, "", nil).Reason, interrupted(ctx, err)
	case limited.Err() != nil:
		return tooLate, &PaceError{interrupted(limited, err)}
	case err == nil:
		return "", nil
	case !tooLateFor(limited, err):
		return retrypolicy.ReasonNotRetryable, &PaceError{err}
	case limited != ctx:
		return tooLate, &PaceError{fmt.Errorf("%w: %w", errMaxElapsed, err)}
	case !errors.Is(err, context.DeadlineExceeded):
		return tooLate, &PaceError{fmt.Errorf("%w: %w", context.DeadlineExceeded, err)}
	default:
		return tooLate, &PaceError{err}
	}
}

// tooLateFor reports whether a Waiter's err means that its slot would come after the
// deadline of ctx. A Waiter whose error has no type for its reason, as that of *rate.Limiter
// of golang.org/x/time has none, is taken to mean it where the deadline is near.
func tooLateFor(ctx context.Context, err error) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return false
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	_, named := errors.AsType[interface {
		error
		ErrorType() string
	}](err)
	return !named && time.Until(deadline) <= near
}

// near is how far off a deadline may be that a Waiter without a word for it refuses for.
const near = time.Minute

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
