package pacedhttp

import (
	"io"
	"strings"
	"testing"
)

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
