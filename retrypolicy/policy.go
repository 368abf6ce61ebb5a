package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	defaultMaxAttempts   = 4
	defaultBackoffBase   = 100 * time.Millisecond
	defaultBackoffMax    = 10 * time.Second
	defaultMaxRetryAfter = time.Minute
	defaultThrottleBase  = time.Second
	defaultThrottleMax   = time.Minute
)

// Config says what a [Policy] does. The zero Config is a good policy for
// idempotent requests; each zero field means the default named beside it.
type Config struct {
	// MaxAttempts is the number of sends in all, the first and those that were throttled
	// included: 1 means no retry. The default is 4.
	MaxAttempts int

	// Backoff gives the delay before each retry, but see ThrottleBackoff. The default is
	// Exponential(100*time.Millisecond, 10*time.Second).
	Backoff Backoff

	// ThrottleBackoff takes Backoff's place after an attempt that was [Throttled] without a
	// delay, one of zero included, and that no pacer has taken over ([Attempt].Paced): a quota
	// takes longer to come back than a connection. The default doubles from a second up to a
	// minute, like the ceiling of Exponential(time.Second, time.Minute) but without its
	// jitter, which would only come back too early: so a server that refuses everything ends
	// a call of four attempts after 1 + 2 + 4 s.
	ThrottleBackoff Backoff

	// Classify decides what is a failure and which failures may be retried. The
	// default is [DefaultClassifier]. It must be safe for concurrent use.
	Classify Classifier

	// AttemptTimeout bounds each attempt. For an HTTP request it runs from the
	// moment the request may be sent until the response's headers are there, and
	// never cuts the body; under [Do] it bounds one call of the function, through
	// its context. Zero means no bound.
	AttemptTimeout time.Duration

	// MaxElapsed ends the call when the next attempt would start later than this
	// after the call began. It does not interrupt an attempt. Zero means no bound.
	MaxElapsed time.Duration

	// ServerDelay says how long the server wants to be left alone and whether it says so at
	// all, where [RetryAfter] does not know its header or where only the body tells, by
	// Attempt{Response: resp}.Peek. A negative delay counts as not said, and zero as said
	// without a delay. It is what [Policy.RetryAfter] answers, which is all that asks it: to
	// tell whether a 403 or 503 is Throttled, for the delay before the retry, and for the
	// pacer's pause; so perhaps several times for a response. A delay may be as long as it
	// likes: MaxRetryAfter ends the call, and a pacer is told of a day at most. ServerDelay must be
	// safe for concurrent use and must not read the response's body. A panic passes through,
	// as a Classifier's does. The default is RetryAfter of the header.
	ServerDelay func(resp *http.Response, now time.Time) (time.Duration, bool)

	// MaxRetryAfter ends the call when the server asks for a longer delay than
	// this. Where a pacer has taken the delay over ([Attempt].Paced), it ends the call whose next
	// slot would come later than this, from when the attempt failed, as the pacer predicts it:
	// a wait that was to be in time is not cut. The default is one minute.
	MaxRetryAfter time.Duration

	// Budget limits the retries of all calls that share it. Nil means no limit.
	Budget *Budget

	// ReplayBuffer is the number of bytes kept of a request body that has no
	// GetBody, so that it can be sent again; a longer body is sent once. Zero
	// means nothing is kept. It has no effect under [Do].
	ReplayBuffer int64

	_ struct{}
}

// A Policy decides about retries. It is immutable and safe for concurrent use:
// one Policy serves any number of clients. Make one with [New], [Must] or
// [Default].
type Policy struct {
	cfg    Config // valid, with every default filled in
	custom bool   // has a Classifier of the program's own
}

// New returns the policy that cfg describes, or an error that names every
// invalid field, its value and what is allowed. Negative values are invalid, and
// so are a [Backoff] of this package whose max is below its base and a [Budget]
// with a ratio outside 0 to 1.
func New(cfg Config) (*Policy, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	custom := cfg.Classify != nil
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = defaultMaxAttempts
	}
	if cfg.Backoff == nil {
		cfg.Backoff = Exponential(defaultBackoffBase, defaultBackoffMax)
	}
	if cfg.ThrottleBackoff == nil {
		cfg.ThrottleBackoff = doubling{defaultThrottleBase, defaultThrottleMax}
	}
	if cfg.MaxRetryAfter == 0 {
		cfg.MaxRetryAfter = defaultMaxRetryAfter
	}
	p := &Policy{cfg: cfg, custom: custom}
	if !custom {
		p.cfg.Classify = p.judge
	}
	return p, nil
}

