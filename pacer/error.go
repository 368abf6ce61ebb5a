package pacer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrDeadline means that no slot comes before the context's deadline. What
	// [Pacer.Wait] returns then matches [context.DeadlineExceeded] as well.
	ErrDeadline = errors.New("pacer: no slot before the context's deadline")

	// ErrQueueFull means that Config.MaxWaiting callers wait already.
	ErrQueueFull = errors.New("pacer: queue is full")

	errNoLimits = errors.New("pacer: Pacer has no limits: it was not made by New, Burst or Drip")
)

// An Error is a refusal by [Pacer.Wait]: the caller did not start and no slot
// was used. errors.Is tells which kind, [ErrDeadline] or [ErrQueueFull].
type Error struct {
	kind error
	wait time.Duration
}

// Error returns the kind of refusal and the predicted wait.
func (e *Error) Error() string {
	return fmt.Sprintf("%v (the wait would be %v)", e.kind, e.wait)
}

// Wait returns how long the caller would have had to wait for its slot, as
// predicted when it was refused.
func (e *Error) Wait() time.Duration { return e.wait }

// Is reports whether target is the kind of e. A refusal for the deadline's sake
// also is a [context.DeadlineExceeded].
func (e *Error) Is(target error) bool {
	return target == e.kind || e.Timeout() && target == context.DeadlineExceeded
}

// Timeout reports whether the deadline was the reason, as net.Error does.
func (e *Error) Timeout() bool { return e.kind == ErrDeadline }

// Retryable returns false: a refusal is no failure of the server, and asking again
// would only be refused again. Package retrypolicy heeds it.
func (e *Error) Retryable() bool { return false }

// ErrorType returns a name for telemetry: "pacing_deadline" or "pacing_queue_full".
func (e *Error) ErrorType() string {
	if e.kind == ErrQueueFull {
		return "pacing_queue_full"
	}
	return "pacing_deadline"
}

// canceled returns an error that matches both what ctx says and its cause.
func canceled(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("pacer: %w: %w", err, cause)
}
