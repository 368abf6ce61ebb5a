package demo

import (
	"testing"
	"time"
)

func TestMoreThanTheQuotaInAWindowIsAnError(t *testing.T) {
	cfg := Config{Quota: 5}
	for busiest, want := range map[int]string{5: "", 6: "the server counted 6 requests in a window that allows 5"} {
		got := ""
		if err := cfg.Check(Record{Busiest: busiest}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%d requests: %q, want %q", busiest, got, want)
		}
	}
}

func TestIdealIsTheLeastTimeForWhatWasLetIn(t *testing.T) {
	cfg := Config{Quota: 5, Period: time.Second}
	for admitted, want := range map[int]time.Duration{0: 0, 1: 0, 5: 0, 6: time.Second, 10: time.Second, 11: 2 * time.Second} {
		if got := cfg.Ideal(Record{Admitted: admitted}); got != want {
			t.Errorf("%d requests: %v, want %v", admitted, got, want)
		}
	}
}