// Must is [New] for a Config known to be valid, such as one written in the
// program. It panics if it is not.
func Must(cfg Config) *Policy {
	p, err := New(cfg)
	if err != nil {
		panic(err)
	}
	return p
}

// defaultPolicy is shared because a Policy is immutable.
var defaultPolicy = Must(Config{})

// Default returns the policy of the zero [Config]: four attempts, full-jitter
// backoff from 100 ms to 10 s, 1, 2, 4 … 60 s where the server throttles without a delay,
// [DefaultClassifier], no timeout and no budget.
func Default() *Policy { return defaultPolicy }

// For returns the policy in force for a call made with ctx: the one given to the
// innermost [WithPolicy], or else p. A loop that calls [Policy.Next] asks it once
// per call.
func (p *Policy) For(ctx context.Context) *Policy {
	if o, ok := overrideFrom(ctx); ok && o.policy != nil {
		return o.policy
	}
	return p
}

// Classify returns the verdict on one attempt without deciding about a retry. An
// error that declares itself final (Retryable() bool answers false) is [Accept],
// and so is an attempt with neither response nor error, a success under [Do];
// about anything else the Classifier is asked. Where it answers [Transient] to an error under
// Do that names a delay, the verdict is [Throttled].
func (p *Policy) Classify(a Attempt) Verdict {
	switch {
	case a.Err == nil && a.Response == nil:
		return Accept
	case a.Err != nil && declaredFinal(a.Err):
		return Accept
	}
	v := p.cfg.Classify(a)
	if v == Transient && a.Request == nil && namedDelay(a.Err) > 0 {
		return Throttled // the loop around a function knows no status
	}
	return v
}

// AttemptTimeout returns [Config].AttemptTimeout; zero means no bound.
func (p *Policy) AttemptTimeout() time.Duration { return p.cfg.AttemptTimeout }

// Timed reports whether [Policy.Next] or [Policy.Classify] may look at Attempt.Elapsed: there
// is a MaxElapsed, or a Classifier of the program's own. Where nothing does, who calls them
// need not read the clock for it.
func (p *Policy) Timed() bool { return p.custom || p.cfg.MaxElapsed > 0 }

// Accepts reports whether any response with this status is [Accept]. That is known of those
// below 400 where there is no Classifier of the program's own.
func (p *Policy) Accepts(status int) bool { return status < 400 && !p.custom }

// MaxElapsed returns [Config].MaxElapsed; zero means no bound.
func (p *Policy) MaxElapsed() time.Duration { return p.cfg.MaxElapsed }

// MaxRetryAfter returns [Config].MaxRetryAfter, or its default.
func (p *Policy) MaxRetryAfter() time.Duration { return p.cfg.MaxRetryAfter }

// ReplayBuffer returns [Config].ReplayBuffer; zero means nothing is kept.
func (p *Policy) ReplayBuffer() int64 { return p.cfg.ReplayBuffer }

// A validator knows whether its own settings make sense. The constructors of
// backoffs and budgets cannot fail, so New asks.
type validator interface{ validate() error }

func (c Config) validate() error {
	var errs []error
	refuse := func(field string, value any, allowed string) {
		errs = append(errs, fmt.Errorf("retrypolicy: Config.%s is %v, %s", field, value, allowed))
	}
	if c.MaxAttempts < 0 {
		refuse("MaxAttempts", c.MaxAttempts, "must be at least 1 (0 means the default, 4)")
	}
	check := func(field string, value any) {
		if v, ok := value.(validator); ok {
			if err := v.validate(); err != nil {
				errs = append(errs, fmt.Errorf("retrypolicy: Config.%s is %w", field, err))
			}
		}
	}
	check("Backoff", c.Backoff)
	check("ThrottleBackoff", c.ThrottleBackoff)
	if c.AttemptTimeout < 0 {
		refuse("AttemptTimeout", c.AttemptTimeout, "must not be negative (0 means none)")
	}
	if c.MaxElapsed < 0 {
		refuse("MaxElapsed", c.MaxElapsed, "must not be negative (0 means none)")
	}
	if c.MaxRetryAfter < 0 {
		refuse("MaxRetryAfter", c.MaxRetryAfter, "must not be negative (0 means the default, 1m)")
	}
	if c.Budget != nil {
		check("Budget", c.Budget)
	}
	if c.ReplayBuffer < 0 {
		refuse("ReplayBuffer", c.ReplayBuffer, "must not be negative (0 means nothing is kept)")
	}
	return errors.Join(errs...)
}
