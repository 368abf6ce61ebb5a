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
		p := mustNew(t, f, Config{Limits: burst(5, time.Second), Timeout: 40 * ms})
		starts(t, p, 1)
		f.delay = func(int) (time.Duration, time.Duration) { return 0, 10 * time.Second } // and the context is not heeded
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

// What connecting takes is no failure: several round trips, and far away these are long.
func TestAFirstConnectionDoesNotCountAgainstTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 500 * ms, 400 * ms }
		p := mustNew(t, f, Config{Limits: burst(5, time.Second), Timeout: 40 * ms})
		if at := starts(t, p, 1); at[0] != 900*ms {
			t.Errorf("started after %v, want 900ms", at)
		}
		f.delay = func(int) (time.Duration, time.Duration) { return 0, time.Minute }
		began := time.Now()
		q := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		if err := q.Wait(t.Context()); !errors.Is(err, ErrUnavailable) || time.Since(began) != coldTimeout {
			t.Errorf("got %v after %v, want ErrUnavailable after %v", err, time.Since(began), coldTimeout)
		}
		time.Sleep(time.Hour)
	})
}

func TestTimeoutFollowsTheRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		trip := ms
		f.delay = func(int) (time.Duration, time.Duration) { return trip / 2, trip / 2 }
		p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
		timeout := func() time.Duration {
			p.remote.queue.Lock()
			defer p.remote.queue.Unlock()
			return p.remote.timeout()
		}
		if err := p.Warm(t.Context()); err != nil || p.Stats().Shared.RoundTrip != 0 {
			t.Errorf("Warm: %v, and a connection's first answer passes for a round trip", err)
		}
		for range 3 {
			starts(t, p, 1)
		}
		if got := timeout(); got != 250*ms {
			t.Errorf("%v for round trips of 1ms, want 250ms", got)
		}
		for trip < 200*ms { // it is never a sudden change
			trip = min(trip*5/4, 200*ms)
			for range 30 {
				starts(t, p, 1)
			}
		}
		if got := timeout(); got < 790*ms || got > 800*ms {
			t.Errorf("%v for round trips of 200ms, want 800ms", got)
		}
		if got := p.Stats().Shared; got.Failures != 0 || got.RoundTrip < 199*ms {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestWarmSaysWhyThereIsNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		down := errors.New("connection refused")
		f.fail = func(int) error { return down }
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		if err := p.Warm(t.Context()); !errors.Is(err, down) {
			t.Errorf("Warm: %v, want %v", err, down)
		}
		f.fail = nil
		if err := p.Warm(t.Context()); err != nil || f.record() != nil && len(f.record().value) > 0 {
			t.Errorf("Warm: %v, want nil and nothing on the record", err)
		}
	})
}

func TestWaitersAreReleasedByAFailureButWhoHasAStartReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		reserved, other := callAfter(t.Context(), p), callAfter(t.Context(), p)
		time.Sleep(995 * ms) // due within the horizon
		synctest.Wait()
		down := errors.New("connection refused")
		f.fail = func(int) error { return down }
		if got := p.Stats().Shared.Reserved; got != 1 {
			t.Errorf("%d reserved, want 1", got)
		}
		p.remote.queue.Lock()
		p.remote.next = longAgo
		p.remote.queue.Wake()
		p.remote.queue.Unlock()
		if err := <-reserved; err != nil {
			t.Errorf("who had a reserved start got %v", err)
		}
		if err := <-other; !errors.Is(err, ErrUnavailable) || !errors.Is(err, down) {
			t.Errorf("got %v, want ErrUnavailable and its cause", err)
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
			gap, want := at[i]-at[i-1], min(firstProbe<<min(i-1, 10), maxProbe)
			if gap > want+11*ms || gap < want*4/5 {
				t.Errorf("probe %d came after %v, want from 80 to 100 %% of %v", i, gap, want)
			}
		}
		if len(at) < 55 {
			t.Errorf("%d probes in 30 s", len(at)-1)
		}
		up.Store(true)
		time.Sleep(maxProbe)
		for range 3 {
			if err := p.Wait(t.Context()); err != nil {
				t.Errorf("after Redis came back: %v", err)
			}
		}
		if err := p.Stats().Shared.Err; err != nil {
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
		if stats := p.Stats(); stats.Shared.Fallback != 4 || stats.Granted != 4 {
			t.Errorf("%d starts, %d of them by the fallback; want 4 and 4", stats.Granted, stats.Shared.Fallback)
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
			if call == 2 {
				return 0, 300 * ms
			}
			return 0, 0
		}
		p := mustNew(t, f, Config{Limits: burst(3, 10*time.Second)})
		starts(t, p, 1)
		starts(t, p, 1)
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := starts(t, p, 1); got[0] != 0 { // the probe takes it back and has it
			t.Errorf("started after %v, want at once", got[0])
		}
		if got := p.Stats(); got.Granted != 3 || got.Shared.Returned != 1 || got.Shared.Lost != 0 {
			t.Errorf("stats %+v, want 3 granted, 1 returned", got)
		}
	})
}

func TestLostStateHoldsInsteadOfStampeding(t *testing.T) {
	for name, lose := range map[string]func(f *fakeRedis, earlier []byte){
		"gone":                      func(f *fakeRedis, _ []byte) { f.flush() },
		"rolled back":               func(f *fakeRedis, earlier []byte) { f.record().value = earlier },
		"gone, and the clock back":  func(f *fakeRedis, _ []byte) { f.flush(); f.skew -= time.Hour },
		"rolled back, as the clock": func(f *fakeRedis, earlier []byte) { f.record().value = earlier; f.skew -= time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
				other := mustNew(t, f, Config{Limits: burst(5, time.Second)})
				starts(t, other, 1)
				earlier := slices.Clone(f.record().value)
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
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 200 * ms, 200 * ms }
		p := mustNew(t, f, Config{Limits: drip(10, time.Second)})
		starts(t, p, 20) // then it reserves far ahead
		began := time.Now()
		time.AfterFunc(1500*ms, func() {
			p.remote.queue.Lock()
			defer p.remote.queue.Unlock()
			if len(p.remote.reserved) < 5 {
				t.Errorf("%d starts reserved, want more", len(p.remote.reserved))
			}
			for i := range p.remote.reserved {
				p.remote.reserved[i].due -= 10 * time.Second // as if that had passed
			}
			p.remote.queue.Wake()
		})
		at := starts(t, p, 30)
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < 100*ms {
				t.Errorf("starts %d and %d are %v apart", i-1, i, gap)
			}
		}
		if got := p.Stats().Shared; got.Returned < 5 || got.Lost != 0 {
			t.Errorf("stats %+v after %v, want what was missed given back", got, time.Since(began))
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
		f.key("pacedhttp:v2:{quota}").value = []byte("something else")
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if got := f.record().value; string(got) != "something else" {
			t.Errorf("a foreign value was overwritten with %q", got)
		}
	})
}
