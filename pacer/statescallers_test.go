package pacer_test

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// mood is how the server of a world answers at a time: in phases of some seconds.
func (w *world) mood(at time.Duration) int {
	phase := uint64(at / (7 * time.Second))
	return rand.New(rand.NewPCG(phase, uint64(w.most))).IntN(8)
}

// call makes calls, one after the other, with retries.
func (w *world) call(ctx context.Context, f *fate) {
	kind := f.IntN(6)
	var came time.Time
	for time.Since(w.began) < 90*time.Second {
		pause := f.moment(2 * time.Second)
		time.Sleep(pause)
		if came = w.attempt(ctx, f, kind, came); f.IntN(4) == 0 {
			came = time.Time{}
		}
	}
}

// attempt makes one start, if it may, and tells how it went. It returns what to call its retry
// by, which is the zero Time if none is needed.
func (w *world) attempt(ctx context.Context, f *fate, kind int, came time.Time) time.Time {
	joined, deadline := time.Since(w.began), time.Duration(0)
	if f.IntN(3) == 0 {
		timeout := f.moment(20 * time.Second)
		deadline = joined + timeout
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if !came.IsZero() {
		ctx = pacer.WithArrival(ctx, came)
	}
	var slot *pacer.Slot
	var admitted pacer.Admission
	var err error
	heard := true
	switch kind {
	case 0:
		err, heard = f.pacer.Wait(ctx), false
	case 1, 2:
		slot, err = f.pacer.Acquire(ctx)
	default:
		err = f.pacer.Admit(ctx, &admitted)
	}
	w.mu.Lock()
	if err != nil {
		if ctx.Err() == nil {
			w.refused(err, joined, deadline, heard)
		}
		w.mu.Unlock()
		return came
	}
	s := &worldStart{at: time.Since(w.began), joined: joined, heard: heard}
	w.started(s)
	if f.IntN(20) == 0 && heard {
		s.gone = true
		slot.Cancel()
		admitted.Cancel()
		w.mu.Unlock()
		return time.Time{}
	}
	latency := f.moment(300 * time.Millisecond)
	mood := w.mood(s.at)
	if mood == 7 {
		latency = f.moment(20 * time.Second) // silent for long, or for ever
	}
	w.mu.Unlock()
	if !heard {
		return time.Time{}
	}
	call, tell := admitted.Came(), admitted.Report
	if slot != nil {
		call, tell = slot.Came(), slot.Report
	}
	time.Sleep(latency)
	w.mu.Lock()
	defer w.mu.Unlock()
	o := pacer.Outcome{}
	switch mood {
	case 3, 4, 5:
		o.Failed = true
	case 6:
		if o.Throttled = true; f.IntN(2) == 0 {
			o.Delay = time.Duration(1+f.IntN(15)) * time.Second
		}
	case 7:
		if f.IntN(2) == 0 {
			return time.Time{}
		}
	}
	w.report(tell, s, call, o)
	if !o.Failed && !o.Throttled {
		return time.Time{}
	}
	return call
}
