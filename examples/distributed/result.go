package main

import (
	"fmt"
	"net/http"
	"time"
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
	record
	began      time.Time
	took       time.Duration
	calls      []call
	roundTrips []uint64 // to Redis, of each process
}

// process tells which process made a call.
func (r result) process(call int) int { return (call - 1) % len(r.roundTrips) }

// broken says what was promised and not kept.
func (r result) broken(cfg config) error {
	if r.busiest > cfg.quota {
		return fmt.Errorf("the server counted %d requests in a window that allows %d", r.busiest, cfg.quota)
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

// ideal is the least time in which the requests that the server let in fit its quota.
func (r result) ideal(cfg config) time.Duration {
	return time.Duration(max(r.admitted-1, 0)/cfg.quota) * cfg.period
}

// A step is how far the show has come.
type step struct {
	record
	done, calls int
	took        time.Duration
}
