package redispacer

import (
	"context"
	"errors"
	"fmt"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// An Error is a refusal: see [pacer.Error].
type Error = pacer.Error

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
