package replay

import "io"

// A streamReader is the body of one attempt's request, or a copy of it.
type streamReader struct {
	stream  *stream
	attempt int
	offset  int64
	begun   bool
	end     error // why there is nothing more to read
}

// begin makes the body stay open for r. It needs the stream's mu.
func (r *streamReader) begin() {
	if !r.begun {
		r.begun = true
		r.stream.open++
	}
}

// Read implements io.Reader. It gives the kept bytes first, then those of the body.
func (r *streamReader) Read(p []byte) (int, error) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case r.end != nil:
			return 0, r.end
		case r.attempt != s.attempt:
			return 0, errCutOff
		case len(p) == 0:
			return 0, nil
		}
		r.begin()
		switch gone := s.read - int64(len(s.kept)); {
		case r.offset < gone:
			return 0, r.finish(ErrNotReplayable) // another reader took it past the buffer
		case r.offset < s.read:
			n := copy(p, s.kept[r.offset-gone:])
			r.offset += int64(n)
			return n, nil
		case s.end != nil:
			if p, ok := s.end.(bodyPanic); ok {
				panic(p.value)
			}
			return 0, r.finish(s.end)
		case s.closed:
			return 0, r.finish(errCutOff)
		case s.asking > 0, s.held && s.read >= s.buffer:
			s.changed.Wait() // for bytes, which are those of all readers, or to be cut off
		default:
			s.readOn(len(p))
		}
	}
}

// Close implements io.Closer. The body itself is closed only if no one else will
// want it.
func (r *streamReader) Close() error {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	r.finish(errCutOff)
	s.changed.Broadcast()
	return nil
}

// abandon cuts r's attempt off, since its context has ended: net/http may not return
// before a read that blocks has ended. The call closes the body, if it is not over yet.
func (r *streamReader) abandon(why error) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.attempt != s.attempt {
		return
	}
	if r.end == nil {
		r.end = why
	}
	s.cutOff()
	if s.retired {
		s.closeBody()
	}
}

// again is the GetBody of the request whose body r is. The readers of an attempt do
// not disturb each other. One that is never read does not keep the body open:
// net/http itself drops such without a Close.
func (r *streamReader) again() (io.ReadCloser, error) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.attempt != s.attempt || s.closed:
		return nil, errCutOff
	case !s.canReplay():
		return nil, ErrNotReplayable
	}
	return &streamReader{stream: s, attempt: s.attempt}, nil
}

// finish ends r with err, once, and returns err. It needs s.mu, and gives it up if
// r was the last to want the body.
func (r *streamReader) finish(err error) error {
	s := r.stream
	if r.end != nil {
		return r.end
	}
	r.end = err
	if r.begun && r.attempt == s.attempt {
		if s.open--; s.open == 0 && s.retired {
			s.closeBody()
		}
	}
	return err
}
