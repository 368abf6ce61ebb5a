package redispacer

import (
	"context"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// A lent start is one that Config.Fallback let happen. One at a time is waited for there, on
// behalf of whoever is the head by then. It is guarded by the queue's lock.
type lent struct {
	cancel context.CancelFunc // of the wait; nil = nobody waits
	have   bool
	at     time.Duration
	slot   *pacer.Slot // if it gave one
	err    error       // why it gave none
}

// giveBack ends a wait, and cancels a start that nobody takes.
func (l *lent) giveBack() {
	if l.cancel != nil {
		l.cancel()
	}
	if l.have {
		l.slot.Cancel()
	}
	*l = lent{cancel: l.cancel}
}

// without answers while Redis cannot be used. It needs the queue's lock.
func (r *remote) without(now time.Duration, costs []int) gate.Answer {
	r.look(now) // for a probe, if it is time
	if r.fallback == nil {
		if r.health.probing || r.trips.looking {
			return gate.Answer{At: forever, Again: true}
		}
		return gate.Answer{At: forever, Again: true, Err: r.unavailable()}
	}
	l := &r.lent
	if l.have && now-l.at > tooLate {
		l.giveBack()
	}
	switch {
	case l.have:
		l.slot.Done()
		l.have, l.slot = false, nil
		r.counts.Fallback++
		return gate.Answer{At: now, Err: r.health.cause}
	case l.err != nil:
		err := l.err
		l.err = nil
		return gate.Answer{At: forever, Again: true, Err: err}
	case l.cancel == nil:
		ctx := context.Background()
		for u, unit := range r.units[1:] {
			ctx = pacer.WithCost(ctx, unit, costs[u+1])
		}
		ctx, l.cancel = context.WithCancel(ctx)
		go r.borrow(ctx)
	}
	if r.health.avoids(now) && !r.health.probing {
		return gate.Answer{At: r.health.probeAt, Again: true}
	}
	return gate.Answer{At: forever, Again: true}
}

// borrow waits for a start of the Fallback's.
func (r *remote) borrow(ctx context.Context) {
	var slot *pacer.Slot
	var err error
	if a, ok := r.fallback.(pacedhttp.Acquirer); ok {
		slot, err = a.Acquire(ctx)
	} else {
		err = r.fallback.Wait(ctx)
	}
	r.queue.Lock()
	defer r.queue.Unlock()
	canceled := ctx.Err() != nil
	r.lent.cancel()
	r.lent.cancel = nil
	switch {
	case canceled:
		slot.Cancel()
	case err != nil:
		r.lent.err = err
	default:
		r.lent.have, r.lent.slot, r.lent.at = true, slot, r.queue.Now()
	}
	r.queue.Wake()
}

// unavailable counts a call that fails since Redis cannot be used, and returns its error. It
// needs the queue's lock.
func (r *remote) unavailable() error {
	r.counts.Unavailable++
	return &unavailableError{r.health.cause}
}
