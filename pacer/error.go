package pacer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reasons for a refusal; errors.Is tells which one an [*Error] has.
var (
	// ErrDeadline means that no slot comes before the context's deadline. What is
	// returned then matches [context.DeadlineExceeded] as well.
	ErrDeadline = errors.New("pacer: no slot before the context's deadline")

	// ErrQueueFull means that Config.MaxWaiting callers wait already.
	ErrQueueFull = errors.New("pacer: queue is full")

	// ErrMaxWait means that no slot comes within Config.MaxWait.
	ErrMaxWait = errors.New("pacer: no slot within MaxWait")

	// ErrPaused means that a pause, or the probing after it, would hold the caller longer
	// than Config.MaxPause.
	ErrPaused = errors.New("pacer: paused for longer than MaxPause")

	// ErrDown means that the service is down, and has been for longer than Config.MaxPause
	// or with Outage.Refuse. The error's Wait says when it is tried next.
	ErrDown = errors.New("pacer: the service is down")

	// ErrTooCostly means that the call costs more than a limit ever allows.
	ErrTooCostly = errors.New("pacer: too costly")

	// ErrNotNow means that [Pacer.TryAcquire] found no slot. The error's Wait says
	// when to ask again.
	ErrNotNow = errors.New("pacer: no slot now")
)

var (
	errNoLimits = &misuse{"pacer: Pacer has no limits: it was not made by New, Burst or Drip"}
	errHolds    = &misuse{"pacer: Wait cannot say when a request is over, which MaxInFlight needs to know: use Acquire"}
)

// A misuse is a fault of the program's, which no deadline and no other attempt mends.
type misuse struct{ text string }

func (e *misuse) Error() string { return e.text }

// Retryable returns false; package retrypolicy heeds it.
func (e *misuse) Retryable() bool { return false }

// ErrorType returns a name for telemetry.
func (e *misuse) ErrorType() string { return "pacing_misuse" }

// An Error is a refusal: the caller did not start and no slot was used. errors.Is tells
// why: [ErrDeadline], [ErrQueueFull], [ErrMaxWait], [ErrPaused], [ErrDown], [ErrTooCostly] or
// [ErrNotNow].
type Error struct {
	kind error
	wait time.Duration

	cost, limit int // ErrTooCostly
	unit        string
}

// Error returns the reason, and the predicted wait or, of [ErrTooCostly], the cost and
// the limit.
func (e *Error) Error() string {
	if e.kind == ErrTooCostly {
		return fmt.Sprintf("%v (%d %s where the limit is %d)", e.kind, e.cost, e.unit, e.limit)
	}
	return fmt.Sprintf("%v (the wait would be %v)", e.kind, e.wait)
}

// Wait returns how long the caller would have had to wait for its slot, as predicted
// when it was refused. Where costs or flights decide it may be longer. Of [ErrNotNow] it
// is never 0: where time alone does not tell, it is a millisecond. Of [ErrDown], which never
// is 0 either, it is the time to the next probe. Of [ErrTooCostly] it is the longest Duration.
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

// ErrorType returns a name for telemetry: "pacing_deadline", "pacing_queue_full",
// "pacing_max_wait", "pacing_paused", "pacing_down", "pacing_too_costly" or "pacing_not_now".
func (e *Error) ErrorType() string {
	switch e.kind {
	case ErrQueueFull:
		return "pacing_queue_full"
	case ErrMaxWait:
		return "pacing_max_wait"
	case ErrPaused:
		return "pacing_paused"
	case ErrDown:
		return "pacing_down"
	case ErrTooCostly:
		return "pacing_too_costly"
	case ErrNotNow:
		return "pacing_not_now"
	default:
		return "pacing_deadline"
	}
}

// canceled returns an error that matches both what ctx says and its cause.
func canceled(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("pacer: %w: %w", err, cause)
}
