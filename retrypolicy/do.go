package retrypolicy

import (
	"context"
	"time"
)

// Do calls fn until it succeeds or p gives up, and returns what fn returned last.
// The error is nil, or an [*Error] that holds fn's last error. A nil p means
// [Default]; [WithPolicy] and [WithoutRetry] in ctx go before p.
//
// Only fn's error is judged: nil is a success whatever the value is. The context
// given to fn is ctx, or one derived from it that ends when fn returns if the
// policy has an AttemptTimeout: a value that lives on, such as a response with an
// unread body, needs a policy without.
//
// When ctx is done before the first attempt, fn is not called; when it is done
// during a wait, fn is not called again. Either way the error matches the
// context's Err and Cause, and the last attempt's error if there was one. Do never
// sleeps towards a deadline that comes first: it returns at once. A panic in fn is
// the caller's.
func Do[T any](ctx context.Context, p *Policy, fn func(context.Context) (T, error)) (T, error) {
	if p == nil {
		p = Default()
	}
	p = p.For(ctx)
	if ctx.Err() != nil {
		var none T
		return none, NewError(ctx, 0, "", nil)
	}
	began := time.Now()
	var previous time.Duration
	for n := 1; ; n++ {
		value, err := attempt(ctx, p.AttemptTimeout(), fn)
		d := p.Next(ctx, Attempt{
			Number:     n,
			Err:        err,
			Elapsed:    time.Since(began),
			Previous:   previous,
			Replayable: true,
		})
		switch {
		case err == nil:
			return value, nil
		case !d.Retry:
			return value, NewError(ctx, n, d.Reason, err)
		case !d.Wait(ctx):
			return value, NewError(ctx, n, "", err)
		}
		previous = d.Delay
	}
}

func attempt[T any](ctx context.Context, timeout time.Duration, fn func(context.Context) (T, error)) (T, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return fn(ctx)
}
