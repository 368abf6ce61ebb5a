package pacedhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/waiter"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// acquire waits for a start and tells who wants to know. If w gives it a slot, held has it.
func (t *paceTransport) acquire(req *http.Request, w Waiter, a *attempt, held *holding) error {
	ctx, release := waitContext(req)
	defer release()
	if a != nil {
		a.hold()
	}
	observer := observerFrom(ctx)
	if observer != nil {
		observer.slotRequested(ctx, SlotInfo{Request: req})
	}
	var took wait
	var reason retrypolicy.Reason
	var err error
	if p, ok := w.(*pacer.Pacer); ok && observer == nil && (a == nil || a.info.Number == 1) {
		took, reason, err = admitFirst(ctx, p, &held.start)
	} else {
		took, reason, err = admit(ctx, req, w, a, observer, &held.start)
	}
	if slot := took.slot; slot != nil {
		held.slot = newSlotContext(req.Context(), slot, t)
	}
	held.began = took.began
	if a != nil {
		a.info.PacedFor += took.waited
	}
	if err == nil {
		if observer != nil {
			observer.slotAcquired(ctx, SlotInfo{Request: req, Waited: took.waited, Costs: took.slot.Costs(), InFlight: took.slot.InFlight(),
				Fallback: cmp.Or(took.slot.Fallback(), held.start.Fallback())})
		}
		return nil
	}
	if a != nil && !a.started {
		a.refused = new(reason)
	}
	why := err
	if refusal, refused := err.(*PaceError); refused {
		why = refusal.Err
	}
	observer.slotRefused(ctx, SlotInfo{Request: req, Waited: took.waited, Err: why})
	return err
}

// placed returns ctx with the place in line of a's call, if a is not its first attempt.
func placed(ctx context.Context, a *attempt) context.Context {
	if a == nil || a.info.Number == 1 || a.times.arrived == 0 {
		return ctx
	}
	if _, placed := pacer.ArrivalFromContext(ctx); placed {
		return ctx
	}
	return pacer.WithArrival(ctx, loaded.Add(a.times.arrived))
}

var (
	errMaxElapsed = errors.New("a retry would start after the policy's MaxElapsed")
	errRetryAfter = errors.New("a retry would wait for longer than the policy's MaxRetryAfter")
)

// A bound is when a retry must have started, and why a call ends that does not make it.
type bound struct {
	at     time.Duration // on uptime's clock; zero for the context's deadline, if there is one
	reason retrypolicy.Reason
	err    error
}

func boundOf(ctx context.Context, a *attempt) bound {
	b := bound{reason: retrypolicy.ReasonDeadline, err: context.DeadlineExceeded}
	if a == nil || a.info.Number == 1 {
		return b
	}
	end := time.Duration(math.MaxInt64)
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline.Sub(loaded)
	}
	before := func(from, d time.Duration, reason retrypolicy.Reason, err error) {
		if at := from + min(d, math.MaxInt64/4) + 1; at < end { // a start at that moment is not later
			b, end = bound{at, reason, err}, at
		}
	}
	if d := a.policy.MaxElapsed(); d > 0 {
		before(a.times.began, d, retrypolicy.ReasonMaxElapsed, errMaxElapsed)
	}
	if a.times.asks != 0 {
		before(a.times.asks, a.policy.MaxRetryAfter(), retrypolicy.ReasonRetryAfterTooLong, errRetryAfter)
	}
	return b
}

// A wait is that for a start.
type wait struct {
	began, waited time.Duration // on uptime's clock; began is zero where nobody asked
	slot          *pacer.Slot   // if there is one
}

// admit waits for w. If there is no start it says why: ctx has ended, which wins over one that
// comes at that moment, or w refused. How long a refusal took is measured only if somebody
// observes it.
func admit(ctx context.Context, req *http.Request, w Waiter, a *attempt, observer *observer, start *pacer.Admission) (took wait, reason retrypolicy.Reason, err error) {
	_, measures := w.(*pacer.Pacer)
	measures = measures && (a == nil || a.info.Number == 1 || a.times.asks == 0) // else the wait may have been taken up again
	if observer != nil || !measures {
		took.began = uptime()
	}
	if l := longWaitOf(ctx, observer, req, w, took.began); l != nil {
		ctx = l
		defer func() {
			if fault := l.stop(); fault != nil {
				took.slot.Cancel()
				start.Cancel()
				panic(fault)
			}
		}()
	}
	ctx = placed(ctx, a)
	for again := true; again; {
		took.slot, reason, again, err = within(ctx, boundOf(ctx, a), w, start)
		if again {
			a.times.asks = uptime()
		}
	}
	switch {
	case err == nil && measures:
		took.waited = start.Waited()
	case took.began != 0:
		took.waited = uptime() - took.began
	}
	return took, reason, err
}

// admitFirst is admit for a call's first attempt that nobody observes: nothing bounds the wait
// but ctx, and a pacer measures it.
func admitFirst(ctx context.Context, p *pacer.Pacer, start *pacer.Admission) (took wait, reason retrypolicy.Reason, err error) {
	err = p.Admit(ctx, start)
	if err == nil && ctx.Err() == nil {
		return wait{slot: start.Slot(), waited: start.Waited()}, "", nil
	}
	giveBack(start.Slot(), start)
	reason, err = refused(ctx, ctx, boundOf(ctx, nil), err)
	return wait{}, reason, err
}

// within waits until b. Where that cuts a wait that a pacer predicted to be short enough, the
// wait is to be taken up again.
func within(ctx context.Context, b bound, w Waiter, start *pacer.Admission) (slot *pacer.Slot, reason retrypolicy.Reason, again bool, err error) {
	limited := ctx
	if b.at != 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadlineCause(ctx, loaded.Add(b.at), b.err)
		defer cancel()
	}
	predicts := b.reason == retrypolicy.ReasonRetryAfterTooLong
	switch w := w.(type) {
	case *pacer.Pacer: // not what embeds one: it may have an Acquire of its own
		err = w.Admit(limited, start)
		slot = start.Slot()
	case Acquirer:
		slot, err = w.Acquire(limited)
	default:
		err = w.Wait(limited)
		predicts = false
	}
	if err == nil && ctx.Err() == nil && (predicts || limited.Err() == nil) {
		return slot, "", false, nil
	}
	giveBack(slot, start)
	if ctx.Err() == nil && predicts && uptime() >= b.at { // whoever was the first to notice
		return nil, "", true, nil
	}
	reason, err = refused(ctx, limited, b, err)
	return nil, reason, false, err
}

// giveBack gives back what came too late.
func giveBack(slot *pacer.Slot, start *pacer.Admission) {
	slot.Cancel()
	start.Cancel()
	*start = pacer.Admission{}
}

// refused says why there is no start: ctx has ended, or a Waiter said err, or b had come, which
// ends limited.
func refused(ctx, limited context.Context, b bound, err error) (retrypolicy.Reason, error) {
	switch {
	case ctx.Err() != nil:
		return retrypolicy.NewError(ctx, 0, "", nil).Reason, interrupted(ctx, err)
	case limited.Err() != nil:
		return b.reason, &PaceError{interrupted(limited, err)}
	case !waiter.TooLate(limited, err):
		return retrypolicy.Refused(err), &PaceError{err}
	case b.at != 0, !errors.Is(err, context.DeadlineExceeded):
		return b.reason, &PaceError{fmt.Errorf("%w: %w", b.err, err)}
	default:
		return b.reason, &PaceError{err}
	}
}
