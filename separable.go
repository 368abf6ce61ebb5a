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
	own             atomic.Pointer[ending]
}

// Done implements context.Context.
func (s *separable) Done() <-chan struct{} {
	if own := s.ending(); own != separated {
		s.notice(own)
		return own.done
	}
	return s.Context.Done()
}

// notice has own end with the parent at once: who asks must not be told later than the
// parent's own children.
func (s *separable) notice(own *ending) {
	if err := s.Context.Err(); err != nil {
		own.end(err, nil)
	}
}

// Err implements context.Context.
func (s *separable) Err() error {
	own := s.own.Load()
	if own == nil || own == separated {
		return s.Context.Err()
	}
	s.notice(own)
	own.mu.Lock()
	defer own.mu.Unlock()
	return own.err
}

// AfterFunc is what package context registers children by. Without it each would have a
// goroutine.
func (s *separable) AfterFunc(f func()) (stop func() bool) {
	own := s.ending()
	if own == separated {
		return context.AfterFunc(s.Context, f)
	}
	i, ok := own.register(f)
	if !ok {
		go f()
	}
	return func() bool {
		left := own.leave(i)
		if own.mayRelease() {
			s.release(own)
		}
		return left
	}
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
	if own := s.own.Load(); own != nil {
		if cause := own.cause.Load(); cause != nil {
			if v := (*cause).Value(key); v != nil {
				return v
			}
		}
	}
	return s.Context.Value(key)
}

// ownCause returns why s has ended before its parent, nil if it has not.
func (s *separable) ownCause() error {
	if own := s.own.Load(); own != nil {
		if cause := own.cause.Load(); cause != nil {
			return context.Cause(*cause)
		}
	}
	return nil
}

// Abort ends s for who throws its response away.
func (s *separable) Abort(cause error) { s.end(cause) }

var _ abort.Exchange = (*separable)(nil)

// end ends s, unless it is separated.
func (s *separable) end(cause error) {
	own := s.ending()
	if own == separated {
		return
	}
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	own.end(context.Canceled, &ended)
	if own.release != nil {
		own.release()
	}
}

// separateAfter separates s when resp has been read or closed, at once where nobody below has
// asked for its end, and ends it if there is no response.
func (s *separable) separateAfter(resp *http.Response) {
	if s.own.CompareAndSwap(nil, separated) {
		return
	}
	switch own := s.own.Load(); {
	case resp == nil:
		s.end(nil)
	case resp.Body == http.NoBody, own.release == nil && !resp.Uncompressed:
		s.separate() // the response can be closed without its context's end
	default:
		resp.Body = whenRead(resp.Body, s.separate)
	}
}

// separate makes the parent answer for s, as soon as nothing that was derived from s is left
// to be told of its end: what is still being sent, say.
func (s *separable) separate() {
	own := s.own.Load()
	if own == nil && s.own.CompareAndSwap(nil, separated) {
		return
	}
	own = s.own.Load()
	own.mu.Lock()
	own.over = true
	own.mu.Unlock()
	if own.mayRelease() {
		s.release(own)
	}
}

func (s *separable) release(own *ending) {
	if s.own.CompareAndSwap(own, separated) && own.release != nil {
		own.release()
	}
}

// ending returns s's own end, which is made if need be.
func (s *separable) ending() *ending {
	for {
		if own := s.own.Load(); own != nil {
			return own
		}
		own := &ending{done: make(chan struct{})}
		if s.Context.Done() == nil {
			if s.own.CompareAndSwap(nil, own) {
				return own
			}
			continue
		}
		own.release = context.AfterFunc(s.Context, func() { s.notice(own) })
		if s.own.CompareAndSwap(nil, own) {
			return own
		}
		own.release()
	}
}

// An ending is how a context ends, and who is told.
type ending struct {
	done    chan struct{}
	release func() bool                     // from the parent; nil where that never ends
	cause   atomic.Pointer[context.Context] // that ended with the cause, if not with the parent

	mu       sync.Mutex
	err      error
	over     bool     // the response has been read
	children []func() // nil where one has left
	left     int      // how many have
	first    [1]func()
}

// separated stands for the end of a context that has none of its own any more.
var separated = new(ending)

func (e *ending) end(err error, cause *context.Context) {
	e.mu.Lock()
	if e.err != nil {
		e.mu.Unlock()
		return
	}
	if cause != nil {
		e.cause.Store(cause)
	}
	e.err = err
	close(e.done)
	children := e.children
	e.children = nil
	e.mu.Unlock()
	for _, f := range children {
		if f != nil {
			f()
		}
	}
}

// register has f called at the end, unless that has come.
func (e *ending) register(f func()) (i int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return 0, false
	}
	if e.children == nil {
		e.children = e.first[:0] // room for the only child that most have
	}
	e.children = append(e.children, f)
	return len(e.children) - 1, true
}

// leave reports whether child i was registered and is no more.
func (e *ending) leave(i int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.children == nil || e.children[i] == nil {
		return false
	}
	e.children[i] = nil
	e.left++
	return true
}

func (e *ending) isOver() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over
}

// mayRelease reports whether the parent need not tell e of its end any more.
func (e *ending) mayRelease() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over && e.left == len(e.children)
}

var errDiscarded = errors.New("pacedhttp: the response was thrown away")

// parentIfOver returns s's parent, and whether s is but a memory of an exchange.
func (s *separable) parentIfOver() (parent context.Context, over bool) {
	own := s.own.Load()
	return s.Context, own == separated || own != nil && own.isOver()
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
