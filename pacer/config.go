package pacer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
	"github.com/pacedhttp/pacedhttp/pacer/internal/sleep"
)

const (
	defaultMaxPause = time.Minute
	defaultAfter    = 5
)

// Config says what a Pacer made by [New] holds to.
type Config struct {
	// Limits all hold at once: {Calls: 20, Period: time.Second} and {Cost: 90_000,
	// Unit: "tokens", Period: time.Minute}, say. There must be at least one, unless
	// MaxInFlight or Parent is set. They may count in at most 16 units.
	Limits []Limit

	// MaxInFlight is how many slots may be granted and not Done at once; 0 means
	// unbounded. With it callers must use [Pacer.Acquire]: [Pacer.Wait] fails and
	// [Pacer.Allow] answers false.
	MaxInFlight int

	// Parent is a pacer that every start takes a slot of too, at the same moment or not at
	// all. Of those who wait here only the first waits there, so that one child that is
	// paused, slow or much in demand holds up no other. MaxWaiting, MaxWait and MaxPause are
	// for a pacer's own callers; MaxPause bounds as well how long a pause or an outage above may
	// hold them. A pause of Parent holds its children too, and only its own [Pacer.Resume] ends
	// it. Parent may have a Parent itself, and callers of its own.
	Parent *Pacer

	// Weight is this pacer's share of Parent while others wait there too: twice the Weight
	// gets twice the starts, each taken for its largest share of any of Parent's limits, at a
	// cost of 1 at least.
	// Parent's own callers are one more child of weight 1. Nobody is owed what it did not
	// want. 0 means 1; 1,000,000 is the most.
	Weight int

	// PassUp says that these limits are the program's own: what servers say, by
	// [Slot.Report], is for the next pacer above that has Limits and no PassUp, or the
	// topmost. That is always so where there are no Limits. Such a pacer may be paused by the
	// program, but never probes, and has no Outage.
	PassUp bool

	// MaxWaiting is how many callers may wait at once; one more gets
	// [ErrQueueFull]. 0 means unbounded. Who comes back, by [WithArrival] with a time
	// that has passed, is let in nevertheless: a call that was let in once is not
	// refused when it is retried. So name no arrival for a call's first attempt.
	MaxWaiting int

	// MaxWait is how long a caller may wait: one whose slot comes later gets
	// [ErrMaxWait], at once where that can be foretold and when the time is up where
	// it cannot. 0 means unbounded.
	MaxWait time.Duration

	// MaxPause is for how long a caller may be held by a pause or an outage. One whom a
	// pause, whoever asked for it, would hold longer gets [ErrPaused], at once; pauses
	// between which nothing worked are one. Probing after a pause may take 10 s more before it
	// refuses anybody, and the reset of a quota that is used up may be a second later, since
	// servers tell it in whole seconds. When an outage has lasted so long, all but its probes get [ErrDown]. 0
	// means a minute.
	MaxPause time.Duration

	// Outage says what happens when calls fail and fail, as [Slot.Report] tells. Nil means
	// that failures hold nobody back, &Outage{} that they do, by the defaults. Each pacer
	// finds out for itself.
	Outage *Outage

	// Margin is added to every Period. It makes up for what requests are delayed
	// differently on their way to a server that forgives nothing; some milliseconds,
	// mostly.
	//
	// It does not stretch a Limit with Bucket. Requests that catch up with each other draw
	// from the server's bucket at once, so there make Bucket smaller than the server's by
	// what flows back within such a delay, rounded up: by 1 for 2 a second and 5 ms.
	Margin time.Duration

	// Coarse waits on the runtime timer only. Starts may then be about a
	// millisecond late, but no thread sleeps and nothing spins: the right
	// choice for low rates and for hundreds of pacers in one process. An even
	// limit of few Calls is slower by that lateness.
	Coarse bool

	_ struct{}
}

// An Outage says when a service is taken to be down, and what becomes of callers then. While
// it is, one start at a time tries whether it still is: a probe, a tenth of the outage's length
// after the one before, at least 100 ms and at most 10 s. So the end of an outage is noticed
// within a tenth of its length, and retries do not feed it.
type Outage struct {
	// After is how many failures in a row, of different calls and with no success between,
	// make an outage. Starts with one [WithArrival] are one call. 0 means 5.
	After int

	// Refuse refuses all but the probes with [ErrDown] from the first moment. Without it they
	// wait until the outage has lasted Config.MaxPause.
	Refuse bool

	_ struct{}
}

// New returns a Pacer that holds to every Limit of cfg. The error names every
// invalid field, its value and what is allowed.
//
// Memory grows only as starts happen, while they matter: 8 bytes for each start of the
// longest window, at most 8 to 16 bytes × the largest Calls, and as much again for each
// even limit; 16 bytes for each start that a window of costs holds, 32 for each that a
// bucket has not got back. That is 8 MB for a Limit of 1,000,000 Calls per hour in full use.
// What servers say of their quotas takes some 10 kB, while a thousand requests overlap 35 kB.
func New(cfg Config) (*Pacer, error) { return newPacer(cfg, nil) }

