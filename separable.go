package pacedhttp

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
)

// A separable is the context of an exchange. It ends with its parent and may end before
// it: at a timeout, or because the response is thrown away. Once the response has been
// read it is separated from the parent, so that a parent that lives long keeps nothing of
// it. Separation ends nothing, neither what may still be sent of the request nor what is
// made of the response's Request: from then on it is the parent that answers.
//
// It costs nothing before somebody asks for Done, as net/http does.
type separable struct {
	context.Context // the parent
	own             atomic.Pointer[lifetime]
}

type separableKey struct{}

// separableOf returns the innermost context that can end resp.
func separableOf(resp *http.Response) *separable {
	if resp.Request == nil {
		return nil
	}
	s, _ := resp.Request.Context().Value(separableKey{}).(*separable)
	return s
}

// Done implements context.Context.
func (s *separable) Done() <-chan struct{} {
	if own := s.lifetime(); own != separated {
		return own.Done()
	}
	return s.Context.Done()
}

// Err implements context.Context.
func (s *separable) Err() error {
	if own := s.own.Load(); own != nil && own != separated {
		return own.Err()
	}
	return s.Context.Err()
}

// Value implements context.Context. Package context finds by it what to register with.
func (s *separable) Value(key any) any {
	if key == (separableKey{}) {
		return s
	}
	if own := s.own.Load(); own != nil && own != separated {
		return own.Value(key)
	}
	return s.Context.Value(key)
}

// cause returns why s has ended, nil if it has not.
func (s *separable) cause() error {
	if own := s.own.Load(); own != nil && own != separated {
		return context.Cause(own)
	}
	return context.Cause(s.Context)
}

// end ends s, unless it is separated.
func (s *separable) end(cause error) {
	if own := s.lifetime(); own != separated {
		own.cancel(cause)
	}
}

// separateAfter separates s when resp has been read or closed, and ends it if there is no
// response.
func (s *separable) separateAfter(resp *http.Response) {
	switch own := s.own.Load(); {
	case own == nil:
		s.separate() // nobody below has asked, and nobody above must
	case resp == nil:
		s.end(nil)
	case resp.Body == http.NoBody, own.parent.release == nil && !resp.Uncompressed:
		s.separate() // there is nothing to release, and the response can be closed by itself
	default:
		resp.Body = whenRead(resp.Body, s.separate)
	}
}

func (s *separable) separate() {
	if own := s.own.Swap(separated); own != nil && own.parent.release != nil {
		own.parent.release()
	}
}

// lifetime returns s's own lifetime, which is made if need be.
func (s *separable) lifetime() *lifetime {
	for {
		if own := s.own.Load(); own != nil {
			return own
		}
		own := newLifetime(s.Context)
		if s.own.CompareAndSwap(nil, own) {
			return own
		}
		own.cancel(nil)
	}
}

// A lifetime is a context that can be released from its parent without an end.
type lifetime struct {
	context.Context
	cancel context.CancelCauseFunc
	parent detachable
}

// separated stands for the lifetime of a context that has none of its own any more.
var separated = new(lifetime)

func newLifetime(parent context.Context) *lifetime {
	l := &lifetime{parent: detachable{Context: parent}}
	l.Context, l.cancel = context.WithCancelCause(&l.parent)
	return l
}

// A detachable context keeps a child from being registered with its parent for as long as
// the child does not end. Package context registers with an AfterFunc instead, which can be
// stopped, where Done is not the channel of a context that it made.
type detachable struct {
	context.Context
	release func() bool // nil where the parent never ends, or has ended
}

var never = make(chan struct{})

func (d *detachable) Done() <-chan struct{} {
	if done := d.Context.Done(); done == nil || d.Err() != nil {
		return done
	}
	return never
}

func (d *detachable) AfterFunc(f func()) func() bool {
	d.release = context.AfterFunc(d.Context, f)
	return d.release
}

var errDiscarded = errors.New("pacedhttp: the response was thrown away")

// parentIfOver returns s's parent, and whether s is but a memory of an exchange.
func (s *separable) parentIfOver() (parent context.Context, over bool) {
	return s.Context, s.own.Load() == separated
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
