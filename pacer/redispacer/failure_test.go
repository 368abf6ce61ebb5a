package redispacer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestOnlyTheFirstCallIsDelayedByADeadRedisAndOnlyByTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 0, 10 * time.Second } // and the context is not heeded
		p := mustNew(t, f, Config{Limits: burst(5, time.Second), Timeout: 40 * ms})
		for i, want := range []time.Duration{40 * ms, 0, 0, 0} {
			began := time.Now()
			err := p.Wait(t.Context())
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("call %d: got %v, want ErrUnavailable", i, err)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d: %v passes for the caller's own deadline", i, err)
			}
			if got := time.Since(began); got != want {
				t.Errorf("call %d failed after %v, want %v", i, got, want)
			}
		}
		time.Sleep(time.Minute) // until the abandoned call has ended
	})
}

func TestWaitersWithoutASlotAreReleasedByAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		down := errors.New("connection refused")
		f.fail = func(call int) error {
			if call >= 2 {
				return down
			}
			return nil
		}
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		reserved := make(chan error, 1)
		go func() { reserved <- p.Wait(t.Context()) }()
		synctest.Wait()
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, down) {
			t.Errorf("got %v, want ErrUnavailable and its cause", err)
		}
		if err := <-reserved; err != nil {
			t.Errorf("who had a reserved start got %v", err)
		}
	})
}

func TestOneProbeAtATimeAtExponentialIntervalsBringsTheSharedPacerBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		var up atomic.Bool
		f.fail = func(int) error {
			if up.Load() {
				return nil
			}
			return errors.New("down")
		}
		f.delay = func(int) (time.Duration, time.Duration) { return ms, 0 }
		p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
		began, seen := time.Now(), 0
		var at []time.Duration
		for time.Since(began) < 30*time.Second {
			for range 8 {
				go func() { _ = p.Wait(t.Context()) }()
			}
			synctest.Wait()
			f.mu.Lock()
			if f.calls > seen {
				// The first failure is everybody's: no one knew yet.
				if seen > 0 && f.calls != seen+1 {
					t.Errorf("%d probes at once", f.calls-seen)
				}
				seen = f.calls
				at = append(at, time.Since(began))
			}
			f.mu.Unlock()
			time.Sleep(10 * ms)
		}
		for i := 2; i < len(at); i++ {
			gap, want := at[i]-at[i-1], min(firstProbe<<(i-1), maxProbe)
			if gap > want+11*ms || gap < want*4/5 {
				t.Errorf("probe %d came after %v, want from 80 to 100 %% of %v", i, gap, want)
			}
		}
		if len(at) < 9 {
			t.Errorf("%d probes in 30 s", len(at)-1)
		}
		up.Store(true)
		time.Sleep(maxProbe)
		for range 3 {
			if err := p.Wait(t.Context()); err != nil {
				t.Errorf("after Redis came back: %v", err)
			}
		}
		if err := p.Stats().Err; err != nil {
			t.Errorf("Stats.Err is %v after Redis came back", err)
		}
	})
}

func TestFallbackPacesWhileRedisIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.fail = func(int) error { return errors.New("down") }
		p := mustNew(t, f, Config{Limits: burst(100, time.Second), Fallback: pacer.Drip(1, time.Second)})
		began := time.Now()
		for i := range 4 {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(began), time.Duration(i)*time.Second; got != want {
				t.Errorf("call %d started at %v, want %v", i, got, want)
			}
		}
		if stats := p.Stats(); stats.Fallback != 4 || stats.Granted != 0 {
			t.Errorf("%d by the fallback, %d by Redis; want 4 and 0", stats.Fallback, stats.Granted)
		}
		p.PauseUntil(time.Now().Add(10 * time.Second))
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if got := time.Since(began); got != 13*time.Second {
			t.Errorf("started at %v, in a pause that ends at 13s", got)
		}
	})
}

func TestAStartReservedByALateReplyIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(call int) (time.Duration, time.Duration) {
			if call == 0 {
				return 0, 300 * ms
			}
			return 0, 0
		}
		p := mustNew(t, f, Config{Limits: burst(1, 10*time.Second)})
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := starts(t, p, 1); got[0] != 0 { // the probe takes it back and has it
			t.Errorf("started after %v, want at once", got[0])
		}
		if got := p.Stats(); got.Granted != 1 || got.Returned != 1 || got.Lost != 0 {
			t.Errorf("stats %+v, want 1 granted, 1 returned", got)
		}
	})
}

func TestLostStateHoldsInsteadOfStampeding(t *testing.T) {
	for name, lose := range map[string]func(f *fakeRedis, earlier []byte){
		"gone":                      func(f *fakeRedis, _ []byte) { f.flush() },
		"rolled back":               func(f *fakeRedis, earlier []byte) { f.state = earlier },
		"gone, and the clock back":  func(f *fakeRedis, _ []byte) { f.flush(); f.skew -= time.Hour },
		"rolled back, as the clock": func(f *fakeRedis, earlier []byte) { f.state = earlier; f.skew -= time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
				other := mustNew(t, f, Config{Limits: burst(5, time.Second)})
				starts(t, other, 1)
				earlier := slices.Clone(f.state)
				time.Sleep(10 * ms)
				starts(t, p, 4)
				time.Sleep(100 * ms)
				lose(f, earlier)
				// Nothing for a window and as long as nobody may have heard, then evenly spaced for another.
				for i, at := range starts(t, p, 7) {
					if want := 1100*ms + time.Duration(i)*200*ms; at != want {
						t.Errorf("start %d after the loss at %v, want %v", i, at, want)
					}
				}
				// The loss is over: others who have not heard of it hold nobody up.
				if at := starts(t, other, 1); at[0] != 200*ms {
					t.Errorf("the next start %v later, want 200ms", at[0])
				}
				time.Sleep(time.Minute)
				if got := starts(t, p, 5); got[4] != 0 {
					t.Errorf("state that expired passes for lost: started at %v", got)
				}
			})
		})
	}
}

func TestStartsMissedByAStalledProcessAreNotMadeUpForInABunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: drip(2, time.Second)})
		starts(t, p, 1)
		time.AfterFunc(100*ms, func() { // starts are reserved at 0.5, 1 and 1.5 s
			p.mu.Lock()
			defer p.mu.Unlock()
			for i := range p.slots {
				p.slots[i].at -= 10 * time.Second // as if that had passed
			}
			p.queue.head.notify()
		})
		if got, want := starts(t, p, 3), []time.Duration{2000 * ms, 2500 * ms, 3000 * ms}; !slices.Equal(got, want) {
			t.Errorf("started at %v, want %v", got, want)
		}
		if lost := p.Stats().Lost; lost != 3 {
			t.Errorf("%d starts were lost, want the 3 that were missed", lost)
		}
	})
}

func TestServersClockSetBackNeitherStallsNorAdmitsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		starts(t, p, 5)
		f.mu.Lock()
		f.skew = -time.Hour
		f.mu.Unlock()
		if got := starts(t, p, 6); got[0] != time.Second || got[5] != 2*time.Second {
			t.Errorf("started at %v, want 5 at 1s and 1 at 2s", got)
		}
	})
}

func TestMalformedStateAndReplyAreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.state = []byte("something else")
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if string(f.state) != "something else" {
			t.Errorf("foreign state was overwritten with %q", f.state)
		}
	})
}

func TestReservedStartIsKeptWhileRedisStaysDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		began := time.Now()
		starts(t, p, 1)
		reserved := callAfter(t.Context(), p)
		f.delay = func(int) (time.Duration, time.Duration) { return 0, time.Hour }
		callAfter(t.Context(), p)
		time.AfterFunc(1100*ms, func() { // the one about to start probes
			if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) || time.Since(began) != 1100*ms {
				t.Errorf("a newcomer got %v at %v, want ErrUnavailable at once", err, time.Since(began))
			}
		})
		if err := <-reserved; err != nil {
			t.Errorf("got %v, want a start", err)
		}
		if late := time.Since(began) - time.Second; late > defaultTimeout {
			t.Errorf("started %v late, want no more than %v", late, defaultTimeout)
		}
		time.Sleep(2 * time.Hour)
	})
}
