package otelpacedhttp

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/propagation"
)

// A propagator writes trace contexts into requests.
type propagator struct {
	to propagation.TextMapPropagator

	// fields are the headers it may write, and their canonical form. It is asked at the
	// first write and not before, for the global propagator knows them only when the
	// program has installed one.
	fields func() map[string]string
}

func newPropagator(p propagation.TextMapPropagator) propagator {
	return propagator{to: p, fields: sync.OnceValue(func() map[string]string {
		fields := make(map[string]string)
		for _, f := range p.Fields() {
			fields[f] = http.CanonicalHeaderKey(f)
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
// may write. Where nothing is written, nothing is copied.
type carrier struct {
	req    *http.Request
	fields func() map[string]string
	copied bool
}

var _ propagation.TextMapCarrier = (*carrier)(nil)

func (c *carrier) Get(key string) string { return c.req.Header.Get(key) }

func (c *carrier) Keys() []string { return slices.Collect(maps.Keys(c.req.Header)) }

func (c *carrier) Set(key, value string) {
	fields := c.fields()
	if !c.copied {
		c.copied = true
		h := c.req.Header.Clone()
		if h == nil {
			h = make(http.Header)
		}
		for _, name := range fields {
			delete(h, name)
		}
		c.req.Header = h
	}
	name, ok := fields[key]
	if !ok {
		name = http.CanonicalHeaderKey(key)
	}
	c.req.Header[name] = []string{value}
}
