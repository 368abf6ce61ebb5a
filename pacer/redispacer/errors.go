package redispacer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

var (
	// ErrDeadline is [pacer.ErrDeadline]: no start comes before the context's
	// deadline. What [Pacer.Wait] returns then matches [context.DeadlineExceeded]
	// as well.
	ErrDeadline = pacer.ErrDeadline

	// ErrUnavailable means that Redis cannot be used and there is no
	// Config.Fallback. What [Pacer.Wait] returns then also matches the cause.
	ErrUnavailable = errors.New("redispacer: Redis is unavailable")

	errNotMade = errors.New("redispacer: Pacer has no limits: it was not made by New")
)

// An Error is a refusal by [Pacer.Wait] for the deadline's sake: the caller did
// not start and no start is reserved for it. It matches [ErrDeadline] and
// [context.DeadlineExceeded].
type Error struct{ wait time.Duration }

// Error returns the reason and the predicted wait.
func (e *Error) Error() string {
	return fmt.Sprintf("%v (the wait would be %v)", ErrDeadline, e.wait)
}

// Wait returns how long the caller would have had to wait, as predicted when it
// was refused. With a Config.Lease above 1 it may be longer still.
func (e *Error) Wait() time.Duration { return e.wait }

// Is reports whether target is [ErrDeadline] or [context.DeadlineExceeded].
func (e *Error) Is(target error) bool {
	return target == ErrDeadline || target == context.DeadlineExceeded
}

// Timeout returns true, as net.Error does for a deadline.
func (e *Error) Timeout() bool { return true }

// Retryable returns false: a refusal is no failure of the server, and asking again
// would only be refused again. Package retrypolicy heeds it.
func (e *Error) Retryable() bool { return false }

// ErrorType returns a name for telemetry: "pacing_deadline".
func (e *Error) ErrorType() string { return "pacing_deadline" }

// unavailableError is ErrUnavailable with its cause. A cause like a dial's timeout says
// that it is a context's error, but it is not one of the caller's.
type unavailableError struct{ cause error }

func (e *unavailableError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.cause) }

func (e *unavailableError) Is(target error) bool {
	if target == context.DeadlineExceeded || target == context.Canceled {
		return false
	}
	return target == ErrUnavailable || errors.Is(e.cause, target)
}

func (e *unavailableError) As(target any) bool { return errors.As(e.cause, target) }
func (e *unavailableError) ErrorType() string  { return "pacing_unavailable" }

// canceled returns an error that matches both what ctx says and its cause.
func canceled(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("redispacer: %w: %w", err, cause)
}
