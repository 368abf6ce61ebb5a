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
			return time.Duration(call%7) * ms, time.Duration(4-call%5) * ms
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

func TestPauseIsSharedAsSoonAsRedisMayBeProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		down := true
		f.fail = func(int) error {
			if down {
				return errors.New("down")
			}
			return nil
		}
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		if err := a.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		until := time.Now().Add(time.Minute)
		a.PauseUntil(until)
		time.Sleep(firstProbe)
		down = false
		a.PauseUntil(time.Now().Add(time.Second)) // shortens nothing
		if got := a.Stats().PausedUntil; !got.Equal(until) {
			t.Errorf("paused until %v, want %v", got, until)
		}
		synctest.Wait()
		starts(t, b, 1)
		if late := time.Since(until); late != 0 {
			t.Errorf("the other process started %v after the pause's end", late)
		}
	})
}

func TestAnswerThatKnowsNothingOfAPauseDoesNotShortenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		a.PauseUntil(time.Now().Add(10 * time.Second))
		synctest.Wait()
		f.delay = func(int) (time.Duration, time.Duration) { return 0, 20 * ms }
		callAfter(t.Context(), b)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 0 }
		b.PauseUntil(time.Now().Add(time.Minute))
		until := b.Stats().PausedUntil
		for range 10 {
			if got := b.Stats().PausedUntil; got.Before(until) {
				t.Errorf("paused until %v, then until %v", until, got)
			}
			time.Sleep(10 * ms)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestPauseCoversWhatAnOvertakenAnswerReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		began := time.Now()
		a.PauseUntil(began.Add(100 * ms))
		synctest.Wait()
		f.delay = func(int) (time.Duration, time.Duration) { return 0, 60 * ms }
		first := callAfter(t.Context(), b)
		f.delay = nil
		a.PauseUntil(began.Add(10 * time.Second))
		synctest.Wait()
		second := callAfter(t.Context(), b)
		for _, result := range []<-chan error{first, second} {
			if err := <-result; err != nil {
				t.Error(err)
			}
			if got := time.Since(began); got < 10*time.Second {
				t.Errorf("started %v into a pause of 10s", got)
			}
		}
	})
}

func TestPauseVoidsWhatIsReservedWhileRedisIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		reserved := callAfter(t.Context(), p)
		f.fail = func(int) error { return errors.New("down") }
		p.PauseUntil(time.Now().Add(time.Minute))
		if err := <-reserved; !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable: no start may be kept in a pause", err)
		}
	})
}

func TestPauseRefusesBeforeRedisKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 50 * ms }
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		began := time.Now()
		p.PauseUntil(began.Add(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var refusal *Error
		if err := p.Wait(ctx); !errors.As(err, &refusal) || refusal.Wait() != time.Minute || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want a refusal at once that predicts 1m0s", err, time.Since(began))
		}
		time.Sleep(time.Second)
	})
}

func TestPauseIsCutToTenYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second)})
		p.PauseUntil(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
		if got := time.Until(p.Stats().PausedUntil); got != maxPeriod {
			t.Errorf("paused for %v, want %v", got, maxPeriod)
		}
		synctest.Wait()
	})
}

// Who has a start reserved probes as newcomers do, or would not hear of a pause that
// came after the failure.
func TestPauseIsHeardByWhoWaitsThroughAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, b, 1)
		reserved := callAfter(t.Context(), b)
		f.fail = func(int) error { return errors.New("down") }
		if err := b.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		f.fail = nil
		until := time.Now().Add(time.Minute)
		a.PauseUntil(until)
		if err := <-reserved; err != nil || time.Now().Before(until) {
			t.Errorf("got %v, %v before the pause's end", err, time.Until(until))
		}
	})
}
