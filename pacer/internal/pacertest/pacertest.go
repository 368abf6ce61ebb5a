// Package pacertest is the table of what every pacer guarantees, wherever it keeps its
// state. Each guarantee is checked in a bubble of virtual time, to the nanosecond.
//
// It imports no pacer, so that package pacer and all below it go on importing nothing
// but the standard library.
package pacertest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A Pacer is what is under test.
type Pacer interface {
	Wait(ctx context.Context) error
	PauseUntil(t time.Time)
}

// A Limit converts to a pacer.Limit.
type Limit struct {
	Calls  int
	Cost   int
	Unit   string
	Period time.Duration
	Even   bool
	Bucket int
}

// A Subject is one kind of pacer.
type Subject struct {
	New         func(t *testing.T, limits ...Limit) Pacer // called in the bubble it is used in
	Zero        Pacer                                     // one that was never made
	ErrDeadline error                                     // what a refusal for the deadline's sake matches
	AtLeast     bool                                      // the wait that a refusal predicts may be short of the whole
}

// Run checks every guarantee.
func Run(t *testing.T, s Subject) {
	for _, g := range slices.Concat(windows, queues, cancellations, deadlines, pauses) {
		t.Run(g.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &callers{t: t, subject: s, began: time.Now()}
				if len(g.limits) > 0 {
					c.pacer = s.New(t, g.limits...)
				}
				g.check(c)
				c.wg.Wait()
				for _, one := range c.calls {
					one.cancel()
				}
				synctest.Wait() // for what the pacer does behind the last call
			})
		})
	}
}

// A guarantee is checked on a pacer with these limits.
type guarantee struct {
	name   string
	limits []Limit
	check  func(*callers)
}

func burst(calls int, period time.Duration) []Limit { return []Limit{{Calls: calls, Period: period}} }

func drip(calls int, period time.Duration) []Limit {
	return []Limit{{Calls: calls, Period: period, Even: true}}
}
