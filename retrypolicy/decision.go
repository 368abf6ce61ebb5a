package retrypolicy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// An Attempt is what a [Policy] is told about one finished attempt.
type Attempt struct {
	// Number counts the attempts of a call from 1, the first send.
	Number int

	// Request is the caller's request, whose context is the caller's too. It is
	// nil under [Do].
	Request *http.Request

	// Response is nil if the attempt failed with an error, and under [Do]. Its
	// status and header may be read; its body must be left alone, but for [Attempt.Peek].
	Response *http.Response

	// Err is the attempt's error, nil if there is a response.
	Err error

	// Elapsed is the time since the call began.
	Elapsed time.Duration

	// Previous is the delay before this attempt, zero before the first.
	Previous time.Duration

	// Replayable says that the request, body included, can be sent again. It is
	// always true under [Do].
	Replayable bool

	// Paced says that a pacer below was told of the delay that the server asked for, or that
	// it throttles without one, and holds back whoever sends next: [Policy.Next] answers Delay 0
	// and does not ask Config.MaxRetryAfter. What else ends a call still does.
	Paced bool
}

// A Decision is a [Policy]'s answer about one attempt.
type Decision struct {
	Retry   bool          // make another attempt …
	Delay   time.Duration // … after this; zero without Retry
	Verdict Verdict       // what the attempt was taken for
	Reason  Reason        // why no other attempt is made; empty with Retry
}

// A Reason says why a call made no further attempt. The values are stable and
// few, fit for a metric's attribute.
type Reason string

// The reasons, in the order in which [Policy.Next] looks for them.
const (
	ReasonAccepted            Reason = "accepted"              // the response, or success, is the result
	ReasonCanceled            Reason = "canceled"              // the caller cancelled the context
	ReasonDeadline            Reason = "deadline"              // the caller's deadline passed, or the delay would outlive it
	ReasonNotRetryable        Reason = "not_retryable"         // an error that another attempt would not change
	ReasonMaxAttempts         Reason = "max_attempts"          // Config.MaxAttempts were made, or WithoutRetry
	ReasonMethodNotIdempotent Reason = "method_not_idempotent" // it may have been processed, and its method or a precondition forbids a second time
	ReasonBodyNotReplayable   Reason = "body_not_replayable"   // the request body cannot be sent again
	ReasonRetryAfterTooLong   Reason = "retry_after_too_long"  // the server asks for more than Config.MaxRetryAfter, or the pacer that took its delay over does
	ReasonMaxElapsed          Reason = "max_elapsed"           // the next attempt would start after Config.MaxElapsed
	ReasonBudgetExhausted     Reason = "budget_exhausted"      // Config.Budget allows no retry now
)

// The reasons of a pacer that refused the slot of an attempt for its own sake. One that comes
// later than the call may wait for is one of those above.
const (
	ReasonPaused    Reason = "paused"     // it is paused for longer than it lets anyone wait
	ReasonDown      Reason = "down"       // the service has failed for too long
	ReasonMaxWait   Reason = "max_wait"   // no slot comes within its MaxWait
	ReasonQueueFull Reason = "queue_full" // too many wait already
	ReasonTooCostly Reason = "too_costly" // the call costs more than a limit ever allows
)

// Pacing reports whether r is a pacer's own.
func (r Reason) Pacing() bool {
	switch r {
	case ReasonPaused, ReasonDown, ReasonMaxWait, ReasonQueueFull, ReasonTooCostly:
		return true
	}
	return false
}

// Refused returns why a call ends whose pacer refused with err: the Reason that err's
// ErrorType tells, as those of package pacer do ("pacing_" and the Reason), or
// [ReasonNotRetryable]. That a slot comes too late for the call's own sake it does not know.
func Refused(err error) Reason {
	if named, ok := errors.AsType[interface {
		error
		ErrorType() string
	}](err); ok {
		if r, found := strings.CutPrefix(named.ErrorType(), pacingPrefix); found && Reason(r).Pacing() {
			return Reason(r)
		}
	}
	return ReasonNotRetryable
}

const pacingPrefix = "pacing_"

// Wait sleeps for d.Delay and reports whether ctx is still alive. A context that
// ends at the very moment the delay does wins: nothing more may be sent.
func (d Decision) Wait(ctx context.Context) bool {
	if d.Delay > 0 {
		timer := time.NewTimer(d.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// Next decides what follows attempt a of a call made with ctx, the caller's
// context and not one derived for the attempt. It must be called once after every
// attempt, the successful ones included: the call with Number 1 is what the
// [Budget] counts. Next never sleeps; waiting Decision.Delay is up to its caller.
//
// Next obeys [WithoutRetry]. It does not look for [WithPolicy]: that is
// [Policy.For], once per call.
func (p *Policy) Next(ctx context.Context, a Attempt) Decision {
	return p.Decide(ctx, &a, p.Classify(a))
}

// CountCall tells the Budget of a call's attempt, counted from 1; the first counts as the call.
// [Policy.Decide] does so itself: CountCall is for who need not ask it, since the attempt brought
// what is [Accept] without an error.
func (p *Policy) CountCall(number int) {
	if number == 1 {
		p.cfg.Budget.countCall()
	}
}

// Decide is [Policy.Next] for an attempt on which [Policy.Classify] has given its verdict.
func (p *Policy) Decide(ctx context.Context, a *Attempt, v Verdict) Decision {
	p.CountCall(a.Number)
	switch {
	case v == Accept && a.Err == nil:
		return stop(v, ReasonAccepted)
	case ctx.Err() != nil:
		return stop(v, endReason(ctx))
	case v == Accept:
		return stop(v, ReasonNotRetryable)
	case a.Number >= p.cfg.MaxAttempts || retryOff(ctx):
		return stop(v, ReasonMaxAttempts)
	case mayBeProcessed(v, a.Response) && !Idempotent(a.Request):
		return stop(v, ReasonMethodNotIdempotent)
	case !a.Replayable:
		return stop(v, ReasonBodyNotReplayable)
	}

	now := time.Now()
	var delay time.Duration
	if !a.Paced {
		asked := p.askedDelay(a, now)
		if asked > p.cfg.MaxRetryAfter {
			return stop(v, ReasonRetryAfterTooLong)
		}
		delay = p.delay(a, v, asked)
	}
	if p.cfg.MaxElapsed > 0 && delay > p.cfg.MaxElapsed-a.Elapsed {
		return stop(v, ReasonMaxElapsed)
	}
	if deadline, ok := ctx.Deadline(); ok && delay >= deadline.Sub(now) {
		return stop(v, ReasonDeadline)
	}
	// Last, because a retry that something else forbids must not be charged.
	if !p.cfg.Budget.allowRetry() {
		return stop(v, ReasonBudgetExhausted)
	}
	return Decision{Retry: true, Delay: delay, Verdict: v}
}

func stop(v Verdict, r Reason) Decision { return Decision{Verdict: v, Reason: r} }

// endReason names the end of a context that is done.
func endReason(ctx context.Context) Reason {
	if ctx.Err() == context.DeadlineExceeded {
		return ReasonDeadline
	}
	return ReasonCanceled
}
