package pacedhttp

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// Cost says what each request will cost in a unit that a pacer below limits, as well as
// estimate knows before it is sent: the tokens of a prompt, the points of a query. Every
// attempt of the call costs that, and what it really did is for [Settle] to say. Put Cost
// above Retry, so that estimate is asked once a call; below Pace it would come too late.
//
// A cost in the request's context, by [pacer.WithCost], goes before estimate, which is not
// asked then. A negative estimate is none: the call costs 1, as one without Cost does. Costs
// in several units are several Cost layers.
//
// estimate must not modify the request nor read its Body, but may read what its GetBody
// returns. It must be safe for concurrent use. A nil estimate does nothing,
// nor does Cost in the unit "": every request is one start.
func Cost(unit string, estimate func(*http.Request) int) Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		if estimate == nil || unit == "" {
			return next
		}
		return &costTransport{layer{strict(next)}, unit, estimate}
	}
}

type costTransport struct {
	layer
	unit     string
	estimate func(*http.Request) int
}

func (t *costTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := withoutEarlier(req.Context())
	if _, said := pacer.CostFromContext(ctx, t.unit); said {
		return t.next.RoundTrip(req)
	}
	c := &costContext{ctx, t.cost(ctx, req), atomic.Bool{}}
	defer c.over.Store(true)
	return t.next.RoundTrip(req.WithContext(c))
}

// cost returns ctx with what req will cost.
func (t *costTransport) cost(ctx context.Context, req *http.Request) context.Context {
	held := holding{req: req}
	defer held.close()
	cost := t.estimate(req)
	held.req = nil
	return pacer.WithCost(ctx, t.unit, cost)
}

// A costContext is the context below a Cost layer. What is made of a delivered response's
// context has a cost of its own.
type costContext struct {
	context.Context
	cost context.Context // the same, with the cost
	over atomic.Bool
}

// Value implements context.Context.
func (c *costContext) Value(key any) any {
	if !c.over.Load() {
		return c.cost.Value(key)
	}
	return c.Context.Value(key)
}

// AfterFunc is what package context registers children by.
func (c *costContext) AfterFunc(f func()) (stop func() bool) { return afterFunc(c.Context, f) }

func (c *costContext) parentIfOver() (parent context.Context, over bool) {
	return c.Context, c.over.Load()
}

// Settle tells the pacers that resp's request took a slot of what it really cost in a unit,
// as [pacer.Slot.Settle] does: the usage that the answer tells, say, which is mostly known
// only when its body has been read. It may be called at any time, before and after the body
// is closed, and again. "" counts as how many starts the request counts: 0 for an answer that
// the API does not charge for.
//
// It returns false where nothing was settled: resp is nil, or no Pace layer took a slot for it,
// since its pacer limits neither costs nor flights, say, or it comes too late, or there is no
// such unit.
// A pacer above a chain that a RoundTripper of another make hides from [New] hears nothing.
func Settle(resp *http.Response, unit string, cost int) bool {
	if resp == nil || resp.Request == nil {
		return false
	}
	settled := false
	for s := slotFrom(resp.Request.Context()); s != nil; s = s.outer {
		settled = s.slot.Settle(unit, cost) || settled
	}
	return settled
}
