package redispacer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPauseHoldsEveryProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		starts(t, b, 10) // whoever comes now has a start reserved in a second
		began := time.Now()
		var wg sync.WaitGroup
		for _, p := range []*Pacer{a, b} {
			for range 4 {
				wg.Go(func() {
					if err := p.Wait(t.Context()); err != nil {
						t.Error(err)
					}
					if got := time.Since(began); got < 5*time.Second {
						t.Errorf("started %v into a pause of 5s", got)
					}
				})
			}
		}
		time.Sleep(500 * ms)
		a.PauseUntil(began.Add(5 * time.Second))
		a.PauseUntil(began.Add(time.Second)) // shortens nothing
		wg.Wait()
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("all had started by %v, want 5s", got)
		}
		if got := starts(t, b, 3); got[1] != 0 || got[2] != time.Second {
			t.Errorf("after the pause, with 8 of 10 used, started at %v", got)
		}
	})
}

func TestPauseIsNotLengthenedByDelaysInHearingOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(call int) (time.Duration, time.Duration) {
			return time.Duration(call%7) * ms, time.Duration(call%5) * ms
		}
		p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
		began := time.Now()
		p.PauseUntil(began.Add(time.Second))
		time.Sleep(10 * ms) // what is asked for while Redis does not know yet may be lost
		for range 100 {
			go func() { _ = p.Wait(t.Context()) }()
			time.Sleep(5 * ms)
		}
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if got := time.Since(began); got < time.Second || got > time.Second+20*ms {
			t.Errorf("a pause of 1s ended after %v", got)
		}
		if lost := p.Stats().Lost; lost != 0 {
			t.Errorf("%d starts behind the pause were lost", lost)
		}
	})
}

func TestPauseRefusesWhoCannotWaitForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, 2*time.Second)})
		starts(t, p, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		refused := make(chan error, 1)
		go func() { refused <- p.Wait(ctx) }()
		time.Sleep(time.Second)
		p.PauseUntil(time.Now().Add(time.Minute))
		synctest.Wait()
		select {
		case err := <-refused:
			if !errors.Is(err, ErrDeadline) {
				t.Errorf("got %v, want ErrDeadline", err)
			}
		default:
			t.Error("still waits for a start that cannot come in time")
		}
		if err := p.Wait(ctx); !errors.Is(err, ErrDeadline) {
			t.Errorf("a newcomer got %v, want ErrDeadline", err)
		}
	})
}
