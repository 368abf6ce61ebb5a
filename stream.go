package pacedhttp

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
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
// The copies that GetBody gives serve one attempt each, are in memory as a rule, and
// are read without that detour.
type stream struct {
	body   io.ReadCloser // the caller's, or a copy from GetBody
	length int64         // Content-Length; 0 or less if unknown
	buffer int64         // bytes that may be kept

	mu      sync.Mutex
	changed sync.Cond // a read ended, or readers were closed or cut off
	kept    []byte    // all that was read or, past the buffer, what was read last
	read    int64     // bytes read so far; written by the read under way only
	end     error     // how the body ended
	asking  int       // size of the read under way; 0 if there is none
	attempt int       // whose readers are not cut off
	open    int       // how many of those have begun and not finished
	unsent  int       // how many have begun and are not closed
	held    bool      // for another attempt: it must stay replayable
	retired bool      // the call is over
	closed  bool      // body.Close was called
	isCopy  bool      // of a single attempt

	unwatch func() bool // the end of the current attempt's context
	sent    func()      // called when the current attempt's readers are closed
}

func newStream(body io.ReadCloser, length, buffer int64) *stream {
	s := &stream{body: body, length: length, buffer: buffer, unwatch: func() bool { return false }}
	s.changed.L = &s.mu
	return s
}

// newCopy returns the stream of a body that serves a single attempt.
func newCopy(body io.ReadCloser, length int64) *stream {
	s := newStream(body, length, 0)
	s.isCopy = true
	return s
}

// reader returns the reader of the next attempt, which begins at the start and is cut
// off when ctx ends, and cuts off those of the current one.
func (s *stream) reader(ctx context.Context) *bodyReader {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutOff()
	b := &bodyReader{stream: s, attempt: s.attempt}
	b.begin()
	s.unwatch = context.AfterFunc(ctx, func() { b.abandon(context.Cause(ctx)) })
	return b
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

// hold keeps the stream replayable until the next attempt, or reports false if it is
// not. What the current readers may still read is kept; beyond that they wait. A quiet
// stream is one that nobody must be reading meanwhile.
func (s *stream) hold(quiet bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = s.canReplay() && !(quiet && s.asking > 0)
	return s.held
}

// rest keeps a copy from being read until the next attempt: GetBody may make the next
// copy by seeking back what both read. A read that blocks is not waited for.
func (s *stream) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
	if s.asking == 0 {
		return
	}
	patient := true
	timer := time.AfterFunc(releaseTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		patient = false
		s.changed.Broadcast()
	})
	defer timer.Stop()
	for s.asking > 0 && patient {
		s.changed.Wait()
	}
}

// cutOff needs s.mu.
func (s *stream) cutOff() {
	s.attempt++
	s.open, s.unsent = 0, 0
	s.held = false
	s.unwatch()
	s.allSent()
	s.changed.Broadcast()
}

// allSent needs s.mu.
func (s *stream) allSent() {
	if f := s.sent; f != nil {
		s.sent = nil
		f()
	}
}

// close ends the current readers and closes the body.
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

// closeBody closes the body once. It needs s.mu and gives it up meanwhile.
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
		}()
		if s.closed { // before the read began
			s.asking = 0
			return
		}
		had := len(s.kept)
		n, _ := s.readInto(s.kept[had:][:n])
		s.kept = s.kept[:had+n]
		if s.read > s.buffer {
			s.kept = s.kept[had:]
		}
	}()
}

// readInto reads from the body into p. It needs s.mu, which is given up while the
// body is read.
func (s *stream) readInto(p []byte) (int, error) {
	s.asking = len(p)
	defer func() {
		s.asking = 0
		s.changed.Broadcast()
	}()
	n, err := s.fetch(p)
	if s.length > 0 {
		n, err = s.checkLength(n, err)
	}
	s.read += int64(n)
	s.end = err
	return n, err
}

// fetch needs s.mu and gives it up while it reads from the body.
func (s *stream) fetch(p []byte) (int, error) {
	s.mu.Unlock()
	defer s.mu.Lock() // deferred, so that a panic of the body's stays what it is
	return s.body.Read(p)
}

// checkLength holds what a read brought to the Content-Length. A body that disagrees,
// because of a stale GetBody, say, is never sent as if it were whole: the bytes that
// complete it are given only when nothing follows them. It needs s.mu, which is
// given up while it looks what follows.
func (s *stream) checkLength(n int, err error) (int, error) {
	got := s.read + int64(n)
	for got == s.length && err == nil && !s.closed {
		var extra int
		extra, err = s.fetch(make([]byte, 1))
		got += int64(extra)
	}
	switch {
	case got > s.length:
		return 0, &bodyError{fmt.Errorf("pacedhttp: request body is longer than its ContentLength of %d", s.length)}
	case got < s.length && err == io.EOF:
		return n, &bodyError{fmt.Errorf("pacedhttp: request body ended after %d bytes, its ContentLength is %d", got, s.length)}
	}
	return n, err
}
