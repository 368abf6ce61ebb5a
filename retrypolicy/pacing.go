package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/waiter"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A Waiter blocks until the caller may go ahead, or returns why it may not. It must be safe
// for concurrent use and return when ctx is done. A refusal within a minute of ctx's deadline
// is taken to mean that the wait would outlive it, unless the error has a method
// ErrorType() string and does not match context.DeadlineExceeded. *pacer.Pacer,
// *redispacer.Pacer and *rate.Limiter of golang.org/x/time are Waiters.
//
// What more a Waiter may have tells [Call].
type Waiter interface {
	Wait(ctx context.Context) error
}

var _ acquirer = (*pacer.Pacer)(nil)

type acquirer interface {
	Acquire(ctx context.Context) (*pacer.Slot, error)
}

// A pacing is what a call has to do with its Pacer. The zero pacing is that of a call that
// has none.
type pacing struct {
	waiter Waiter
	again  context.Context // the caller's, with the call's place in the queue: that of retries
	placed bool            // by the caller
	slot   *pacer.Slot     // of the current attempt, if waiter gives slots
	asked  time.Time       // when it was asked for the slot; of one that follows a Paced attempt, no later than that ended
}

func pacingOf(ctx context.Context, w Waiter, began time.Time) pacing {
	if waiter.IsNil(w) {
		return pacing{}
	}
	_, placed := pacer.ArrivalFromContext(ctx)
	if !placed {
		ctx = pacer.WithArrival(ctx, began)
	}
	return pacing{waiter: w, again: ctx, placed: placed}
}

var (
	errMaxElapsed = errors.New("a retry would start after the policy's MaxElapsed")
	errRetryAfter = errors.New("a retry would wait for longer than the policy's MaxRetryAfter")
)

// A bound is when a retry must have started, and why a call ends that does not make it.
type bound struct {
	at     time.Time // zero for the context's deadline, if there is one
	reason Reason
	err    error
}

// boundOf returns the bound of the attempt that follows a.
func (p *pacing) boundOf(ctx context.Context, policy *Policy, began time.Time, a *Attempt) bound {
	b := bound{reason: ReasonDeadline, err: context.DeadlineExceeded}
	if a.Number == 1 {
		return b
	}
	before := func(at time.Time, reason Reason, err error) {
		at = at.Add(1) // a start at that moment is not later
		end := b.at
		if end.IsZero() {
			end, _ = ctx.Deadline()
		}
		if end.IsZero() || at.Before(end) {
			b = bound{at, reason, err}
		}
	}
	if d := policy.MaxElapsed(); d > 0 {
		before(began.Add(d), ReasonMaxElapsed, errMaxElapsed)
	}
	if a.Paced {
		before(p.asked.Add(policy.MaxRetryAfter()), ReasonRetryAfterTooLong, errRetryAfter)
	}
	return b
}

// acquire waits for the slot of attempt a, which as yet tells of the attempt before it. It
// returns how the call ends where there is no slot: ctx has ended, which wins over a slot that
// comes at that moment, or the Waiter refused.
func (p *pacing) acquire(ctx context.Context, policy *Policy, began time.Time, a *Attempt) *Error {
	if p.waiter == nil {
		return nil
	}
	for {
		b := p.boundOf(ctx, policy, began, a)
		failure, again := p.within(ctx, b, a)
		if !again {
			return failure
		}
		p.asked = b.at
	}
}

// within waits until b. Where that cuts a wait that a pacer predicted to be short enough, it is
// to be taken up again.
func (p *pacing) within(ctx context.Context, b bound, a *Attempt) (failure *Error, again bool) {
	limited := ctx
	if a.Number > 1 {
		limited = p.again
	}
	if !b.at.IsZero() {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadlineCause(limited, b.at, b.err)
		defer cancel()
	}
	_, predicts := p.waiter.(acquirer)
	predicts = predicts && b.reason == ReasonRetryAfterTooLong
	slot, err := p.ask(limited)
	if err == nil && ctx.Err() == nil && (predicts || limited.Err() == nil) {
		p.slot = slot
		if came := slot.Came(); a.Number == 1 && !p.placed && !came.IsZero() {
			p.again = pacer.WithArrival(ctx, came) // by which the pacer knows the call
		}
		return nil, false
	}
	slot.Cancel()
	reason := b.reason
	switch {
	case ctx.Err() != nil:
		return NewError(ctx, a.Number-1, "", a.Err), false
	case predicts && !time.Now().Before(b.at): // whoever was the first to notice
		return nil, true
	case limited.Err() != nil:
		err = interruption(limited, err)
	case !waiter.TooLate(limited, err):
		reason = Refused(err)
	case !b.at.IsZero(), !errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("%w: %w", b.err, err)
	}
	err = Permanent(err) // to a loop further out too
	if a.Err != nil {
		err = fmt.Errorf("%w; last failure: %w", err, a.Err)
	}
	return NewError(ctx, a.Number-1, reason, err), false
}

func (p *pacing) ask(ctx context.Context) (*pacer.Slot, error) {
	if w, ok := p.waiter.(acquirer); ok {
		return w.Acquire(ctx)
	}
	return nil, p.waiter.Wait(ctx)
}

// report tells the Waiter how an attempt went that ended with err, and returns whether the
// delay before the next is the Waiter's now.
func (p *pacing) report(ctx context.Context, v Verdict, err error) (paced bool) {
	if p.waiter == nil {
		return false
	}
	if v == Unprocessed {
		p.slot.Refund()
	}
	o, known := outcome(ctx, v, err)
	if !known {
		return false
	}
	p.asked = time.Now()
	if p.slot != nil {
		p.slot.Report(o)
		return o.Throttled
	}
	if w, ok := p.waiter.(interface{ PauseUntil(time.Time) }); ok && o.Throttled && o.Delay > 0 {
		w.PauseUntil(p.asked.Add(o.Delay))
	}
	return false
}

// outcome returns what a pacer is to know of an attempt that ended with err, if anything. What
// fails after the caller's context has ended says nothing of the service, unless the service
// itself has said so.
func outcome(ctx context.Context, v Verdict, err error) (o pacer.Outcome, known bool) {
	switch {
	case err == nil:
		return pacer.Outcome{}, true
	case v == Throttled:
		o.Delay, o.Throttled = waiter.Pause(namedDelay(err))
		o.Failed = !o.Throttled
		return o, true
	case v == Accept, ctx.Err() != nil:
		return pacer.Outcome{}, false
	default:
		return pacer.Outcome{Failed: true}, true
	}
}

// done ends the current attempt's slot.
func (p *pacing) done() { p.slot.Done() }
