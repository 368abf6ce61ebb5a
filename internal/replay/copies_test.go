package replay

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

func TestPanicOfACopyLeavesItReadable(t *testing.T) {
	b := newCopyReader(patient{panicking{}}, 0)
	for range 2 {
		func() {
			defer func() {
				if v := recover(); v != "broken" {
					t.Errorf("recovered %v", v)
				}
			}()
			b.Read(make([]byte, 10))
		}()
	}
	b.Close()
}

func TestBlockedReadOfACopyEndsWithItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, feed := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		b := newCopyReader(body, 0)
		b.watch(abandonAt(ctx, b.finish))
		var err error
		go func() { _, err = b.Read(make([]byte, 10)) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the read ended with %v", err)
		}
		if _, err := feed.Write([]byte("order")); err == nil {
			t.Error("the copy was left open")
		}
		feed.Close()
	})
}