// Must is [New] for a Config that is known to be valid. It panics if it is not.
func Must(cfg Config) *Pacer {
	p, err := New(cfg)
	if err != nil {
		panic(err)
	}
	return p
}

// Burst returns a Pacer that lets calls starts go at once, and the next as soon
// as the window allows: 5 per 10 s starts ten waiting callers at
// 0 0 0 0 0 10 10 10 10 10 s. It panics if calls < 1 or period <= 0.
func Burst(calls int, period time.Duration) *Pacer {
	return Must(Config{Limits: []Limit{{Calls: calls, Period: period}}})
}

// Drip returns a Pacer whose starts are evenly spaced: 5 per 10 s starts ten
// waiting callers at 0 2 4 6 8 10 12 14 16 18 s. It panics if calls < 1 or
// period <= 0.
func Drip(calls int, period time.Duration) *Pacer {
	return Must(Config{Limits: []Limit{{Calls: calls, Period: period, Even: true}}})
}

// newPacer makes a Pacer whose starts a remote gate decides, if there is one.
func newPacer(cfg Config, remote func(gate.Queue) gate.Remote) (*Pacer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	clock := sleep.NewClock()
	if cfg.Parent != nil {
		cfg.Parent = cfg.Parent.adopts()
		clock = cfg.Parent.clock
	}
	p := &Pacer{
		clock:      clock,
		sleeper:    sleep.New(clock, cfg.Coarse),
		limits:     slices.Clone(cfg.Limits),
		passUp:     cfg.PassUp,
		maxWaiting: cfg.MaxWaiting,
		maxWait:    cfg.MaxWait,
		maxPause:   cmp.Or(cfg.MaxPause, defaultMaxPause),
		margin:     cfg.Margin,
		refuses:    cfg.Outage != nil && cfg.Outage.Refuse,
		states:     newStates(cfg),
		came:       longAgo,
		expires:    forever,
		flights:    flights{max: cfg.MaxInFlight},
	}
	var units []string
	p.schedule, units = newSchedule(cfg.Limits, cfg.Margin)
	p.tolerance = p.schedule.tolerance()
	p.count(units)
	if remote != nil {
		p.remote = remote(viewed{p})
	}
	if cfg.Parent != nil {
		p.adopted(cfg.Parent, cmp.Or(cfg.Weight, 1))
	}
	return p, nil
}

func (cfg Config) validate() error {
	var errs []error
	if len(cfg.Limits) == 0 && cfg.MaxInFlight == 0 && cfg.Parent == nil {
		errs = append(errs, errors.New("pacer: Config.Limits is empty, must hold at least one Limit where MaxInFlight is 0 and Parent is nil"))
	}
	for i, l := range cfg.Limits {
		errs = append(errs, l.problems(fmt.Sprintf("pacer: Config.Limits[%d].", i))...)
	}
	if n := units(cfg.Limits); n > maxUnits {
		errs = append(errs, fmt.Errorf("pacer: Config.Limits counts in %d units, must be at most %d", n, maxUnits))
	}
	for _, f := range []struct {
		name, zero string
		negative   bool
		value      any
	}{
		{"MaxInFlight", " (unbounded)", cfg.MaxInFlight < 0, cfg.MaxInFlight},
		{"Weight", " (1)", cfg.Weight < 0, cfg.Weight},
		{"MaxWaiting", " (unbounded)", cfg.MaxWaiting < 0, cfg.MaxWaiting},
		{"MaxWait", " (unbounded)", cfg.MaxWait < 0, cfg.MaxWait},
		{"MaxPause", " (1m0s)", cfg.MaxPause < 0, cfg.MaxPause},
		{"Margin", "", cfg.Margin < 0, cfg.Margin},
	} {
		if f.negative {
			errs = append(errs, fmt.Errorf("pacer: Config.%s is %v, must be 0%s or more", f.name, f.value, f.zero))
		}
	}
	if cfg.Parent == nil && cfg.Weight > 0 {
		errs = append(errs, fmt.Errorf("pacer: Config.Weight is %d, must be 0 where Parent is nil", cfg.Weight))
	}
	if cfg.Weight > maxWeight {
		errs = append(errs, fmt.Errorf("pacer: Config.Weight is %d, must be at most %d", cfg.Weight, maxWeight))
	}
	if cfg.Parent == nil && cfg.PassUp {
		errs = append(errs, errors.New("pacer: Config.PassUp is true, must be false where Parent is nil"))
	}
	if cfg.Parent != nil && cfg.Parent.sleeper == nil {
		errs = append(errs, errors.New("pacer: Config.Parent is a Pacer without limits, must be made by New, Burst or Drip"))
	}
	if cfg.Outage != nil && cfg.Parent != nil && (cfg.PassUp || len(cfg.Limits) == 0) {
		errs = append(errs, errors.New("pacer: Config.Outage is set, must be nil where PassUp is true or Limits is empty: failures are Parent's business then"))
	}
	if o := cfg.Outage; o != nil && o.After < 0 {
		errs = append(errs, fmt.Errorf("pacer: Config.Outage.After is %d, must be 0 (%d) or more", o.After, defaultAfter))
	}
	return errors.Join(errs...)
}
