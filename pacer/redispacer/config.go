package redispacer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

const (
	defaultPrefix = "pacedhttp:"

	maxLimits = 8                         // the script's header has room for so many
	maxCalls  = 20_000_000                // at 8 bytes a start it stays below the 512 MB of a Redis string
	maxCost   = 1 << 32                   // keeps the script's sums exact
	maxPeriod = 10 * 365 * 24 * time.Hour // keeps the script's microseconds exact
)

// Config says what a Pacer made by [New] holds to: the fields of pacer.Config that make sense
// here, and how Redis is used.
type Config struct {
	// Limits all hold at once, over all processes together; [pacer.Limit] says which there
	// are. There must be at least one and at most 8, with up to 20,000,000 Calls and 2^32
	// of Cost or Bucket, and Periods up to ten years; they are kept in whole microseconds.
	//
	// Processes that share a quota should have the same Limits. While they differ, as they
	// do in the middle of a deployment, each holds its own starts to its own, counting the
	// starts of all. The stricter then gets what the looser leaves, which may be nothing.
	Limits []pacer.Limit

	// The fields below are those of pacer.Config. What they bound is this process's own:
	// its flights, those who wait in it, the failures that it saw.
	MaxInFlight int
	MaxWaiting  int
	MaxWait     time.Duration
	MaxPause    time.Duration
	Outage      *pacer.Outage
	Margin      time.Duration

	// Timeout is how long an answer of Redis may take before it counts as a failure. 0
	// means that it follows the round trip: four of those measured, at least 250 ms. A
	// connection's first answer may take 3 s. Timeout holds whatever the client's own timeouts
	// and retries are; these bound how long an unanswered call lives on in the background.
	Timeout time.Duration

	// Fallback paces while Redis cannot be used, one caller at a time, in the queue's order.
	// It should hold to this process's share of the quota, since the others use theirs at
	// the same time. Nil means that callers get ErrUnavailable.
	Fallback pacedhttp.Waiter

	// Prefix begins the names of the quota's keys in Redis; "" means "pacedhttp:".
	Prefix string

	_ struct{}
}

// New returns a Pacer for the quota called key: all that have the same key and Prefix, on
// the same Redis, share it. Its state is two Redis keys, "pacedhttp:v2:{key}" and
// "pacedhttp:v2:{key}:line". New does not call Redis, and rdb stays the caller's to close.
//
// The error names every invalid field, its value and what is allowed.
func New(rdb redis.UniversalClient, key string, cfg Config) (*Pacer, error) {
	if err := cfg.validate(rdb, key); err != nil {
		return nil, err
	}
	prefix := cfg.Prefix
	if prefix == "" {
		prefix = defaultPrefix
	}
	var units []string
	limits := make([]gate.Limit, len(cfg.Limits))
	for i, l := range cfg.Limits {
		limits[i] = gate.Limit(l)
	}
	units = unitsOf(limits)
	r := &remote{
		script:   newScript(rdb, prefix, key, int64(rand.Uint32())),
		fixed:    cfg.Timeout,
		fallback: cfg.Fallback,
		margin:   cfg.Margin,
		units:    units,
		rules:    newRules(limits, units, cfg.Margin),
		paused:   longAgo,
	}
	local := pacer.Config{
		Limits:      cfg.Limits,
		MaxInFlight: cfg.MaxInFlight,
		MaxWaiting:  cfg.MaxWaiting,
		MaxWait:     cfg.MaxWait,
		MaxPause:    cfg.MaxPause,
		Outage:      cfg.Outage,
		Margin:      cfg.Margin,
	}
	p, err := gate.New(local, func(q gate.Queue) gate.Remote { r.queue = q; return r })
	if err != nil {
		return nil, err
	}
	return &Pacer{Pacer: p.(*pacer.Pacer), remote: r}, nil
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
	limits := make([]gate.Limit, len(cfg.Limits))
	for i, l := range cfg.Limits {
		limits[i] = gate.Limit(l)
	}
	if err := allows("Config.Limits", limits); err != nil {
		errs = append(errs, err)
	}
	if cfg.Timeout < 0 {
		invalid("Config.Timeout is %v, must be 0 (follows the round trip) or more", cfg.Timeout)
	}
	return errors.Join(errs...)
}

// allows returns what of limits cannot be held to in Redis. The rest is package pacer's to say.
func allows(name string, limits []gate.Limit) error {
	var errs []error
	invalid := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("redispacer: "+name+format, args...))
	}
	if n := len(limits); n < 1 || n > maxLimits {
		invalid(" has %d, must hold from 1 to %d", n, maxLimits)
	}
	for i, l := range limits {
		if l.Calls > maxCalls {
			invalid("[%d].Calls is %d, must be from 1 to %d", i, l.Calls, maxCalls)
		}
		if l.Cost > maxCost {
			invalid("[%d].Cost is %d, must be at most %d", i, l.Cost, maxCost)
		}
		if l.Bucket > maxCost {
			invalid("[%d].Bucket is %d, must be at most %d", i, l.Bucket, maxCost)
		}
		if l.Period > maxPeriod {
			invalid("[%d].Period is %v, must be more than 0 and at most %v", i, l.Period, maxPeriod)
		}
	}
	return errors.Join(errs...)
}

// unitsOf returns the units that limits count in as package pacer numbers them: starts first.
func unitsOf(limits []gate.Limit) []string {
	units := []string{""}
	for _, l := range limits {
		known := false
		for _, u := range units {
			known = known || u == l.Unit
		}
		if !known {
			units = append(units, l.Unit)
		}
	}
	return units
}
