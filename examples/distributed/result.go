package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// A call is one call as seen from outside its process. Times count from the beginning.
type call struct {
	begin, end time.Duration
	status     int    // 0 = no answer
	err        string // why
}

func (c call) failed() bool { return c.status != http.StatusOK }

// A result is what the show came to: what the callers got, and what the server saw.
type result struct {
	demo.Record
	began      time.Time
	took       time.Duration
	calls      []call
	roundTrips []uint64 // to Redis, of each process
}

// process tells which process made a call.
func (r result) process(call int) int { return (call - 1) % len(r.roundTrips) }

// broken says what was promised and not kept.
func (r result) broken(cfg config) error {
	if err := cfg.Check(r.Record); err != nil {
		return err
	}
	for i, c := range r.calls {
		switch {
		case c.status == 0:
			return fmt.Errorf("call %d, by %s, got no answer: %s", i+1, names[r.process(i+1)], c.err)
		case c.failed():
			return fmt.Errorf("call %d, by %s, ended with status %d", i+1, names[r.process(i+1)], c.status)
		}
	}
	return nil
}
