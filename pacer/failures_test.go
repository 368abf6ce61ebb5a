package pacer

import (
	"testing"
	"time"
)

func TestFailuresAreRememberedOfTheLast4096Calls(t *testing.T) {
	var f failures
	for call := range time.Duration(10_000) {
		if !f.add(call) || f.add(call) {
			t.Fatalf("call %d is not new, or new twice", call)
		}
	}
	if f.of(10_000-maxFailures-1) > 0 || f.of(10_000-maxFailures) == 0 || f.of(9_999) == 0 || len(f.calls) != maxFailures {
		t.Errorf("%d are remembered, want the last %d", len(f.calls), maxFailures)
	}
	if f.clear(); f.of(9_999) > 0 || !f.add(9_999) {
		t.Error("remembered though cleared")
	}
}
