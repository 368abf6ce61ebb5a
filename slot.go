package pacedhttp

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/waiter"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A slotContext is the context of a request while it holds a slot, and tells the slot what
// becomes of the request.
type slotContext struct {
	context.Context
	slot  *pacer.Slot
	layer *paceTransport
	outer *slotContext // of a Pace layer above in the same chain; nil if there is none

	sent     atomic.Bool // the request has left this package's layers
	answered atomic.Bool
	over     atomic.Bool // all of the answer is here, or will never be
}

type slotKey struct{}

// slotFrom returns the innermost slot that a request with this context holds or held.
func slotFrom(ctx context.Context) *slotContext {
	s, _ := ctx.Value(slotKey{}).(*slotContext)
	return s
}

// newSlotContext returns the context of a request that t got slot for. A slot of ctx is the
// request's only if its layer is above t: another chain that was given a request's context, to
// fetch a token, say, has slots of its own, and so has the next page of what it brought.
func newSlotContext(ctx context.Context, slot *pacer.Slot, t *paceTransport) *slotContext {
	s := &slotContext{Context: withoutEarlier(ctx), slot: slot, layer: t}
	if outer := slotFrom(ctx); outer != nil && !outer.answered.Load() && slices.Contains(outer.layer.inner, t) {
		s.outer = outer
	}
	return s
}

// leaves notes that req is about to leave this package's layers.
func leaves(req *http.Request) {
	if a, direct := req.Context().(*attempt); direct && !a.retry.paced.Load() {
		return
	}
	for s := slotFrom(req.Context()); s != nil; s = s.outer {
		s.sent.Store(true)
	}
}

// heard tells the slot what the layers below brought to a, if it is an attempt's, and when it
// will be over: with the body of the response.
func (s *slotContext) heard(req *http.Request, resp *http.Response, err error, a *attempt) {
	s.answered.Store(true)
	v := judge(req, resp, err, a)
	var o pacer.Outcome
	if known(&o, req, resp, err, v, a) && s.sent.Load() {
		o.Quotas = quotasOf(resp)
		paused(s.slot.Report(o), req, resp, err)
		a.pacedBy(&o)
	}
	switch {
	case v == retrypolicy.Unprocessed:
		s.slot.Refund()
	case resp != nil && isFree(resp):
		s.slot.Settle("", 0)
	}
	if err != nil || bodiless(resp) {
		s.end()
		if err != nil {
			return
		}
	} else {
		resp.Body = whenRead(resp.Body, s.end)
	}
	if !s.isOf(resp.Request.Context()) { // the base named a request of its own
		resp.Request = resp.Request.WithContext(s)
	}
}

// isFree reports whether the server counts no request: so GitHub does with what has not been
// modified, if it knows who asks (GitHub docs, "Best practices for using the REST API").
func isFree(resp *http.Response) bool {
	return resp.StatusCode == http.StatusNotModified && resp.Header["X-Ratelimit-Resource"] != nil &&
		resp.Request.Header["Authorization"] != nil
}

// bodiless reports whether nothing follows the headers (RFC 9110 §6.4.1). Over HTTP/2 there
// is a Body nevertheless.
func bodiless(resp *http.Response) bool {
	switch {
	case resp.Body == http.NoBody, resp.Request.Method == http.MethodHead:
		return true
	case resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		return resp.ContentLength <= 0
	}
	return false
}

// isOf reports whether s is among the slots of a request with this context.
func (s *slotContext) isOf(ctx context.Context) bool {
	for held := slotFrom(ctx); held != nil; held = slotFrom(held.Context) {
		if held == s {
			return true
		}
	}
	return false
}

// quotasOf returns what a response, if there is one, says is left of quotas.
func quotasOf(resp *http.Response) []quota.State {
	if resp == nil || len(resp.Header) == 0 {
		return nil
	}
	return quota.Read(resp.Header, time.Time{})
}

// known makes o what a pacer hears of a result, besides what is left of quotas. Of an error that
// is nobody's failure, such as a cancellation, and of another host's answer it hears nothing.
func known(o *pacer.Outcome, req *http.Request, resp *http.Response, err error, v retrypolicy.Verdict, a *attempt) bool {
	switch {
	case resp != nil && leftHost(req):
		return false
	case v == retrypolicy.Accept:
		return err == nil
	case v == retrypolicy.Throttled:
		o.Delay, o.Throttled = delayOf(resp, a)
	}
	o.Failed = !o.Throttled
	return true
}

// paused tells observers of a pause that a report began or lengthened, if it did.
func paused(until time.Time, req *http.Request, resp *http.Response, err error) {
	if !until.IsZero() {
		observerFrom(req.Context()).paused(req.Context(), PauseInfo{req, resp, err, until})
	}
}

// remembered returns ctx with the slots of a request that was sent in another context.
func (s *slotContext) remembered(ctx context.Context) context.Context {
	memory := &slotContext{Context: ctx, slot: s.slot, layer: s.layer, outer: s.outer}
	memory.answered.Store(true)
	memory.over.Store(true)
	return memory
}

// end gives the slot back: all of it where nothing was sent.
func (s *slotContext) end() {
	s.over.Store(true)
	if s.sent.Load() {
		s.slot.Done()
	} else {
		s.slot.Cancel()
	}
}

// delayOf returns for how long the server wants not to be called, by the policy that judges
// the attempt's responses, at most a day; zero means that it did not say. It reports false of
// what is meant for one call alone.
func delayOf(resp *http.Response, a *attempt) (d time.Duration, ok bool) {
	policy := retrypolicy.Default()
	if a != nil && a.asked != nil {
		policy = a.policy
	}
	d, _ = policy.RetryAfter(resp, time.Now())
	return waiter.Pause(d)
}

// Value implements context.Context.
func (s *slotContext) Value(key any) any {
	if _, ok := key.(slotKey); ok {
		return s
	}
	return s.Context.Value(key)
}

// AfterFunc is what package context registers children by.
func (s *slotContext) AfterFunc(f func()) (stop func() bool) { return afterFunc(s.Context, f) }

// parentIfOver leaves out the slot of an exchange that is over.
func (s *slotContext) parentIfOver() (parent context.Context, over bool) {
	return s.Context, s.over.Load()
}
