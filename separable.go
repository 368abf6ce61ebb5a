package pacedhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/pacedhttp/pacedhttp/internal/abort"
)

// A separable is the context of an exchange. It ends with its parent and may end before
// it: at a timeout, or because the response is thrown away. Once the response has been
// read it is separated from the parent, so that a parent that lives long keeps nothing of
// it. Separation ends nothing, neither what may still be sent of the request nor what is
// made of the response's Request: from then on it is the parent that answers, and what was
// derived from s before goes on to be told.
//
// It costs nothing before somebody asks for Done, as net/http does, and little then: each
// request pays for it.
type separable struct {
	context.Context // the parent

	stage atomic.Int32
	mu    sync.Mutex
	ended bool
	over  bool                            // the response has been read
	cause atomic.Pointer[context.Context] // that ended with the cause, if s did not end with the parent

	done    chan struct{}
	release func() bool // from the parent; nil where that never ends

	children []func() // who is told of the end; nil where one has left
	left     int      // how many have
	first    [1]func()
}

// The stages of a separable.
const (
	unasked   = iota // for Done: it is the parent that answers
	asked            // it has an end of its own
	separated        // it is the parent that answers again
)

// Done implements context.Context.
func (s *separable) Done() <-chan struct{} {
	if s.ask(); s.stage.Load() == separated {
		return s.Context.Done()
	}
	s.notice()
	return s.done
}

// ask gives s an end of its own if it has had none.
func (s *separable) ask() {
	if s.stage.Load() != unasked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage.Load() != unasked {
		return
	}
	s.done = make(chan struct{})
	if s.Context.Done() != nil {
		s.release = context.AfterFunc(s.Context, s.notice)
	}
	if !s.stage.CompareAndSwap(unasked, asked) && s.release != nil {
		s.release()
	}
}

// notice has s end with the parent at once: who asks must not be told later than the
// parent's own children.
func (s *separable) notice() {
	if s.Context.Err() != nil {
		s.finish(nil)
	}
}

// Err implements context.Context.
func (s *separable) Err() error {
	if s.stage.Load() == asked && s.endedItself() {
		return context.Canceled
	}
	return s.Context.Err()
}

// endedItself reports whether s, which was asked for Done, has ended before its parent.
func (s *separable) endedItself() bool {
	s.notice()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause.Load() != nil
}

// AfterFunc is what package context registers children by. Without it each would have a
// goroutine.
func (s *separable) AfterFunc(f func()) (stop func() bool) {
	s.ask()
	s.mu.Lock()
	if s.stage.Load() == separated {
		s.mu.Unlock()
		return context.AfterFunc(s.Context, f)
	}
	if s.ended {
		s.mu.Unlock()
		go f()
		return func() bool { return false }
	}
	if s.children == nil {
		s.children = s.first[:0] // room for the only child that most have
	}
	i := len(s.children)
	s.children = append(s.children, f)
	s.mu.Unlock()
	return func() bool { return s.leave(i) }
}

// leave reports whether child i was registered and is no more.
func (s *separable) leave(i int) (left bool) {
	s.mu.Lock()
	if left = !s.ended && s.children[i] != nil; left {
		s.children[i] = nil
		s.left++
	}
	s.unlock()
	return left
}

// afterFunc registers f with ctx, by the cheapest way.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// Value implements context.Context. [context.Cause] finds the cause of an end by it.
func (s *separable) Value(key any) any {
	if _, ok := key.(abort.Key); ok {
		return s
	}
	if cause := s.ownEnd(); cause != nil {
		if v := (*cause).Value(key); v != nil {
			return v
		}
	}
	return s.Context.Value(key)
}

// ownEnd returns a context that ended with the cause, nil where s has not ended before its
// parent.
func (s *separable) ownEnd() *context.Context {
	if s.stage.Load() == separated {
		return nil
	}
	return s.cause.Load()
}

// ownCause returns why s has ended before its parent, nil if it has not.
func (s *separable) ownCause() error {
	if cause := s.ownEnd(); cause != nil {
		return context.Cause(*cause)
	}
	return nil
}

// Abort ends s for who throws its response away.
func (s *separable) Abort(cause error) { s.end(cause) }

var _ abort.Exchange = (*separable)(nil)

// end ends s, unless it is separated.
func (s *separable) end(cause error) {
	s.ask()
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	s.finish(&ended)
	if s.release != nil {
		s.release()
	}
}

// finish ends s with its parent, or before it where there is a cause.
func (s *separable) finish(cause *context.Context) {
	s.mu.Lock()
	if s.ended || s.stage.Load() == separated {
		s.mu.Unlock()
		return
	}
	s.ended = true
	if cause != nil {
		s.cause.Store(cause)
	}
	close(s.done)
	children := s.children
	s.children = nil
	s.mu.Unlock()
	for _, f := range children {
		if f != nil {
			f()
		}
	}
}

// separateAfter separates s when resp has been read or closed, at once where nobody below has
// asked for its end, and ends it if there is no response.
func (s *separable) separateAfter(resp *http.Response) {
	switch {
	case s.stage.CompareAndSwap(unasked, separated):
	case resp == nil:
		s.end(nil)
	case resp.Body == http.NoBody, s.release == nil && !resp.Uncompressed:
		s.separate() // the response can be closed without its context's end
	default:
		resp.Body = whenRead(resp.Body, s.separate)
	}
}

// separate makes the parent answer for s, as soon as nothing that was derived from s is left
// to be told of its end: what is still being sent, say.
func (s *separable) separate() {
	s.mu.Lock()
	s.over = true
	s.unlock()
}

// unlock separates s if it is time.
func (s *separable) unlock() {
	separates := s.over && s.left == len(s.children) && s.stage.CompareAndSwap(asked, separated)
	s.mu.Unlock()
	if separates && s.release != nil {
		s.release()
	}
}

var errDiscarded = errors.New("pacedhttp: the response was thrown away")

// parentIfOver returns s's parent, and whether s is but a memory of an exchange.
func (s *separable) parentIfOver() (parent context.Context, over bool) {
	switch s.stage.Load() {
	case unasked:
		return s.Context, false
	case separated:
		return s.Context, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Context, s.over
}

// withoutEarlier returns ctx without the exchange that it tells of, if that is over: the
// context of a page that is fetched with that of the page before would grow with every one.
func withoutEarlier(ctx context.Context) context.Context {
	for {
		c, ok := ctx.(interface {
			parentIfOver() (context.Context, bool)
		})
		if !ok {
			return ctx
		}
		parent, over := c.parentIfOver()
		if !over {
			return ctx
		}
		ctx = parent
	}
}
