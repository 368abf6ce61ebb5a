package replay

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
)

// pieceBytes is the most that is read at a time. net/http asks for no more.
const pieceBytes = 32 << 10

// A stream is a body that attempts read one after the other. What is read is kept
// as it is read, up to a bound, so a later attempt gets the kept bytes and then the
// rest. Nothing is ever read ahead.
//
// A read of the body may block for ever, so a goroutine makes it, without a lock:
// neither the next attempt, nor Close, nor the end of an attempt's context waits for
// it. What such a read brings after its attempt was cut off is kept for the next one.
type stream struct {
	body    io.ReadCloser // the caller's
	length  int64         // Content-Length; 0 or less if unknown
	buffer  int64         // bytes that may be kept
	trailer bool          // reading the body may fill in the request's Trailer

	mu      sync.Mutex
	changed sync.Cond // a read ended, or readers were closed or cut off
	kept    []byte    // all that was read or, past the buffer, what was read last
	read    int64     // bytes read so far; written by the read under way only
	end     error     // how the body ended
	asking  int       // size of the read under way; 0 if there is none
	attempt int       // whose readers are not cut off
	open    int       // how many of those have begun and not finished
	held    bool      // for another attempt: it must stay replayable
	retired bool      // the call is over
	closed  bool      // body.Close was called

	unwatch func() bool // the end of the current attempt's context
}

func newStream(req *http.Request, buffer int64) *stream {
	s := &stream{
		body:    req.Body,
		length:  req.ContentLength,
		buffer:  buffer,
		trailer: len(req.Trailer) > 0,
		unwatch: func() bool { return false },
	}
	s.changed.L = &s.mu
	return s
}

// attach also gives out a GetBody: net/http needs it to send the request again by
// itself, when a reused connection turns out to be dead, say, and signers read it.
func (s *stream) attach(out *http.Request) {
	r := s.reader(out.Context())
	out.Body = r
	if s.buffer > 0 {
		out.GetBody = r.again
	}
}

// reader returns the reader of the next attempt, which begins at the start and is cut
// off when ctx ends, and cuts off those of the current one.
func (s *stream) reader(ctx context.Context) *streamReader {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutOff()
	r := &streamReader{stream: s, attempt: s.attempt}
	r.begin()
	s.unwatch = abandonAt(ctx, r.abandon)
	return r
}

func (s *stream) replayable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.canReplay()
}

// canReplay needs s.mu. A read under way counts as if it had brought all it asked
// for; a body that failed is not whole however often it is sent.
func (s *stream) canReplay() bool {
	return s.read+int64(s.asking) <= s.buffer && (s.end == nil || s.end == io.EOF)
}

// rewind keeps the stream replayable until the next attempt. What the current readers
// may still read is kept; beyond that they wait. While a read may set trailers the
// request cannot be sent again.
func (s *stream) rewind() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held = s.canReplay() && !(s.trailer && s.asking > 0); !s.held {
		return ErrNotReplayable
	}
	return nil
}

// cutOff needs s.mu.
func (s *stream) cutOff() {
	s.attempt++
	s.open = 0
	s.held = false
	s.unwatch()
	s.changed.Broadcast()
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutOff()
	s.closeBody()
}

func (s *stream) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	if s.open == 0 {
		s.closeBody()
	}
}

// closeBody closes the body once, and lets go of what was kept of it. It needs s.mu and
// gives it up meanwhile.
func (s *stream) closeBody() {
	if s.closed {
		return
	}
	s.closed = true
	s.unwatch()
	if s.asking > 0 {
		// Closing may be what ends the read, or may have to wait for it: bodies of
		// both kinds exist. The goroutine ends with that Close.
		go s.body.Close()
		return
	}
	s.kept = nil
	s.mu.Unlock()
	defer s.mu.Lock()
	_ = s.body.Close() // the caller's body; nobody is left to tell
}

// readOn has up to n more bytes of the body read by a goroutine, which ends with that
// read. It needs s.mu.
func (s *stream) readOn(n int) {
	n = min(n, pieceBytes)
	if room := s.buffer - s.read; room > 0 {
		n = int(min(int64(n), room)) // more would look as if it overflowed
	}
	if s.read > s.buffer {
		s.kept = s.kept[:0]
	}
	s.kept = slices.Grow(s.kept, n)
	s.asking = n
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer func() {
			if v := recover(); v != nil {
				s.end = bodyPanic{v} // for whoever reads
			}
			if s.asking = 0; s.closed {
				s.kept = nil
			}
			s.changed.Broadcast()
		}()
		had := len(s.kept)
		n, err := s.fetch(s.kept[had:][:n])
		n, err = checkLength(s.length, s.read, n, err, s.fetch)
		s.read += int64(n)
		s.end = err
		s.kept = s.kept[:had+n]
		if s.read > s.buffer {
			s.kept = s.kept[had:]
		}
	}()
}

// fetch needs s.mu and gives it up while it reads from the body.
func (s *stream) fetch(p []byte) (int, error) {
	if s.closed {
		return 0, errCutOff
	}
	s.mu.Unlock()
	defer s.mu.Lock() // deferred, so that a panic of the body's stays what it is
	return s.body.Read(p)
}

// A bodyPanic is the end of a body whose Read panicked.
type bodyPanic struct{ value any }

func (p bodyPanic) Error() string { return fmt.Sprint("panic: ", p.value) }
