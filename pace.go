package pacedhttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/waiter"
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
// pause. One that is an [Acquirer] is asked for slots.
type Waiter interface {
	Wait(ctx context.Context) error
}

// An Acquirer is a [Waiter] that hears what became of each request, by the slot that it
// grants: *pacer.Pacer is one. A *pacer.Pacer is asked for no slot where it has no use for
// one. A type that embeds a Waiter hides its Acquire: through struct{ pacedhttp.Waiter } a
// pacer that bounds flights refuses everything, and [Settle] settles nothing. A type that
// embeds a *pacer.Pacer has its Acquire too, so what such a type adds to Wait it must add to
// Acquire.
type Acquirer interface {
	Acquire(ctx context.Context) (*pacer.Slot, error)
}

// Pace makes every request wait for w before it is sent. Put it below Retry: then
// each attempt takes a slot of its own, and the quota holds while retrying too.
//
// When a response says that the server is throttling and for how long, Pace tells
// a w that has PauseUntil, so that all callers of w hold back and not only the
// one that was told. The policy of the Retry layer above judges the response and knows the
// delay, [retrypolicy.Default] if there is none. A server that asks for more
// than a day is given a day. Where the response throttles and names no delay, a *pacer.Pacer
// pauses for one of its own. Either way the delay is the pacer's then: Retry waits nothing more,
// and the next attempt stands in the queue at once, unless its slot would come later than the
// policy's MaxRetryAfter, which ends the call. A w that is told only by PauseUntil leaves the wait to
// Retry too. Every Pace layer that the response passes does so: if
// one host's trouble must not stop the others, give the layer that they share a
// Waiter without PauseUntil.
//
// A *pacer.Pacer, or another [Acquirer], also hears what the server says is left of its
// quotas, as [quota.Read] reads it from every response: it lowers what the pacer allows, and
// never raises it. What comes from another host than the call's first, by a redirect, teaches
// and pauses nothing. GitHub's 304 to a request with Authorization gives its start back, since
// GitHub counts none.
//
// A w that is an [Acquirer] grants a slot, and is told what becomes of the request. Pace
// reports how it went when the headers are here, by the verdict of the same policy: what is
// accepted worked, Transient, Unprocessed and an attempt's timeout failed; nothing is
// reported of a cancellation and of other errors that are nobody's failure. The slot is Done
// when the body has been read to its end or closed, when reading it fails, when the
// connection of a 101 response is closed, and after an error; so close bodies. A caller who
// gives up ends its flight at once, and a server that works on counts it until it notices. What
// a layer below refuses without sending it, another Pace or a Prepare, cancels the slot; a
// pacer that gave none, since it limits neither flights nor costs, counts the start. What
// was Unprocessed is settled to cost nothing but the start. [Cost] says what a request will
// cost, and [Settle] what it did.
//
// An attempt that is not the first of its call keeps the call's place in the queue of a
// *pacer.Pacer, as by [pacer.WithArrival], and is not refused for MaxWaiting. A layer
// between Retry and Pace that sends a request of its own with the context of the call's, to
// fetch a token, takes a slot for that too, at the call's cost: give it
// pacer.WithCost(ctx, unit, 0). Below Pace it would wait for a slot while it holds one.
//
// The wait counts towards the caller's deadline but never towards an attempt's
// timeout or duration, in a chain put together by [New]. If w refuses, nothing is sent and the error is a
// [*PaceError]. A nil w paces nothing, nor does one that is a nil pointer.
func Pace(w Waiter) Middleware {
	if waiter.IsNil(w) {
		return func(next http.RoundTripper) http.RoundTripper { return next }
	}
	t := paceTransport{fixed: w}
	return t.middleware
}

