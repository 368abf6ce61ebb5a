package pacer

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/sleep"
)

// A Limit allows at most Calls starts in any window of length Period,
// wherever the window begins.
type Limit struct {
	Calls  int           // at most this many starts; at least 1
	Period time.Duration // in any window of this length; more than 0
	Even   bool          // and evenly spaced, Period/Calls apart
}

// Config says what a Pacer made by [New] holds to.
type Config struct {
	// Limits all hold at once: {20, time.Second} and {1000, time.Hour}, say.
	// There must be at least one.
	Limits []Limit

	// MaxWaiting is how many callers may wait at once; one more gets
	// [ErrQueueFull]. 0 means unbounded.
	MaxWaiting int

	// Coarse waits on the runtime timer only. Starts may then be about a
	// millisecond late, but no thread sleeps and nothing spins: the right
	// choice for low rates and for hundreds of pacers in one process. An even
	// limit of few Calls is slower by that lateness.
	Coarse bool

	_ struct{}
}

// New returns a Pacer that holds to every Limit of cfg. The error names every
// invalid field, its value and what is allowed.
//
// Memory is 8 bytes for each start of the longest window, at most 8 to 16 bytes
// × the largest Calls, and grows only as starts happen: 8 MB for a Limit of
// {1_000_000, time.Hour} in full use.
func New(cfg Config) (*Pacer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	clock := sleep.NewClock()
	return &Pacer{
		clock:      clock,
		sleeper:    sleep.New(clock, cfg.Coarse),
		maxWaiting: cfg.MaxWaiting,
		schedule:   newSchedule(cfg.Limits),
	}, nil
}

// Burst returns a Pacer that lets calls starts go at once, and the next as soon
// as the window allows: 5 per 10 s starts ten waiting callers at
// 0 0 0 0 0 10 10 10 10 10 s. It panics if calls < 1 or period <= 0.
func Burst(calls int, period time.Duration) *Pacer {
	return must(Limit{Calls: calls, Period: period})
}

// Drip returns a Pacer whose starts are evenly spaced: 5 per 10 s starts ten
// waiting callers at 0 2 4 6 8 10 12 14 16 18 s. It panics if calls < 1 or
// period <= 0.
func Drip(calls int, period time.Duration) *Pacer {
	return must(Limit{Calls: calls, Period: period, Even: true})
}

func must(l Limit) *Pacer {
	p, err := New(Config{Limits: []Limit{l}})
	if err != nil {
		panic(err)
	}
	return p
}

func (cfg Config) validate() error {
	var errs []error
	if len(cfg.Limits) == 0 {
		errs = append(errs, errors.New("pacer: Config.Limits is empty, must hold at least one Limit"))
	}
	for i, l := range cfg.Limits {
		if l.Calls < 1 {
			errs = append(errs, fmt.Errorf("pacer: Config.Limits[%d].Calls is %d, must be from 1 to %d", i, l.Calls, math.MaxInt))
		}
		if l.Period <= 0 {
			errs = append(errs, fmt.Errorf("pacer: Config.Limits[%d].Period is %v, must be more than 0", i, l.Period))
		}
	}
	if cfg.MaxWaiting < 0 {
		errs = append(errs, fmt.Errorf("pacer: Config.MaxWaiting is %d, must be 0 (unbounded) or more", cfg.MaxWaiting))
	}
	return errors.Join(errs...)
}
