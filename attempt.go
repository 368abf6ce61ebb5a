package pacedhttp

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/handshake"
	"github.com/pacedhttp/pacedhttp/internal/replay"
	"github.com/pacedhttp/pacedhttp/pacer"
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

// An attempt is one pass through the layers below Retry, the request that makes it and that
// request's context: one allocation serves them all. It belongs to the goroutine of RoundTrip;
// from others only its context is asked and ended.
//
// Its context has an end of its own besides the call's: its timeout, or that its response
// was thrown away.
type attempt struct {
	separable // from the call's context, or one that watches the connection's set-up

	info     AttemptInfo
	policy   *retrypolicy.Policy
	observed *observed // nil where nobody observes
	retry    *retryTransport
	refused  *retrypolicy.Reason // why a Pace layer gave it no slot; nil once it has started
	judged   *judgement          // nil where all that was judged is accepted

	// What a policy is told besides; the first two are nil when the attempt is over.
	asked *http.Request // the caller's
	body  *replay.Body
	setUp *handshake.Watch
	times *times // nil where nobody asks and nothing has failed

	timer   *time.Timer // of its timeout; nil where that does not run
	started bool        // by the last of its Pace layers, if it has any

	out http.Request // what the layers below get; its context is the attempt
}

// times are those of a call, on uptime's clock.
type times struct {
	began   time.Duration // zero where nobody asks
	arrived time.Duration // when it first stood in a pacer's queue; zero where it did not
	asks    time.Duration // when the attempt asks for a slot of a pacer that has taken over its delay; else zero
}

// note returns the times to be written.
func (a *attempt) note() *times {
	if a.times == nil {
		a.times = new(times)
	}
	return a.times
}

// observed is what observers are told of an attempt's send.
type observed struct {
	*observer
	req   *http.Request // as it was sent; nil before
	sent  time.Duration // when, on uptime's clock
	heard time.Duration // when the headers came that a Classifier was asked about; zero before
}

var loaded = time.Now()

// uptime is a clock for differences: it costs half of what time.Now does.
func uptime() time.Duration { return time.Since(loaded) }

type attemptKey struct{}

func attemptFrom(ctx context.Context) *attempt {
	if a, direct := ctx.(*attempt); direct {
		return a
	}
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
	a.started, a.refused = true, nil
	if timeout := a.policy.AttemptTimeout(); timeout > 0 {
		if a.timer == nil {
			a.timer = time.AfterFunc(timeout, a.expire)
		} else {
			a.timer.Reset(timeout)
		}
	}
	if o := a.observed; o != nil {
		first := o.req == nil
		o.req, o.sent, o.heard = req, uptime(), 0
		if first {
			o.attemptStarted(a, AttemptStart{a.info, req})
		}
	}
}

// waitsFor reports whether a slot that t gets with the attempt's context is its own. Another
// chain that was given the context, to fetch a token, say, has its own waits.
func (a *attempt) waitsFor(t *paceTransport) bool { return slices.Contains(a.retry.paces, t) }

// startsWith reports whether t is the last layer that the attempt waits in.
func (a *attempt) startsWith(t *paceTransport) bool { return a.retry.paces[len(a.retry.paces)-1] == t }

// keepPlace notes when the attempt, which failed, stood in a pacer's queue: there those that follow
// have their place.
func (a *attempt) keepPlace(held *holding) {
	at, came := held.began, held.start.Came()
	if held.slot != nil {
		came = held.slot.slot.Came()
	}
	if !came.IsZero() { // by that a pacer knows the call
		at = came.Sub(loaded)
	}
	if t := a.note(); t.arrived == 0 || at != 0 && at < t.arrived { // there may be several Pace layers
		t.arrived = at
	}
}

// hold stops the attempt's timeout, while it waits for a slot or for good. If its time has
// come the attempt is over, even if the timer has not got round to it.
func (a *attempt) hold() {
	if a.timer != nil {
		a.stop()
	}
}

func (a *attempt) stop() {
	if !a.timer.Stop() {
		a.expire()
	}
	a.timer = nil
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
		if resp.Request != &a.out && attemptOf(resp) == nil { // the base named a request of its own
			var ctx context.Context = a
			if slot := slotFrom(resp.Request.Context()); slot != nil {
				ctx = slot.remembered(a)
			}
			resp.Request = resp.Request.WithContext(ctx)
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

// result is the attempt as a policy sees it.
func (a *attempt) result(resp *http.Response, err error) retrypolicy.Attempt {
	result := retrypolicy.Attempt{
		Number:     a.info.Number,
		Request:    a.asked,
		Response:   resp,
		Err:        a.setUp.Explain(err),
		Previous:   a.info.Previous,
		Replayable: a.body.Replayable(),
		Paced:      a.judged != nil && a.judged.paced,
	}
	if a.policy.Timed() {
		result.Elapsed = uptime() - a.times.began
	}
	return result
}

// A judgement is a verdict and what it is on.
type judgement struct {
	resp    *http.Response
	err     error
	status  int
	verdict retrypolicy.Verdict
	paced   bool // a pacer was told of the throttling
}

// judge asks the policy about what a layer below Retry, or Retry itself, was handed up. Each
// result is judged once.
func (a *attempt) judge(resp *http.Response, err error) retrypolicy.Verdict {
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	if err == nil && a.policy.Accepts(status) {
		a.judged = nil
		return retrypolicy.Accept
	}
	if j := a.judged; j == nil || j.resp != resp || j.status != status || !same(j.err, err) {
		if resp != nil {
			a.hold() // its headers are here: a Peek at the body is not cut, nor counted
			if a.observed != nil {
				a.observed.heard = uptime()
			}
		}
		v := a.policy.Classify(a.result(resp, err))
		a.judged = &judgement{resp, err, status, v, false}
	}
	return a.judged.verdict
}

// pacedBy notes that a pacer was told of what was judged last.
func (a *attempt) pacedBy(o *pacer.Outcome) {
	if a != nil && a.asked != nil && o.Throttled {
		a.judged.paced = true
	}
}

// verdict returns the last.
func (a *attempt) verdict() retrypolicy.Verdict {
	if a.judged == nil {
		return retrypolicy.Accept
	}
	return a.judged.verdict
}

// same reports whether two errors are one, if they can be compared.
func same(e, f error) bool {
	if e == nil || f == nil {
		return e == nil && f == nil
	}
	return reflect.TypeOf(e).Comparable() && reflect.TypeOf(f).Comparable() && e == f
}

// done records how the attempt ended.
func (a *attempt) done(resp *http.Response, err error, v retrypolicy.Verdict) {
	if o := a.observed; o != nil && o.req != nil {
		if o.heard == 0 || err != nil {
			o.heard = uptime()
		}
		o.attemptDone(a, AttemptResult{a.info, o.req, resp, err, v, o.heard - o.sent})
	}
	a.asked, a.body = nil, nil
	if resp == nil {
		a.separateAfter(nil)
	}
}

// parentIfOver leaves out what watched the attempt's connection.
func (a *attempt) parentIfOver() (parent context.Context, over bool) {
	_, over = a.separable.parentIfOver()
	return a.setUp.Outer(a.Context), over
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
