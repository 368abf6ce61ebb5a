package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// pushedBack is the error of a client that hands on what RetryAfter read.
type pushedBack struct{ header http.Header }

func (e pushedBack) Error() string { return "do not retry this call" }

func (e pushedBack) RetryAfter() time.Duration {
	d, _ := RetryAfter(e.header, time.Now())
	return d
}

// quota.RetryAfter: "it is said of this one call, so a pacer must not take it for a pause of all".
func TestACallThatMustNotBeRetriedPausesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(100, time.Second)
		err := pushedBack{http.Header{"Grpc-Retry-Pushback-Ms": {"-1"}}}
		if err.RetryAfter() != math.MaxInt64 {
			t.Fatal(err.RetryAfter())
		}
		Call[int]{Pacer: p}.Do(t.Context(), func(context.Context) (int, error) { return 0, err })
		if !p.Allow() {
			t.Errorf("everybody is paused until %v", time.Until(p.Stats().PausedUntil))
		}
	})
}

// slowValue is a context that is slow to say where its call stands in the queue, as a goroutine
// is that loses its processor there.
type slowValue struct {
	context.Context
	once *sync.Once
}

func (c slowValue) Value(key any) any {
	if _, ok := key.(interface{ never() }); !ok && fmt.Sprintf("%T", key) == "pacer.arrivalKey" {
		c.once.Do(func() { time.Sleep(2 * time.Second) })
	}
	return c.Context.Value(key)
}

// Config.MaxWaiting: "how many callers may wait at once; one more gets ErrQueueFull. Who comes
// back to a place before the last waiter's … is let in nevertheless." A first attempt does not
// come back.
func TestMaxWaitingHoldsForFirstAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute}}, MaxWaiting: 1})
		p.Allow()
		c := Call[int]{Pacer: p}
		nothing := func(context.Context) (int, error) { return 0, nil }
		go c.Do(slowValue{t.Context(), new(sync.Once)}, nothing)
		time.Sleep(time.Second)
		go c.Do(t.Context(), nothing)
		time.Sleep(2 * time.Second)
		if n := p.Stats().Waiting; n > 1 {
			t.Errorf("%d first attempts wait where MaxWaiting is 1", n)
		}
		time.Sleep(time.Hour)
	})
}

// noSlot is an Acquirer that has no use for slots, but can pause.
type noSlot struct{ pausable }

func (w *noSlot) Acquire(ctx context.Context) (*pacer.Slot, error) { return nil, w.Wait(ctx) }

// Pace tells such a one of pauses, by PauseUntil; Call does not.
func TestAnAcquirerWithoutASlotIsToldOfPauses(t *testing.T) {
	w := &noSlot{pausable{waits: func(context.Context) error { return nil }}}
	Call[int]{Pacer: w, Policy: Must(Config{MaxAttempts: 1})}.Do(t.Context(), script(new([]time.Duration), asks(time.Second)))
	if len(w.until) != 1 {
		t.Errorf("told of %d pauses, want 1", len(w.until))
	}
}

// Call: "no slot stays in flight", whatever ends fn or anything else of the program's.
func TestNoSlotStaysInFlight(t *testing.T) {
	panics := Must(Config{Classify: func(Attempt) Verdict { panic("classifier") }})
	exits := Must(Config{Classify: func(Attempt) Verdict { runtime.Goexit(); return 0 }})
	for name, c := range map[string]Call[int]{
		"Classify panics": {Policy: panics}, "Classify exits": {Policy: exits},
		"OnRetry panics":  {OnRetry: func(context.Context, error, int, time.Duration) { panic("hook") }},
		"Fallback panics": {Policy: Must(Config{MaxAttempts: 1}), Fallback: func(context.Context, error) (int, error) { panic("fallback") }},
		"Fallback exits":  {Policy: Must(Config{MaxAttempts: 1}), Fallback: func(context.Context, error) (int, error) { runtime.Goexit(); return 0, nil }},
	} {
		p := pacer.Must(pacer.Config{MaxInFlight: 1})
		c.Pacer = p
		done := make(chan bool)
		go func() {
			defer close(done)
			defer func() { recover() }()
			c.Do(t.Context(), func(context.Context) (int, error) { return 0, errBoom })
		}()
		<-done
		if n := p.Stats().InFlight; n != 0 {
			t.Errorf("%s: %d in flight", name, n)
		}
	}
}

// Do returns "what fn returned last" and never an error that is a nil *Error.
func TestNilPointersAndTypes(t *testing.T) {
	v, err := Call[*int]{Pacer: (*pacer.Pacer)(nil)}.Do(t.Context(), func(context.Context) (*int, error) { return nil, nil })
	if v != nil || err != nil {
		t.Error(v, err)
	}
	e, err := Call[error]{}.Do(t.Context(), func(context.Context) (error, error) { return errBoom, nil })
	if e != errBoom || err != nil {
		t.Error(e, err)
	}
	if Permanent(nil) != nil {
		t.Error("Permanent of nil")
	}
}

// Call.Pacer: "Failed for any other failure that the policy would retry": and a cost given back
// where the server acted on nothing, "but not its start".
func TestKeyedPacerIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, err := pacer.NewKeyed(pacer.KeyedConfig{MaxKeys: 1, New: func(string) *pacer.Pacer {
			return pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}, MaxInFlight: 1})
		}})
		if err != nil {
			t.Fatal(err)
		}
		a := k.Get("a")
		k.Get("b")
		var at []time.Duration
		if _, err := (Call[int]{Pacer: a, Policy: Must(Config{Backoff: Constant(0)})}).Do(t.Context(), script(&at, errBoom, errBoom)); err != nil || fmt.Sprint(at) != "[0s 1s 2s]" {
			t.Errorf("%v at %v", err, at)
		}
	})
}

// Call.Pacer: "A retry stands in the queue at the place of its call …, so that
// Config.MaxWaiting of a pacer does not refuse it".
func TestMaxWaitingRefusesNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: time.Minute}}, MaxWaiting: 1})
		c := Call[int]{Pacer: p, Policy: Must(Config{MaxAttempts: 2, Backoff: Constant(time.Second)})}
		errs := make(chan error, 2)
		call := func() {
			n := 0
			_, err := c.Do(t.Context(), func(context.Context) (int, error) {
				if n++; n == 1 {
					return 0, errBoom
				}
				return n, nil
			})
			errs <- err
		}
		go call()
		time.Sleep(100 * time.Millisecond)
		go call()
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// Traps: where flights are limited, Wait's error names Acquire. With a deadline near, the call
// ends with that for its reason instead.
func TestHiddenAcquireIsNoDeadline(t *testing.T) {
	p := pacer.Must(pacer.Config{MaxInFlight: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := Call[int]{Pacer: struct{ Waiter }{p}}.Do(ctx, func(context.Context) (int, error) { return 0, nil })
	var failure *Error
	if !errors.As(err, &failure) || failure.Reason != ReasonNotRetryable || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got reason %q, a deadline's: %t, %v", failure.Reason, errors.Is(err, context.DeadlineExceeded), err)
	}
}
