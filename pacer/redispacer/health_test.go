package redispacer

import (
	"errors"
	"testing"
	"time"
)

// Processes that failed together must not come back together.
func TestProbesAreSpreadAtRandom(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		var h health
		h.failed(errors.New("down"), 0)
		if h.probeAt > firstProbe || h.probeAt < firstProbe*4/5 {
			t.Errorf("probes at %v, want from %v to %v", h.probeAt, firstProbe*4/5, firstProbe)
		}
		seen[h.probeAt] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 processes probe at %d different times", len(seen))
	}
}
