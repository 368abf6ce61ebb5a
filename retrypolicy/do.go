package retrypolicy

import "context"

// Do calls fn until it succeeds or p gives up: [Call].Do with nothing but a Policy. A nil p
// means [Default].
func Do[T any](ctx context.Context, p *Policy, fn func(context.Context) (T, error)) (T, error) {
	return Call[T]{Policy: p}.Do(ctx, fn)
}
