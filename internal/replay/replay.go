// Package replay sends a request body again: each attempt of a call gets a body of its
// own, whole from the start, whatever became of those before it.
//
// Of a body there are three kinds, a file each. What net/http knows to be in memory
// passes through as it is. Where the request has GetBody each attempt reads a copy. All
// attempts read any other body in turn, and what was read of it is kept, up to a bound.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// ErrNotReplayable is what [Body.Rewind] returns for a body that has no GetBody and of
// which more was read than is kept.
var ErrNotReplayable error = &bodyError{errors.New("pacedhttp: request body cannot be sent again: it has no GetBody and is longer than the replay buffer")}

var errCutOff = errors.New("pacedhttp: request body belongs to a later attempt now")

// A Body is the request body of a call. A nil Body is that of a request without one.
// Its methods are called by one goroutine, that of the call; what it attaches to
// requests is read and closed by others.
type Body struct{ kind }

// kind is how a body is sent again.
type kind interface {
	attach(out *http.Request)
	replayable() bool
	rewind() error
	close()
	retire()
}

// New returns the body of req, which is closed by it from now on. Of a body without
// GetBody the first buffer bytes are kept as they are read.
func New(req *http.Request, buffer int64) *Body {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return nil
	case req.GetBody == nil:
		return &Body{newStream(req, buffer)}
	}
	if m := newMemory(req); m != nil {
		return &Body{m}
	}
	return &Body{newCopies(req)}
}

// Attach gives the body to out, the request of the next attempt, and cuts off the
// attempt before it, which may still be sending.
func (b *Body) Attach(out *http.Request) {
	if b != nil {
		b.attach(out)
	}
}

// Replayable reports whether another attempt could have the body.
func (b *Body) Replayable() bool { return b == nil || b.replayable() }

// Rewind readies the body for the next attempt, or returns why there cannot be one:
// [ErrNotReplayable], or what GetBody met with. The current attempt is not cut off yet: a
// base transport that cannot go on sending drops the connection, and with it what is
// still to come of the response.
func (b *Body) Rewind() error {
	if b == nil {
		return nil
	}
	return b.rewind()
}

// Close cuts off the current attempt and closes the body: the call failed.
func (b *Body) Close() {
	if b != nil {
		b.close()
	}
}

// Retire says that there will be no further attempt: the body is closed when the base
// transport, which may still be sending it, is done with it.
func (b *Body) Retire() {
	if b != nil {
		b.retire()
	}
}

// A bodyError is a fault of the request body, which another attempt would not mend.
type bodyError struct{ err error }

func (e *bodyError) Error() string   { return retrypolicy.ErrorText(e.err) }
func (e *bodyError) Unwrap() error   { return e.err }
func (e *bodyError) Retryable() bool { return false }

// getCopy asks a request's GetBody.
func getCopy(getBody func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	body, err := getBody()
	if err == nil && body == nil {
		err = errors.New("neither a body nor an error")
	}
	if err != nil {
		return nil, &bodyError{fmt.Errorf("pacedhttp: GetBody: %w", err)}
	}
	return body, nil
}

func tooLong(length int64) error {
	return &bodyError{fmt.Errorf("pacedhttp: request body is longer than its ContentLength of %d", length)}
}

func tooShort(got, length int64) error {
	return &bodyError{fmt.Errorf("pacedhttp: request body ended after %d bytes, its ContentLength is %d", got, length)}
}

// checkLength holds what a read brought, after earlier ones brought before, to the
// Content-Length. A body that disagrees, because of a stale GetBody, say, is never sent
// as if it were whole: the bytes that complete it are given only when nothing follows
// them. more reads what follows.
func checkLength(length, before int64, n int, err error, more func([]byte) (int, error)) (int, error) {
	if length <= 0 { // unknown
		return n, err
	}
	got := before + int64(n)
	for got == length && err == nil {
		var extra int
		extra, err = more(make([]byte, 1))
		got += int64(extra)
	}
	switch {
	case got > length:
		return 0, tooLong(length)
	case got < length && err == io.EOF:
		return n, tooShort(got, length)
	}
	return n, err
}

// An abandonment is why an attempt ended that was sending its body. Whatever the cause,
// it is not io.EOF: half a body must not look whole.
type abandonment struct{ cause error }

func (a abandonment) Error() string { return a.cause.Error() }
func (a abandonment) Unwrap() error { return a.cause }

// abandonAt has f called with the cause when ctx ends, unless stop is called before.
func abandonAt(ctx context.Context, f func(error)) (stop func() bool) {
	return context.AfterFunc(ctx, func() { f(abandonment{context.Cause(ctx)}) })
}
