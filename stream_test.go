package pacedhttp

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// What net/http does to a body only now and then, when its goroutines happen to meet.

func TestEndOfAnEarlierAttemptsContextComesTooLateForTheNext(t *testing.T) {
	s := newStream(io.NopCloser(strings.NewReader("order")), 0, 10)
	earlier := s.reader(t.Context())
	current := s.reader(t.Context())
	earlier.abandon() // which a goroutine of the context's may call at any time
	if b, err := io.ReadAll(current); string(b) != "order" || err != nil {
		t.Errorf("the current attempt read %q, %v", b, err)
	}
	s.close()
}

func TestBlockedReadEndsWithItsReaderOrItsAttempt(t *testing.T) {
	for name, end := range map[string]func(*bodyReader){
		"closed":    func(b *bodyReader) { b.Close() },
		"abandoned": func(b *bodyReader) { b.abandon() },
		"cut off":   func(b *bodyReader) { b.stream.close() },
	} {
		for kind, buffer := range map[string]int64{"kept": 10, "not kept": 0} {
			if name == "closed" && buffer == 0 {
				continue // it ends with the body's own read, for which Close may not wait
			}
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					body, feed := io.Pipe()
					s := newStream(body, 0, buffer)
					b := s.reader(t.Context())
					var err error
					ended := false
					go func() { _, err = b.Read(make([]byte, 10)); ended = true }()
					synctest.Wait()
					end(b)
					synctest.Wait()
					if !ended || !errors.Is(err, errCutOff) {
						t.Errorf("the read has ended: %v, with %v", ended, err)
					}
					feed.Close()
					s.close()
				})
			})
		}
	}
}

func TestGetBodyFailsOnceTheBodyIsNotReplayable(t *testing.T) {
	s := newStream(io.NopCloser(strings.NewReader("an order")), 0, 5)
	b := s.reader(t.Context())
	if _, err := b.again(); err != nil {
		t.Errorf("before the first read: %v", err)
	}
	if _, err := io.ReadAll(b); err != nil {
		t.Error(err)
	}
	if _, err := b.again(); !errors.Is(err, errNotReplayable) {
		t.Errorf("past the buffer: %v, want %v", err, errNotReplayable)
	}
	s.close()
}

func TestBodyIsClosedByTheLastOfItsReaders(t *testing.T) {
	body, feed := io.Pipe()
	s := newStream(body, 0, 10)
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
