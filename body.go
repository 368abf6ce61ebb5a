package pacedhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

var (
	errCutOff        = errors.New("pacedhttp: request body belongs to a later attempt now")
	errNotReplayable = &bodyError{errors.New("pacedhttp: request body cannot be sent again: it has no GetBody and is longer than the replay buffer")}
)

// A bodyError is a fault of the request body, which another attempt would not mend.
type bodyError struct{ err error }

func (e *bodyError) Error() string   { return e.err.Error() }
func (e *bodyError) Unwrap() error   { return e.err }
func (e *bodyError) Retryable() bool { return false }

// A replay gives each attempt of a call a reader of the request body. A nil replay
// is that of a request without one.
//
// With GetBody each attempt reads a copy, the first the body itself. Without, all
// read one stream, one after the other.
type replay struct {
	getBody func() (io.ReadCloser, error)
	length  int64
	trailer bool    // reading the body may fill in the request's Trailer
	stream  *stream // of the current attempt
	next    *stream // of the next attempt, once rewind has got it from GetBody
}

func newReplay(req *http.Request, buffer int64) *replay {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	r := &replay{getBody: req.GetBody, length: req.ContentLength, trailer: len(req.Trailer) > 0}
	if r.getBody != nil {
		r.stream = newCopy(req.Body, r.length)
	} else {
		r.stream = newStream(req.Body, r.length, buffer)
	}
	return r
}

// attach gives the body to out, the next attempt's request, and cuts off the
// previous attempt, which the base transport may still be sending.
func (r *replay) attach(out *http.Request) *bodyReader {
	if r == nil {
		return nil
	}
	if r.next != nil {
		r.stream.close()
		r.stream, r.next = r.next, nil
	}
	body := r.stream.reader(out.Context())
	out.Body = body
	// What net/http needs to send the request again by itself, when a reused
	// connection turns out to be dead, say, and what a signer reads.
	if r.stream.buffer > 0 {
		out.GetBody = body.again
	}
	return body
}

// replayable reports whether another attempt could have the body.
func (r *replay) replayable() bool {
	return r == nil || r.getBody != nil || r.stream.replayable()
}

// rewind readies the body for the next attempt, or reports false if it cannot be
// sent again after all. The current attempt is not cut off yet: a base transport that
// cannot go on sending drops the connection, and with it what is still to come of
// the response.
func (r *replay) rewind() (bool, error) {
	switch {
	case r == nil:
		return true, nil
	case r.getBody == nil:
		return r.stream.hold(r.trailer), nil
	}
	r.stream.rest()
	body, err := r.getBody()
	if err == nil && body == nil {
		err = errors.New("neither a body nor an error")
	}
	if err != nil {
		return false, &bodyError{fmt.Errorf("pacedhttp: GetBody: %w", err)}
	}
	r.next = newCopy(body, r.length)
	return true, nil
}

// close closes the body of a call that failed.
func (r *replay) close() {
	if r == nil {
		return
	}
	r.stream.close()
	if r.next != nil {
		r.next.close()
	}
}

// retire says that there will be no further attempt: the body is closed when the
// base transport, which may still be sending it, is done with it.
func (r *replay) retire() {
	if r != nil {
		r.stream.retire()
	}
}
