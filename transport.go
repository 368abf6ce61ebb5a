package pacedhttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pacedhttp/pacedhttp/internal/base"
)

// A Middleware wraps a RoundTripper in another. It is an alias, so that it fits
// the function types of other packages, such as client-go's WrapperFunc.
type Middleware = func(http.RoundTripper) http.RoundTripper

// A Transport is a chain of middlewares around a base RoundTripper. Make one with
// [New] or [WrapClient]. It is safe for concurrent use.
type Transport struct {
	chain  http.RoundTripper // the outermost layer
	layers []ours            // the layers of this package, the outermost first
	base   http.RoundTripper
}

var _ http.RoundTripper = (*Transport)(nil)

// New returns rt, the base, wrapped in the middlewares, the first listed outermost: a
// request passes them in the order they are written. Nil middlewares are skipped.
// A nil rt means a new pooled transport, which shares no state with
// http.DefaultTransport and keeps as many idle connections to one host as in all.
//
// New knows its layers, whatever middleware of another make stands between two of them:
// which Pace waits for the attempts of which Retry, and what [Transport.Check] finds.
func New(rt http.RoundTripper, mw ...Middleware) *Transport {
	if rt == nil {
		rt = base.New()
	}
	t := &Transport{chain: rt, base: rt, layers: layersOf(rt)}
	known := len(t.layers)
	for i := len(mw) - 1; i >= 0; i-- {
		if mw[i] != nil {
			t.chain = mw[i](t.chain)
			t.layers = join(layersOf(t.chain), t.layers)
		}
	}
	t.chain = strict(t.chain)
	for i, l := range t.layers[:len(t.layers)-known] {
		switch l := l.(type) {
		case *retryTransport:
			l.paces = pacesOf(t.layers[i+1:])
		case *fallbackTransport:
			l.retries = hasRetry(t.layers[i+1:])
		case *observeTransport:
			l.chain = t
		case *paceTransport:
			l.inner = pacesBelow(t.layers[i+1:])
		}
	}
	return t
}

// RoundTrip sends req through the chain. It implements [http.RoundTripper] to the
// letter: req is not modified, its body is always closed, and the result is a
// response or an error, never both.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.chain.RoundTrip(req)
}

// Client returns a new client on t.
func (t *Transport) Client() *http.Client { return &http.Client{Transport: t} }

// CloseIdleConnections closes the idle connections of the base transport, whatever
// layers are around it. http.Client.CloseIdleConnections calls it. Nothing in this
// package calls it by itself.
func (t *Transport) CloseIdleConnections() { closeIdle(t.base) }

// WrapClient returns a copy of c whose transport is wrapped in the middlewares, the
// first listed outermost; c is not touched. Timeout, Jar and CheckRedirect stay: a
// Timeout bounds the whole call, waits and retries included. A nil c means
// http.DefaultClient, and like there a nil transport means http.DefaultTransport.
func WrapClient(c *http.Client, mw ...Middleware) *http.Client {
	if c == nil {
		c = http.DefaultClient
	}
	rt := c.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	wrapped := *c
	wrapped.Transport = New(rt, mw...)
	return &wrapped
}

// Check returns what in the order of the layers cannot be meant, or nil. It is for tests;
// a [Log] layer writes the same once, at level Warn. Each of these is an error:
//
//   - Pace above Retry: retries take no slot;
//   - Fallback below Retry: a failure that it replaces is hidden from Retry;
//   - two Retry layers: their attempts multiply;
//   - two Pace layers with the same Waiter, or with a *pacer.Pacer and one that is its Parent, or
//     that one's: every attempt takes two slots;
//   - Cost below Pace: the slot is taken before the cost is known;
//   - Cost in a unit that no pacer below limits, nor a Parent of one: it is asked for nothing;
//   - Observe or Log below Retry, with a hook that only Retry calls.
//
// Of PaceBy it cannot know the Waiters, and of layers that were not put together by New
// or WrapClient only those that no middleware of another make hides.
func (t *Transport) Check() error {
	var faults []error
	find := func(fault string) { faults = append(faults, errors.New("pacedhttp: "+fault)) }
	retries := 0 // layers so far
	var above []*paceTransport
	for i, l := range t.layers {
		switch l := l.(type) {
		case *retryTransport:
			if retries++; retries == 2 {
				find("two Retry layers: their attempts multiply")
			}
			if len(above) > 0 && retries == 1 {
				find("Pace is above Retry: retries take no slot; list Retry first")
			}
		case *fallbackTransport:
			if retries > 0 {
				find("Fallback is below Retry, which does not see the failures that it replaces; list Fallback first")
			}
		case *observeTransport:
			if h := l.hooks; retries > 0 && (h.AttemptStarted != nil || h.AttemptDone != nil || h.RetryScheduled != nil || h.GaveUp != nil || h.CallDone != nil) {
				find("Observe or Log is below Retry, which will not call its hooks; list it first")
			}
		case *costTransport:
			if len(above) > 0 {
				find("Cost is below Pace, which takes the slot before the cost is known; list Cost first")
			}
			if units, known := unitsOf(pacesBelow(t.layers[i+1:])); known && !slices.Contains(units, l.unit) {
				find(fmt.Sprintf("Cost is in %q, which no pacer below limits; they limit %q", l.unit, units))
			}
		case *paceTransport:
			if slices.ContainsFunc(above, l.sameAs) {
				find("two Pace layers have the same Waiter: every attempt takes two slots")
			}
			if slices.ContainsFunc(above, l.inLineWith) {
				find("two Pace layers have a pacer and its Parent: a start in the one takes a slot of the other already; list the child alone")
			}
			above = append(above, l)
		}
	}
	return errors.Join(faults...)
}

func (t *Transport) below() http.RoundTripper { return t.chain }

// layersOf returns the layers of this package that rt consists of, the outermost first,
// down to the first that hides what is below it. A type of another make that embeds one of
// ours does.
func layersOf(rt http.RoundTripper) []ours {
	var layers []ours
	for l := oursOf(rt); l != nil; l = oursOf(l.below()) {
		if chain, ok := l.(*Transport); ok {
			return append(layers, chain.layers...)
		}
		layers = append(layers, l)
	}
	return layers
}

// join prepends to lower those layers of upper that are above the first of lower.
func join(upper, lower []ours) []ours {
	if len(lower) > 0 {
		if i := slices.Index(upper, lower[0]); i >= 0 {
			upper = upper[:i]
		}
	}
	return append(upper, lower...)
}
