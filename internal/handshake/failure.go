package handshake

import (
	"errors"
	"net"
)

// A failure is an error from before the request could be sent.
type failure struct{ err error }

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// Timeout and Temporary are those of the marked error, which a search for a
// net.Error no longer finds behind the failure.

func (f failure) Timeout() bool {
	e, ok := errors.AsType[net.Error](f.err)
	return ok && e.Timeout()
}

func (f failure) Temporary() bool {
	e, ok := errors.AsType[net.Error](f.err)
	//lint:ignore SA1019 net.Error has it
	return ok && e.Temporary()
}

// unsent is a failure that says nothing of the next attempt.
type unsent struct{ failure }

func (*unsent) Unprocessed() bool { return true }

// refused is a failure that would come back.
type refused struct{ failure }

func (*refused) Retryable() bool { return false }

var (
	_ net.Error = (*unsent)(nil)
	_ net.Error = (*refused)(nil)
)
