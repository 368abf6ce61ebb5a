package retrypolicy

import (
	"context"
	"errors"
	"time"
)

// A Call says how a function is called: how often, how fast, and what happens when that does
// not help. Every field may be left out; the zero Call retries by [Default]. A Call may be
// used any number of times, and concurrently if what is in its fields may.
type Call[T any] struct {
	// Policy decides about retries; [WithPolicy] and [WithoutRetry] in the context go before
	// it. Nil means [Default].
	Policy *Policy

	// Pacer gives each attempt its slot, retries included. The wait for it comes after the
	// Backoff's delay, counts towards the caller's deadline and, that of a retry, MaxElapsed,
	// and never towards the AttemptTimeout. A retry stands in the queue at the place of its call, which is that of
	// one who came when Do was called, so that Config.MaxWaiting of a pacer does not refuse it;
	// the caller's own [pacer.WithArrival] goes before. What the call costs says
	// [pacer.WithCost] in the context of Do.
	//
	// A Pacer that has Acquire, as *pacer.Pacer does, is asked for slots, and told of each as
	// soon as fn has returned how it went: Throttled, with the delay that the error names
	// (see the package comment), at most a day; Failed for any other failure that the policy
	// would retry; or that it worked. Of an error that is final it is told nothing, and once the
	// caller's context has ended of no failure but Throttled. Where the server acted on nothing, which is
	// [Unprocessed], the slot gives its costs back, but not its start. Then the slot is
	// Done, before OnRetry is called or anything waited for; so it is after a panic. Who
	// learns from an answer what it cost leaves Pacer nil and takes the slot in fn, by
	// [pacer.Pacer.Acquire], to settle it.
	//
	// A Pacer without Acquire, but with PauseUntil(time.Time), is told of delays by that.
	//
	// Where a slot was told of Throttled, with a delay or without, the delay is the Pacer's
	// ([Attempt].Paced): the next attempt stands in its queue at once. If the slot would come later
	// than MaxRetryAfter the call ends, with [ReasonRetryAfterTooLong].
	//
	// Its refusal ends the call and is not retried. Nil means not paced; so does a nil pointer,
	// such as a nil *pacer.Pacer.
	Pacer Waiter

	// OnRetry is called when a retry has been decided, before its delay, of which the time that
	// OnRetry takes is a part. err is the error of the attempt that failed; retries count
	// from 1. Nil means that nobody is told.
	OnRetry func(ctx context.Context, err error, retry int, delay time.Duration)

	// Fallback answers for a call that has failed for good, and what it returns is what Do
	// returns. err is the [*Error] that Do would have ended with. A caller who cancelled gets
	// that and no fallback; one whose deadline has passed gets the fallback, with a ctx that is
	// done. Nil means none.
	Fallback func(ctx context.Context, err error) (T, error)
}

var errNoFunction = errors.New("fn of Do is nil, must be a function")

// Do calls fn until it succeeds or the policy gives up, and returns what fn returned last.
// The error is nil, an [*Error] that holds fn's last error, or Fallback's own.
//
// Only fn's error is judged: nil is a success whatever the value is. The context
// given to fn is ctx, or one derived from it that ends when fn returns if the
// policy has an AttemptTimeout: a value that lives on, such as a response with an
// unread body, needs a policy without, and is not in flight any more for Pacer.
//
// When ctx is done before the first attempt, fn is not called; when it is done
// during a wait, fn is not called again. Either way the error matches the
// context's Err and Cause, and the last attempt's error if there was one. Do never
// sleeps towards a deadline that comes first: it returns at once. Where Pacer refuses, the
// error matches its reason and the last attempt's error; the Reason is [ReasonDeadline],
// [ReasonMaxElapsed] or [ReasonRetryAfterTooLong] where the slot would come too late, or else
// that of [Refused].
//
// A panic in fn, or in anything else of the program's, is the caller's: no slot stays in
// flight. A nil fn is an error, which no Fallback answers.
func (c Call[T]) Do(ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
	if fn == nil {
		var none T
		return none, &Error{Reason: ReasonNotRetryable, Err: Permanent(errNoFunction)}
	}
	value, failure := c.try(ctx, fn)
	switch {
	case failure == nil:
		return value, nil
	case c.Fallback == nil, ctx.Err() != nil && endReason(ctx) == ReasonCanceled:
		return value, failure
	default:
		return c.Fallback(ctx, failure)
	}
}

// try makes the attempts.
func (c Call[T]) try(ctx context.Context, fn func(context.Context) (T, error)) (value T, failure *Error) {
	policy := c.Policy
	if policy == nil {
		policy = Default()
	}
	policy = policy.For(ctx)
	if ctx.Err() != nil {
		return value, NewError(ctx, 0, "", nil)
	}
	began := time.Now()
	pace := pacingOf(ctx, c.Pacer, began)
	a := Attempt{Number: 1, Replayable: true}
	for ; ; a.Number++ {
		if failure := pace.acquire(ctx, policy, began, &a); failure != nil {
			return value, failure
		}
		var next Decision
		value, next = attempt(ctx, policy, &a, began, &pace, fn)
		if a.Err == nil {
			return value, nil
		}
		if !next.Retry {
			return value, NewError(ctx, a.Number, next.Reason, a.Err)
		}
		a.Previous = next.Delay
		if c.OnRetry != nil {
			decided := time.Now()
			c.OnRetry(ctx, a.Err, a.Number, next.Delay)
			next.Delay -= time.Since(decided)
		}
		if d := policy.MaxElapsed(); !next.Wait(ctx) || d > 0 && time.Since(began) > d {
			return value, NewError(ctx, a.Number, ReasonMaxElapsed, a.Err)
		}
	}
}

// attempt calls fn once, asks the policy about it and tells the pacer. It fills in a.
func attempt[T any](ctx context.Context, p *Policy, a *Attempt, began time.Time, pace *pacing, fn func(context.Context) (T, error)) (T, Decision) {
	defer pace.done()
	value, err := within(ctx, p.AttemptTimeout(), fn)
	a.Err, a.Elapsed, a.Paced = err, time.Since(began), false
	v := p.Classify(*a)
	a.Paced = pace.report(ctx, v, err)
	return value, p.Decide(ctx, a, v)
}

func within[T any](ctx context.Context, timeout time.Duration, fn func(context.Context) (T, error)) (T, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return fn(ctx)
}
