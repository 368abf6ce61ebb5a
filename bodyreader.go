package pacedhttp

import (
	"fmt"
	"io"
)

// A bodyReader is the body of one attempt's request, or a copy of it.
type bodyReader struct {
	stream  *stream
	attempt int
	offset  int64
	begun   bool
	closed  bool
	end     error // why there is nothing more to read
}

// begin makes the body stay open for b. It needs the stream's mu.
func (b *bodyReader) begin() {
	if !b.begun {
		b.begun = true
		b.stream.open++
		b.stream.unsent++
	}
}

// Read implements io.Reader. It gives the kept bytes first, then those of the body.
func (b *bodyReader) Read(p []byte) (int, error) {
	s := b.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case b.end != nil:
			return 0, b.end
		case b.attempt != s.attempt:
			return 0, errCutOff
		case len(p) == 0:
			return 0, nil
		}
		b.begin()
		switch gone := s.read - int64(len(s.kept)); {
		case b.offset < gone:
			return 0, b.finish(errNotReplayable) // another reader took it past the buffer
		case b.offset < s.read:
			n := copy(p, s.kept[b.offset-gone:])
			b.offset += int64(n)
			return n, nil
		case s.end != nil:
			if p, ok := s.end.(bodyPanic); ok {
				panic(p.value)
			}
			return 0, b.finish(s.end)
		case s.closed:
			return 0, b.finish(errCutOff)
		case s.asking > 0, s.held && s.read >= s.buffer:
			s.changed.Wait() // for bytes, which are those of all readers, or to be cut off
		case s.isCopy:
			n, err := s.readInto(p)
			if b.attempt != s.attempt || b.end != nil {
				continue // closed or cut off meanwhile
			}
			b.offset += int64(n)
			if err != nil {
				b.finish(err)
			}
			return n, err
		default:
			s.readOn(len(p))
		}
	}
}

// Close implements io.Closer. The body itself is closed only if no one else will
// want it.
func (b *bodyReader) Close() error {
	s := b.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	b.finish(errCutOff)
	if b.begun && !b.closed && b.attempt == s.attempt {
		if s.unsent--; s.unsent == 0 {
			s.allSent()
		}
	}
	b.closed = true
	s.changed.Broadcast()
	return nil
}

// whenSent calls f, which must not wait for anything, when b's attempt has no more use
// for the body. The last bytes of a body may be sent long after they were read: what
// tells is Close.
func (b *bodyReader) whenSent(f func()) {
	if b == nil {
		f()
		return
	}
	s := b.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.attempt != s.attempt || s.unsent == 0 {
		f()
		return
	}
	s.sent = f
}

// abandon cuts b's attempt off, since its context has ended: net/http may not return
// before a read that blocks has ended, and only Close may end that of a copy. Otherwise
// the call closes the body, if it is not over yet.
func (b *bodyReader) abandon(cause error) {
	s := b.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.attempt != s.attempt {
		return
	}
	if b.end == nil {
		b.end = abandonment{cause}
	}
	s.cutOff()
	if s.retired || s.isCopy && s.asking > 0 {
		s.closeBody()
	}
}

// again is the GetBody of the request whose body b is. The readers of an attempt do
// not disturb each other. One that is never read does not keep the body open:
// net/http itself drops such without a Close.
func (b *bodyReader) again() (io.ReadCloser, error) {
	s := b.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case b.attempt != s.attempt:
		return nil, errCutOff
	case !s.canReplay():
		return nil, errNotReplayable
	}
	return &bodyReader{stream: s, attempt: s.attempt}, nil
}

// An abandonment is why an attempt ended that was sending its body. Whatever the cause,
// it is not io.EOF: half a body must not look whole.
type abandonment struct{ cause error }

func (a abandonment) Error() string { return a.cause.Error() }
func (a abandonment) Unwrap() error { return a.cause }

// A bodyPanic is the end of a body whose Read panicked.
type bodyPanic struct{ value any }

func (p bodyPanic) Error() string { return fmt.Sprint("panic: ", p.value) }

// finish ends b with err, once, and returns err. It needs s.mu, and gives it up if
// b was the last to want the body.
func (b *bodyReader) finish(err error) error {
	s := b.stream
	if b.end != nil {
		return b.end
	}
	b.end = err
	if b.begun && b.attempt == s.attempt {
		if s.open--; s.open == 0 && (s.retired || s.isCopy) {
			s.closeBody()
		}
	}
	return err
}
