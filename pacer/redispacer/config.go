package redispacer

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/sleep"
)

const (
	defaultTimeout = 250 * time.Millisecond

	maxLimits = 8                         // the script's header has room for so many
	maxCalls  = 20_000_000                // at 22 bytes a start it stays below the 512 MB of a Redis string
	maxPeriod = 10 * 365 * 24 * time.Hour // keeps the script's microseconds exact
	maxLease  = 1000
)

// Config says what a Pacer made by [New] holds to. Processes that share a quota
// should have the same Limits; while they differ, as they do in the middle of a
// deployment, each decides by its own on the starts of all.
type Config struct {
	// Limits all hold at once, over all processes together. There must be at least
	// one and at most 8, with up to 20,000,000 Calls and Periods up to ten years;
	// they are kept in whole microseconds.
	Limits []pacer.Limit

	// Timeout is how long a caller waits for Redis to answer, 0 means 250 ms. It
	// holds whatever the client's own timeouts and retries are; these bound how
	// long an unanswered call lives on in the background.
	Timeout time.Duration

	// Fallback paces while Redis cannot be used. It should hold to this process's
	// share of the quota, since the others use theirs at the same time. nil means
	// that Wait fails with ErrUnavailable.
	Fallback pacedhttp.Waiter

	// Lease is how many starts one round trip may reserve for callers who wait in
	// this process; 0 means 1, the largest is 1000. Above 1 a round trip is put off
	// until so many callers have no start reserved, or until no more than half of
	// Lease, or of the callers who wait if those are fewer, have one. That saves
	// round trips and never weakens a limit, but a caller stands behind those who
	// reserve in other processes meanwhile, and may learn that its deadline cannot
	// be met only when its turn to reserve comes.
	Lease int

	_ struct{}
}

// New returns a Pacer for the quota called key: all that have the same key, on the
// same Redis, share it. Its state is one Redis key, "pacedhttp:{key}". New does not
// call Redis, and rdb stays the caller's to close.
//
// The error names every invalid field, its value and what is allowed.
func New(rdb redis.UniversalClient, key string, cfg Config) (*Pacer, error) {
	if err := cfg.validate(rdb, key); err != nil {
		return nil, err
	}
	clock := sleep.NewClock()
	p := &Pacer{
		clock:    clock,
		sleeper:  sleep.New(clock, false),
		script:   newScript(rdb, key, cfg.Limits),
		timeout:  cfg.Timeout,
		fallback: cfg.Fallback,
		lease:    max(cfg.Lease, 1),
	}
	if p.timeout == 0 {
		p.timeout = defaultTimeout
	}
	for _, l := range cfg.Limits {
		p.span = max(p.span, l.Period)
	}
	return p, nil
}

func (cfg Config) validate(rdb redis.UniversalClient, key string) error {
	var errs []error
	invalid := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("redispacer: "+format, args...))
	}
	if rdb == nil {
		invalid("the client is nil, must be a redis.UniversalClient")
	}
	if key == "" {
		invalid("the key is empty, must name the quota")
	}
	if n := len(cfg.Limits); n < 1 || n > maxLimits {
		invalid("Config.Limits has %d, must hold from 1 to %d", n, maxLimits)
	}
	for i, l := range cfg.Limits {
		if l.Calls < 1 || l.Calls > maxCalls {
			invalid("Config.Limits[%d].Calls is %d, must be from 1 to %d", i, l.Calls, maxCalls)
		}
		if l.Period <= 0 || l.Period > maxPeriod {
			invalid("Config.Limits[%d].Period is %v, must be more than 0 and at most %v", i, l.Period, maxPeriod)
		}
		if l.Cost != 0 || l.Unit != "" {
			invalid("Config.Limits[%d] is %q, must be on Calls alone", i, l)
		}
		if l.Bucket != 0 {
			invalid("Config.Limits[%d].Bucket is %d, must be 0", i, l.Bucket)
		}
	}
	if cfg.Timeout < 0 {
		invalid("Config.Timeout is %v, must be 0 (%v) or more", cfg.Timeout, defaultTimeout)
	}
	if cfg.Lease < 0 || cfg.Lease > maxLease {
		invalid("Config.Lease is %d, must be 0 (1) or from 1 to %d", cfg.Lease, maxLease)
	}
	return errors.Join(errs...)
}
