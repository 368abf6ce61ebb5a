// Package demo is what the examples that call a server with a quota have in common: the command line, the server that counts,
// and the screen on which it is shown what came of the calls.
package demo

import (
	"fmt"
	"time"
)

// Config is the command line, as far as the examples agree.
type Config struct {
	Calls, Goroutines int
	Quota             int           // requests the server allows …
	Period            time.Duration // … in any window of this length
	Tolerance         time.Duration // by which the server's window is shorter, see API
	FailEvery         int           // one in how many is answered with 503; 0 = none
}

// Window is the length of the server's window.
func (c Config) Window() time.Duration { return c.Period - c.Tolerance }

// Check returns an error if the server counted more in a window than its quota.
func (c Config) Check(r Record) error {
	if r.Busiest > c.Quota {
		return fmt.Errorf("the server counted %d requests in a window that allows %d", r.Busiest, c.Quota)
	}
	return nil
}

// Ideal is the least time in which the requests that the server let in fit its quota.
func (c Config) Ideal(r Record) time.Duration {
	return time.Duration(max(r.Admitted-1, 0)/c.Quota) * c.Period
}
