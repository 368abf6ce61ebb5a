package redispacer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// waiterFunc is a Fallback that has no PauseUntil.
type waiterFunc func(context.Context) error

func (f waiterFunc) Wait(ctx context.Context) error { return f(ctx) }

func TestFallbackSitsOutThePauseItKnowsNothingOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second), Fallback: waiterFunc(context.Context.Err)})
		began := time.Now()
		a.PauseUntil(began.Add(time.Minute))
		synctest.Wait()
		callAfter(t.Context(), b) // hears of it
		f.fail = func(int) error { return errors.New("down") }

		ctx, cancel := context.WithCancelCause(t.Context())
		canceled := callAfter(ctx, b)
		why := errors.New("why")
		cancel(why)
		if err := <-canceled; !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("got %v, want an error that is context.Canceled and its cause", err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var refusal *Error
		if err := b.Wait(ctx); !errors.As(err, &refusal) || refusal.Wait() != time.Minute || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want a refusal at once that predicts 1m0s", err, time.Since(began))
		}
		if err := b.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if got := time.Since(began); got != time.Minute {
			t.Errorf("started %v into a pause of 1m0s", got)
		}
	})
}

func TestErrorOfTheFallbackIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.fail = func(int) error { return errors.New("down") }
		full := errors.New("full")
		p := mustNew(t, f, Config{Limits: burst(1, time.Second), Fallback: waiterFunc(func(context.Context) error { return full })})
		if err := p.Wait(t.Context()); err != full {
			t.Errorf("got %v, want the fallback's own error", err)
		}
	})
}

// Others may use the Fallback as well.
func TestFallbackIsToldOfThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fallback := pacer.Burst(1, time.Second)
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second), Fallback: fallback})
		until := time.Now().Add(time.Minute)
		p.PauseUntil(until)
		if got := fallback.Stats().PausedUntil; !got.Equal(until) {
			t.Errorf("the fallback is paused until %v, want %v", got, until)
		}
		synctest.Wait()
	})
}
