package pacer

import (
	"context"
	"time"
)

// WithArrival returns a context whose callers get the place in the queue of one who came
// at t: before all that came later. So a retry keeps its call's place. Config.MaxWaiting does
// not refuse one who came before now. A t that is still to come is now.
//
// It is for the context of one call. It neither makes room for a start nor lengthens
// Config.MaxWait, which counts from when the caller really came.
func WithArrival(ctx context.Context, t time.Time) context.Context {
	return context.WithValue(ctx, arrivalKey{}, t)
}

// ArrivalFromContext returns the time that [WithArrival] said. It reports false where nothing
// was said.
func ArrivalFromContext(ctx context.Context) (t time.Time, ok bool) {
	t, ok = ctx.Value(arrivalKey{}).(time.Time)
	return t, ok
}

type arrivalKey struct{}

// The methods below need p.mu.

// arrival returns when the caller with ctx came, or what it said.
func (p *Pacer) arrival(ctx context.Context, now time.Duration) time.Duration {
	if t, ok := ArrivalFromContext(ctx); ok {
		return min(p.clock.Reading(t), max(now, p.root().came))
	}
	return p.comes(now)
}

// comes returns a moment for a caller who came now that no other has, so that it tells calls
// apart.
func (p *Pacer) comes(now time.Duration) time.Duration {
	root := p.root() // also apart from those of others in the tree
	root.came = max(now, add(root.came, 1))
	return root.came
}
