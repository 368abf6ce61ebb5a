package retrypolicy

import "context"

// override is what WithPolicy and WithoutRetry put into a context. There is one
// key for both, so that the innermost of them wins.
type override struct {
	policy *Policy // nil: none
	off    bool
}

type overrideKey struct{}

// WithPolicy returns a context whose calls obey p instead of the policy of the
// transport or [Do] they are made through. It undoes a [WithoutRetry] further out.
// Nil means [Default].
func WithPolicy(ctx context.Context, p *Policy) context.Context {
	if p == nil {
		p = Default()
	}
	return context.WithValue(ctx, overrideKey{}, override{policy: p})
}

// WithoutRetry returns a context whose calls are sent once. What counts as a
// failure stays as the policy says, so a fallback or a pacer below behaves as
// ever; the [Reason] is [ReasonMaxAttempts].
func WithoutRetry(ctx context.Context) context.Context {
	o, _ := overrideFrom(ctx)
	o.off = true
	return context.WithValue(ctx, overrideKey{}, o)
}

func overrideFrom(ctx context.Context) (override, bool) {
	o, ok := ctx.Value(overrideKey{}).(override)
	return o, ok
}

func retryOff(ctx context.Context) bool {
	o, _ := overrideFrom(ctx)
	return o.off
}