// PaceBy is [Pace] with a Waiter picked for each request, by host or by token, say.
// Where pick returns nil, or a Waiter that is a nil pointer such as a nil *pacer.Pacer,
// the request is not paced. pick must not modify the request
// and must be safe for concurrent use. A nil pick paces nothing.
//
// Whoever waits in one Waiter's queue stays there, though another has become free; only the
// next attempt is picked for anew. To pick among tokens, have a layer between Retry and PaceBy
// set one in a clone of the request, and let pick read it there.
func PaceBy(pick func(*http.Request) Waiter) Middleware {
	if pick == nil {
		return func(next http.RoundTripper) http.RoundTripper { return next }
	}
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

type paceTransport struct {
	layer
	fixed Waiter                     // nil for PaceBy
	pick  func(*http.Request) Waiter // nil for Pace
	inner []*paceTransport           // below it in the chain
}

func (t paceTransport) middleware(next http.RoundTripper) http.RoundTripper {
	t.layer = layer{strict(next)}
	below := layersOf(next)
	t.inner = pacesBelow(below)
	for _, l := range below {
		if retry, ok := l.(*retryTransport); ok {
			retry.paced.Store(true)
		}
	}
	return &t
}

// waiterOf returns the Waiter of a request, nil where there is none.
func (t *paceTransport) waiterOf(req *http.Request) Waiter {
	if t.fixed != nil {
		return t.fixed
	}
	if w := t.pick(req); !waiter.IsNil(w) {
		return w
	}
	return nil
}

func (t *paceTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	held := holding{req: req}
	defer held.close()
	a := attemptFrom(req.Context())
	if a != nil && !a.waitsFor(t) {
		a = nil
	}
	w := t.waiterOf(req)
	if w != nil {
		if err := t.acquire(req, w, a, &held); err != nil {
			return nil, err
		}
	}
	slot := held.slot
	if slot != nil {
		req = req.WithContext(slot)
	}
	if a != nil && a.startsWith(t) {
		a.start(req)
	}
	held.req = nil
	resp, err := t.next.RoundTrip(req)
	held.resp = resp
	switch {
	case slot != nil:
		slot.heard(req, resp, err, a)
	case w != nil:
		tell(w, &held.start, req, resp, err, a)
	}
	if a != nil && w != nil && (err != nil || !a.policy.Accepts(resp.StatusCode)) {
		a.keepPlace(&held)
	}
	held.resp, held.slot = nil, nil
	return resp, err
}

// tell hands on what became of a request to a Waiter that gave no slot, if it listens.
func tell(w Waiter, start *pacer.Admission, req *http.Request, resp *http.Response, err error, a *attempt) {
	switch p := w.(type) {
	case *pacer.Pacer:
		if resp != nil && isFree(resp) {
			start.Free() // there is no slot that could be settled
		}
		var o pacer.Outcome
		if known(&o, req, resp, err, judge(req, resp, err, a), a) {
			o.Quotas = quotasOf(resp)
			paused(start.Report(o), req, resp, err)
			a.pacedBy(&o)
		}
	case interface{ PauseUntil(time.Time) }:
		var o pacer.Outcome
		if known(&o, req, resp, err, judge(req, resp, err, a), a) && o.Delay > 0 {
			p.PauseUntil(time.Now().Add(o.Delay))
		}
	}
}

// pacesOf returns the Pace layers among layers, those below a Retry layer, that belong to its
// attempts: down to the next Retry layer.
func pacesOf(layers []ours) []*paceTransport {
	if next := slices.IndexFunc(layers, isRetry); next >= 0 {
		layers = layers[:next]
	}
	return pacesBelow(layers)
}

// pacesBelow returns the Pace layers among layers.
func pacesBelow(layers []ours) []*paceTransport {
	var paces []*paceTransport
	for _, l := range layers {
		if pace, ok := l.(*paceTransport); ok {
			paces = append(paces, pace)
		}
	}
	return paces
}

// sameAs reports whether t and other always have the same Waiter.
func (t *paceTransport) sameAs(other *paceTransport) bool {
	return t.fixed != nil && reflect.TypeOf(t.fixed).Kind() == reflect.Pointer && t.fixed == other.fixed
}

// inLineWith reports whether the one's Waiter always is a pacer above the other's.
func (t *paceTransport) inLineWith(other *paceTransport) bool {
	a, _ := t.fixed.(*pacer.Pacer)
	b, _ := other.fixed.(*pacer.Pacer)
	return a != nil && b != nil && (isAbove(a, b) || isAbove(b, a))
}

func isAbove(p, child *pacer.Pacer) bool {
	for child = child.Parent(); child != nil; child = child.Parent() {
		if child == p {
			return true
		}
	}
	return false
}

// unitsOf returns the units that the pacers of layers limit costs in, they themselves or those
// above them. It reports false where there are none, or a Waiter of another make may.
func unitsOf(layers []*paceTransport) (units []string, known bool) {
	for _, l := range layers {
		p, ok := l.fixed.(interface {
			Stats() pacer.Stats
			Parent() *pacer.Pacer
		})
		if !ok {
			return nil, false
		}
		for stats, above := p.Stats(), p.Parent(); ; stats, above = above.Stats(), above.Parent() {
			for _, limit := range stats.Limits {
				if unit := limit.Limit.Unit; unit != "" && !slices.Contains(units, unit) {
					units = append(units, unit)
				}
			}
			if above == nil {
				break
			}
		}
	}
	return units, len(layers) > 0
}

// judge asks the policy of the Retry layer above, or the default where there is none. An
// attempt that timed out has failed with that, whatever the base calls it.
func judge(req *http.Request, resp *http.Response, err error, a *attempt) retrypolicy.Verdict {
	if a == nil || a.asked == nil { // or an earlier call's, which is over
		return retrypolicy.Default().Classify(retrypolicy.Attempt{Number: 1, Request: req, Response: resp, Err: err})
	}
	if timeout, ok := a.ownCause().(*attemptTimeoutError); ok && err != nil {
		err = timeout
	}
	return a.judge(resp, err)
}
