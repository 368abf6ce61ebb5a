package retrypolicy

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestErrorWhilePeekingIsTheReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for at, peeked := range map[time.Duration]string{0: "abcdef", time.Second: "abc"} {
			a := with(newSlow(errBoom, slowPart{0, "abc"}, slowPart{at, "def"}))
			if got := a.Peek(10); string(got) != peeked {
				t.Errorf("peeked %q, want %q", got, peeked)
			}
			got, err := io.ReadAll(a.Response.Body)
			if string(got) != "abcdef" || err != errBoom {
				t.Errorf("read %q, %v", got, err)
			}
			if _, err := a.Response.Body.Read(nil); err != errBoom {
				t.Errorf("again: %v", err)
			}
		}
	})
}

func TestCancellationEndsAPeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		body := newSlow(io.EOF, slowPart{0, "abc"}, slowPart{never, "def"}) // it knows nothing of the context
		a := with(body)
		a.Request = a.Request.WithContext(ctx)
		if got := a.Peek(10); string(got) != "abc" || time.Since(body.began) != 30*time.Millisecond {
			t.Errorf("got %q after %v", got, time.Since(body.began))
		}
		a.Response.Body.Close() // or the bubble never ends
	})
}

func TestCloseEndsWhatReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := newSlow(io.EOF, slowPart{0, "abc"}, slowPart{never, "def"})
		a := with(body)
		a.Peek(10)
		if err := a.Response.Body.Close(); err != nil || body.closes != 1 {
			t.Errorf("%v, %d closes", err, body.closes)
		}
		synctest.Wait()
		if n, err := a.Response.Body.Read(make([]byte, 9)); n != 0 || err != errBodyClosed {
			t.Errorf("after Close: %d, %v", n, err)
		}
	})
}

func TestCloseEndsAReadThatWaitsForWhatReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := with(newSlow(io.EOF, slowPart{never, "abc"}))
		a.Peek(10)
		read := make(chan error)
		go func() {
			_, err := a.Response.Body.Read(make([]byte, 9))
			read <- err
		}()
		synctest.Wait()
		a.Response.Body.Close()
		if err := <-read; err != errBodyClosed {
			t.Errorf("got %v", err)
		}
	})
}

func TestPeekAfterCloseShowsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := with(newSlow(io.EOF, slowPart{0, "abc"}, slowPart{never, "def"}))
		a.Peek(10)
		began := time.Now()
		a.Response.Body.Close()
		a.Peek(10)
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

type panicBody struct{ fakeBody }

func (*panicBody) Read([]byte) (int, error) { panic(errBoom) }

func TestPanicOfABodyIsItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := with(&panicBody{})
		for name, f := range map[string]func(){
			"Peek":  func() { a.Peek(10) },
			"again": func() { a.Peek(10) },
			"Read":  func() { a.Response.Body.Read(make([]byte, 1)) },
		} {
			func() {
				defer func() {
					if v := recover(); v != errBoom {
						t.Errorf("%s: recovered %v", name, v)
					}
				}()
				f()
			}()
		}
		if err := a.Response.Body.Close(); err != errBoom {
			t.Errorf("Close: %v", err)
		}
	})
}

// A pipe's Read and Close are what net/http's are: safe together.
func TestPeekedBodyIsReadAndClosedAtOnce(t *testing.T) {
	for range 200 {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		a := with(r)
		a.Request = a.Request.WithContext(ctx)
		var all sync.WaitGroup
		all.Go(func() {
			for range 3 {
				io.WriteString(w, "part")
			}
		})
		all.Go(cancel)
		a.Peek(100)
		all.Go(func() { io.Copy(io.Discard, a.Response.Body) })
		all.Go(func() { a.Response.Body.Close() })
		all.Wait()
	}
}
