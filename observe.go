package pacedhttp

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Hooks tell what the layers do, as they do it. Every function is optional. They
// are called synchronously, so they should be quick, and concurrently for
// concurrent requests. Responses may be looked at but not read; requests not
// changed.
//
// The context is the request's: [AttemptFromContext] works in the Slot and Attempt
// hooks, and values the caller put there are seen in all.
type Hooks struct {
	// SlotRequested is called before a Pace layer waits for a slot. SlotAcquired or
	// SlotRefused follows.
	SlotRequested func(context.Context, SlotInfo)

	// SlotAcquired is called when the slot is there and the request about to be sent.
	SlotAcquired func(context.Context, SlotInfo)

	// SlotRefused is called when there is no slot and nothing will be sent.
	SlotRefused func(context.Context, SlotInfo)

	// SlotWaiting is called while a Pace layer waits for a slot: after 10 seconds, and every
	// minute from then on. It is called from a goroutine of its own, and the wait does not end
	// while it is; a panic ends the wait, and is the caller's.
	SlotWaiting func(context.Context, SlotInfo)

	// Paused is called by a Pace layer when what came of a request paused its pacer, or
	// lengthened the pause, as [pacer.Slot.Report] tells. One whose Waiter has but PauseUntil
	// does not tell.
	Paused func(context.Context, PauseInfo)

	// AttemptStarted is called by a Retry layer when a request is about to be sent:
	// after its slot, if there is a Pace layer below. AttemptDone follows.
	AttemptStarted func(context.Context, AttemptStart)

	// AttemptDone is called when an attempt brought response headers or an error.
	AttemptDone func(context.Context, AttemptResult)

	// RetryScheduled is called when an attempt failed and there will be another, before
	// the delay.
	RetryScheduled func(context.Context, RetryInfo)

	// GaveUp is called when a call ends in a failure: an error, or a response that
	// the policy does not accept.
	GaveUp func(context.Context, CallInfo)

	// CallDone is called by a Retry layer when a call ends, however it does but by a panic, after
	// GaveUp.
	CallDone func(context.Context, CallInfo)

	// FallbackUsed is called when a fallback has answered, or failed to.
	FallbackUsed func(context.Context, FallbackInfo)
}

// SlotInfo is what the Slot hooks are told. Costs, InFlight and Fallback are told by SlotAcquired,
// of a *pacer.Pacer or another [Acquirer]; InFlight, State, Cause and Predicted by SlotWaiting, of
// what has Stats as a *pacer.Pacer does. They are zero elsewhere. A request that waits where State
// is flowing and nothing is Predicted waits for one of those in flight.
type SlotInfo struct {
	Request  *http.Request
	Waited   time.Duration  // zero in SlotRequested
	Costs    map[string]int // by unit, as known before the answer; nil where none are counted
	InFlight int            // requests, with SlotAcquired this one included; zero where they are not bounded
	Err      error          // why there was no slot; nil but in SlotRefused
	Fallback error          // why a shared pacer's fallback let it start, as pacer.Slot.Fallback tells; nil where none did

	State     pacer.State
	Cause     string        // of State; "" where the limits alone make the request wait
	Predicted time.Duration // how long one would wait who came now; zero where that is not known
}

// PauseInfo is what Paused is told.
type PauseInfo struct {
	Request  *http.Request
	Response *http.Response // nil with Err
	Err      error
	Until    time.Time // the end of the pause
}

// AttemptStart is what AttemptStarted is told.
type AttemptStart struct {
	AttemptInfo
	Request *http.Request
}

// AttemptResult is what AttemptDone is told.
type AttemptResult struct {
	AttemptInfo
	Request  *http.Request
	Response *http.Response // nil with Err
	Err      error
	Verdict  retrypolicy.Verdict
	Duration time.Duration // from the send to the headers or the error; never the wait for the slot
}

// RetryInfo is what RetryScheduled is told.
type RetryInfo struct {
	AttemptInfo                // the attempt that failed
	Request     *http.Request  // the caller's
	Response    *http.Response // nil with Err
	Err         error
	Verdict     retrypolicy.Verdict
	Delay       time.Duration // until the next attempt asks for its slot
}

// CallInfo is what GaveUp and CallDone are told.
type CallInfo struct {
	Request  *http.Request  // the caller's
	Response *http.Response // what the caller gets; nil with Err
	Err      error          // what the caller gets; nil with Response
	Attempts int            // zero where the first got no slot
	Reason   retrypolicy.Reason
	Elapsed  time.Duration // since the call began
}

// GaveUpInfo is CallInfo.
//
// Deprecated: use CallInfo.
type GaveUpInfo = CallInfo

