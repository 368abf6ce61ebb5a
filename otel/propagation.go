package otelpacedhttp

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/propagation"
)

// A propagator writes trace contexts into requests.
type propagator struct {
	to propagation.TextMapPropagator

	// fields are the headers it may write. It is asked at the first write and not before,
	// for the global propagator knows them only when the program has installed one.
	fields func() []string
}

func newPropagator(p propagation.TextMapPropagator) propagator {
	return propagator{to: p, fields: sync.OnceValue(func() []string {
		fields := slices.Clone(p.Fields())
		for i, f := range fields {
			fields[i] = http.CanonicalHeaderKey(f)
		}
		return fields
	})}
}

// inject writes ctx into the headers of req, a shallow copy of a request whose header map
// is not touched.
func (p *propagator) inject(ctx context.Context, req *http.Request, c *carrier) {
	c.req, c.fields = req, p.fields
	p.to.Inject(ctx, c)
}

// A carrier copies a request's headers before the first write and takes out of the copy
// whatever an earlier attempt may have left: not every propagator overwrites all that it
// may write. Where nothing is written, nothing is copied and nothing taken out: then no
// attempt has written anything either, and what is there is the program's own, such as a
// proxy's that passes headers on.
type carrier struct {
	req    *http.Request
	fields func() []string
	copied bool
}

var _ propagation.TextMapCarrier = (*carrier)(nil)

func (c *carrier) Get(key string) string { return c.req.Header.Get(key) }

func (c *carrier) Keys() []string { return slices.Collect(maps.Keys(c.req.Header)) }

func (c *carrier) Set(key, value string) {
	if !c.copied {
		c.copied = true
		c.copyHeader()
	}
	c.req.Header[c.canonical(key)] = []string{value}
}

func (c *carrier) copyHeader() {
	h := c.req.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	for name := range h {
		if slices.ContainsFunc(c.fields(), func(f string) bool { return strings.EqualFold(f, name) }) {
			delete(h, name) // HTTP/1 sends a name that is not canonical as it is
		}
	}
	c.req.Header = h
}

// canonical is http.CanonicalHeaderKey without its allocation, for the fields.
func (c *carrier) canonical(key string) string {
	for _, f := range c.fields() {
		if strings.EqualFold(f, key) {
			return f
		}
	}
	return http.CanonicalHeaderKey(key)
}
