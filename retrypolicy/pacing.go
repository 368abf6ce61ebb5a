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
	slot   *pacer.Slot     // of the current attempt, if waiter gives slots
}

func pacingOf(ctx context.Context, w Waiter, began time.Time) pacing {
	if waiter.IsNil(w) {
		return pacing{}
	}
	if _, placed := pacer.ArrivalFromContext(ctx); !placed {
		ctx = pacer.WithArrival(ctx, began)
	}
	return pacing{waiter: w, again: ctx}
}

var errMaxElapsed = errors.New("a retry would start after the policy's MaxElapsed")

// acquire waits for the slot of an attempt that follows others, the last of which failed with
// last, and that must not start later than startBy, if that is not zero. It returns how the
// call ends where there is no slot: ctx has ended, which wins over a slot that comes at that
// moment, or the Waiter refused.
func (p *pacing) acquire(ctx context.Context, attempts int, last error, startBy time.Time) *Error {
	if p.waiter == nil {
		return nil
	}
	limited, tooLate := ctx, ReasonDeadline
	if attempts > 0 {
		limited = p.again
	}
	if !startBy.IsZero() {
		startBy = startBy.Add(1) // a start at that moment is not later
		if deadline, ok := ctx.Deadline(); !ok || startBy.Before(deadline) {
			var cancel context.CancelFunc
			limited, cancel = context.WithDeadlineCause(limited, startBy, errMaxElapsed)
			defer cancel()
			tooLate = ReasonMaxElapsed
		}
	}
	slot, err := p.ask(limited)
	if err == nil && ctx.Err() == nil && limited.Err() == nil {
		p.slot = slot
		return nil
	}
	slot.Cancel()
	reason := tooLate
	switch {
	case ctx.Err() != nil:
		return NewError(ctx, attempts, "", last)
	case limited.Err() != nil:
		err = interruption(limited, err)
	case !waiter.TooLate(limited, err):
		reason = ReasonNotRetryable
	case tooLate == ReasonMaxElapsed:
		err = fmt.Errorf("%w: %w", errMaxElapsed, err)
	case !errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	err = Permanent(err) // to a loop further out too
	if last != nil {
		err = fmt.Errorf("%w; last failure: %w", err, last)
	}
	return NewError(ctx, attempts, reason, err)
}

func (p *pacing) ask(ctx context.Context) (*pacer.Slot, error) {
	if w, ok := p.waiter.(acquirer); ok {
		return w.Acquire(ctx)
	}
	return nil, p.waiter.Wait(ctx)
}

// report tells the Waiter how an attempt went that ended with err.
func (p *pacing) report(ctx context.Context, v Verdict, err error) {
	if p.waiter == nil {
		return
	}
	if v == Unprocessed {
		p.slot.Refund()
	}
	o, known := outcome(ctx, v, err)
	if !known {
		return
	}
	if p.slot != nil {
		p.slot.Report(o)
	} else if w, ok := p.waiter.(interface{ PauseUntil(time.Time) }); ok && o.Throttled && o.Delay > 0 {
		w.PauseUntil(time.Now().Add(o.Delay))
	}
}

// outcome returns what a pacer is to know of an attempt that ended with err, if anything. What
// fails after the caller's context has ended says nothing of the service, unless the service
// itself has said so.
func outcome(ctx context.Context, v Verdict, err error) (o pacer.Outcome, known bool) {
	switch {
	case err == nil:
		return pacer.Outcome{}, true
	case v == Throttled:
		return pacer.Outcome{Throttled: true, Delay: waiter.Pause(namedDelay(err))}, true
	case v == Accept, ctx.Err() != nil:
		return pacer.Outcome{}, false
	default:
		return pacer.Outcome{Failed: true}, true
	}
}

// done ends the current attempt's slot.
func (p *pacing) done() { p.slot.Done() }