// FallbackInfo is what FallbackUsed is told.
type FallbackInfo struct {
	Request  *http.Request
	Response *http.Response // the fallback's; nil with Err
	Err      error          // the fallback's
}

// Observe calls h for what the layers below it in the chain do, so it belongs
// outside of them. Several Observe layers are all called, the innermost first.
func Observe(h Hooks) Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		return &observeTransport{layer: layer{strict(next)}, hooks: h}
	}
}

type observeTransport struct {
	layer
	hooks Hooks

	// Only for Log:
	chain *Transport // that the layer is part of
	warn  func(error)
	once  sync.Once
}

func (t *observeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.warn != nil {
		t.once.Do(t.check)
	}
	ctx := withoutEarlier(req.Context())
	o := &observer{Context: ctx, hooks: &t.hooks, outer: observerFrom(ctx)}
	defer o.over.Store(true)
	return t.next.RoundTrip(req.WithContext(o))
}

// check warns of what is wrong with the chain.
func (t *observeTransport) check() {
	if t.chain == nil {
		return
	}
	if faults, ok := t.chain.Check().(interface{ Unwrap() []error }); ok {
		for _, fault := range faults.Unwrap() {
			t.warn(fault)
		}
	}
}

// An observer is the context below an Observe layer. A nil observer observes
// nothing.
type observer struct {
	context.Context
	hooks *Hooks
	outer *observer
	over  atomic.Bool // so that a request made from a delivered response's context begins unobserved
}

type observerKey struct{}

func (o *observer) Value(key any) any {
	if _, ok := key.(observerKey); ok && !o.over.Load() {
		return o
	}
	return o.Context.Value(key)
}

// AfterFunc is what package context registers children by.
func (o *observer) AfterFunc(f func()) (stop func() bool) { return afterFunc(o.Context, f) }

func (o *observer) parentIfOver() (parent context.Context, over bool) {
	return o.Context, o.over.Load()
}

func observerFrom(ctx context.Context) *observer {
	if a, direct := ctx.(*attempt); direct && a.asked != nil && a.observed == nil {
		return nil // which that looked up
	}
	o, _ := ctx.Value(observerKey{}).(*observer)
	return o
}

func (o *observer) slotRequested(ctx context.Context, i SlotInfo) {
	each(o, func(h *Hooks) func(context.Context, SlotInfo) { return h.SlotRequested }, ctx, i)
}

func (o *observer) slotAcquired(ctx context.Context, i SlotInfo) {
	each(o, func(h *Hooks) func(context.Context, SlotInfo) { return h.SlotAcquired }, ctx, i)
}

func (o *observer) slotRefused(ctx context.Context, i SlotInfo) {
	each(o, func(h *Hooks) func(context.Context, SlotInfo) { return h.SlotRefused }, ctx, i)
}

func (o *observer) attemptStarted(ctx context.Context, i AttemptStart) {
	each(o, func(h *Hooks) func(context.Context, AttemptStart) { return h.AttemptStarted }, ctx, i)
}

func (o *observer) attemptDone(ctx context.Context, i AttemptResult) {
	each(o, func(h *Hooks) func(context.Context, AttemptResult) { return h.AttemptDone }, ctx, i)
}

func (o *observer) retryScheduled(ctx context.Context, i RetryInfo) {
	each(o, func(h *Hooks) func(context.Context, RetryInfo) { return h.RetryScheduled }, ctx, i)
}

func (o *observer) slotWaiting(ctx context.Context, i SlotInfo) {
	each(o, func(h *Hooks) func(context.Context, SlotInfo) { return h.SlotWaiting }, ctx, i)
}

func (o *observer) paused(ctx context.Context, i PauseInfo) {
	each(o, func(h *Hooks) func(context.Context, PauseInfo) { return h.Paused }, ctx, i)
}

func (o *observer) gaveUp(ctx context.Context, i CallInfo) {
	each(o, func(h *Hooks) func(context.Context, CallInfo) { return h.GaveUp }, ctx, i)
}

func (o *observer) callDone(ctx context.Context, i CallInfo) {
	each(o, func(h *Hooks) func(context.Context, CallInfo) { return h.CallDone }, ctx, i)
}

func (o *observer) fallbackUsed(ctx context.Context, i FallbackInfo) {
	each(o, func(h *Hooks) func(context.Context, FallbackInfo) { return h.FallbackUsed }, ctx, i)
}

// each calls one hook of every observer that has it.
func each[T any](o *observer, hook func(*Hooks) func(context.Context, T), ctx context.Context, info T) {
	for ; o != nil; o = o.outer {
		if f := hook(o.hooks); f != nil {
			f(ctx, info)
		}
	}
}
