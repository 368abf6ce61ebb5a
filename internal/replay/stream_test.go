package replay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// What net/http does to a body only now and then, when its goroutines happen to meet.

func newTestStream(body io.ReadCloser, buffer int64) *stream {
	return newStream(&http.Request{Body: body}, buffer)
}

func TestEndOfAnEarlierAttemptsContextComesTooLateForTheNext(t *testing.T) {
	s := newTestStream(io.NopCloser(strings.NewReader("order")), 10)
	earlier := s.reader(t.Context())
	current := s.reader(t.Context())
	earlier.abandon(context.Canceled) // which a goroutine of the context's may call at any time
	if b, err := io.ReadAll(current); string(b) != "order" || err != nil {
		t.Errorf("the current attempt read %q, %v", b, err)
	}
	s.close()
}

func TestBlockedReadEndsWithItsReaderOrItsAttempt(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(*streamReader)
		want error
	}{
		"closed":    {func(b *streamReader) { b.Close() }, errCutOff},
		"cut off":   {func(b *streamReader) { b.stream.close() }, errCutOff},
		"abandoned": {func(b *streamReader) { b.abandon(context.DeadlineExceeded) }, context.DeadlineExceeded},
	} {
		for kind, buffer := range map[string]int64{"kept": 10, "past the buffer": 3, "not kept": 0} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					body, feed := io.Pipe()
					s := newTestStream(patient{body}, buffer)
					b := s.reader(t.Context())
					go io.WriteString(feed, "an o") // and then nothing
					if _, err := io.ReadFull(b, make([]byte, 4)); err != nil {
						t.Fatal(err)
					}
					var err error
					ended := false
					go func() { _, err = b.Read(make([]byte, 10)); ended = true }()
					synctest.Wait()
					tc.end(b)
					synctest.Wait()
					if !ended || !errors.Is(err, tc.want) {
						t.Errorf("the read has ended: %v, with %v, want %v", ended, err, tc.want)
					}
					s.close()
					feed.Close()
				})
			})
		}
	}
}

// A patient body is one whose Close does not end a Read, like that of a server's
// request.
type patient struct{ io.Reader }

func (patient) Close() error { return nil }

func TestPanicOfABodyReachesItsReader(t *testing.T) {
	for kind, buffer := range map[string]int64{"kept": 10, "not kept": 0} {
		t.Run(kind, func(t *testing.T) {
			s := newTestStream(patient{panicking{}}, buffer)
			defer s.close()
			defer func() {
				if v := recover(); v != "broken" {
					t.Errorf("recovered %v", v)
				}
			}()
			s.reader(t.Context()).Read(make([]byte, 10))
			t.Error("no panic")
		})
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("broken") }

func TestReadersPastTheBufferShareWhatIsThere(t *testing.T) {
	s := newTestStream(patient{strings.NewReader("an order")}, 3)
	b := s.reader(t.Context())
	again, err := b.again()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5)
	for _, r := range []io.Reader{b, again} {
		if _, err := io.ReadFull(r, p[:3]); string(p[:3]) != "an " || err != nil {
			t.Errorf("read %q, %v", p[:3], err)
		}
	}
	for _, r := range []io.Reader{b, again} {
		if _, err := io.ReadFull(r, p); string(p) != "order" || err != nil {
			t.Errorf("read %q, %v", p, err)
		}
	}
	late := &streamReader{stream: s, attempt: s.attempt}
	if n, err := late.Read(p); n != 0 || !errors.Is(err, ErrNotReplayable) {
		t.Errorf("a late reader got %d bytes, %v", n, err)
	}
	s.close()
}

func TestGetBodyFailsOnceTheBodyIsNotReplayable(t *testing.T) {
	s := newTestStream(io.NopCloser(strings.NewReader("an order")), 5)
	b := s.reader(t.Context())
	if _, err := b.again(); err != nil {
		t.Errorf("before the first read: %v", err)
	}
	if _, err := io.ReadAll(b); err != nil {
		t.Error(err)
	}
	if _, err := b.again(); !errors.Is(err, ErrNotReplayable) {
		t.Errorf("past the buffer: %v, want %v", err, ErrNotReplayable)
	}
	s.close()
}

func TestBodyIsClosedByTheLastOfItsReaders(t *testing.T) {
	body, feed := io.Pipe()
	s := newTestStream(body, 10)
	first := s.reader(t.Context())
	again, err := first.again()
	if err != nil {
		t.Fatal(err)
	}
	go io.WriteString(feed, "order")
	again.Read(make([]byte, 5))
	s.retire()
	for _, b := range []io.Closer{first, again} {
		if s.closed {
			t.Error("the body was closed under a reader")
		}
		b.Close()
	}
	if !s.closed {
		t.Error("the body was left open")
	}
}

func TestNoCauseMakesHalfABodyLookWhole(t *testing.T) {
	for kind, buffer := range map[string]int64{"kept": 10, "not kept": 0} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body, feed := io.Pipe()
				s := newTestStream(patient{body}, buffer)
				ctx, cancel := context.WithCancelCause(t.Context())
				b := s.reader(ctx)
				var err error
				go func() { _, err = b.Read(make([]byte, 10)) }()
				synctest.Wait()
				cancel(io.EOF)
				synctest.Wait()
				if err == nil || err == io.EOF || !errors.Is(err, io.EOF) {
					t.Errorf("the read ended with %v", err)
				}
				s.close()
				feed.Close()
			})
		})
	}
}

// A read that is left behind may set a trailer while the next attempt's are being sent.
func TestBodyThatMaySetTrailersIsNotReplayedWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, feed := io.Pipe()
		s := newTestStream(patient{body}, 10)
		b := s.reader(t.Context())
		go b.Read(make([]byte, 10))
		synctest.Wait()
		if s.trailer = true; s.rewind() != ErrNotReplayable {
			t.Error("held while it is read")
		}
		if s.trailer = false; s.rewind() != nil {
			t.Error("not held though it sets no trailers")
		}
		s.close()
		feed.Close()
	})
}
