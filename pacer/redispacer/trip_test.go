package redispacer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// callAfter lets somebody wait and returns how that ended. The caller is in the queue then.
func callAfter(ctx context.Context, p *Pacer) <-chan error {
	result := make(chan error, 1)
	go func() { result <- p.Wait(ctx) }()
	synctest.Wait()
	return result
}

func TestRoundTripsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 10 * ms, 10 * ms }
		p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
		for i := range 20 {
			callAfter(t.Context(), p)
			if got := p.Stats().RoundTrips; got != uint64(min(i+1, 8)) {
				t.Errorf("%d round trips for %d callers, want at most 8", got, i+1)
			}
		}
		time.Sleep(time.Second)
		if got := p.Stats(); got.Granted != 20 || got.RoundTrips != 20 {
			t.Errorf("stats %+v, want 20 starts in as many round trips", got)
		}
	})
}

// A slot that was reserved long ago is good only if there is no pause, and asking takes
// time: it begins early enough for the start to be on time.
func TestLookingForAPauseDelaysNoStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 40 * ms, 40 * ms }
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		if at := starts(t, p, 2); at[0] != 80*ms || at[1] != 1080*ms {
			t.Errorf("started at %v, want 80ms and 1.08s: what was reserved, and the way back", at)
		}
		if got := p.Stats().RoundTrips; got != 3 {
			t.Errorf("%d round trips, want 2 that reserved and 1 that looked", got)
		}
	})
}

func TestRefusalOfWhoHasLeftIsNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Hour)})
		starts(t, p, 1)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 50 * ms }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		left := callAfter(ctx, p)
		time.Sleep(70 * ms)
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		time.Sleep(time.Second)
		if got := p.Stats(); got.Waiting != 0 || got.Rejected != 0 || got.Canceled != 1 {
			t.Errorf("stats %+v, want nobody waiting and one canceled", got)
		}
		if at := starts(t, p, 1); at[0] > time.Hour {
			t.Errorf("the next start came after %v", at[0])
		}
	})
}

// The state that follows a lost one knows nothing of what is reserved: to start that as well
// would be twice the quota, and its serials are those of others now.
func TestWhatIsReservedIsLostWithTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		limits := burst(1, time.Second)
		p, other := mustNew(t, f, Config{Limits: limits}), mustNew(t, f, Config{Limits: limits})
		starts(t, other, 1)
		for range 5 {
			callAfter(t.Context(), p) // up to 5 s
		}
		f.flush()
		time.Sleep(ms)
		began := time.Now()
		f.saw = &witness{reserved: make(map[reservation]int64)}
		if at := starts(t, other, 1); at[0] != 1100*ms { // tells of the loss; p hears when its first start is near
			t.Errorf("the other process started after %v, want 1.1s", at[0])
		}
		time.Sleep(time.Minute)
		if got := p.Stats(); got.Granted != 5 || got.Lost != 5 {
			t.Errorf("%d started and %d reservations lost, want 5 and 5", got.Granted, got.Lost)
		}
		at := f.saw.times()
		checkWindows(t, at, limits[0])
		if len(at) != 6 || micros(at[5]-began.UnixMicro()) > 10*time.Second {
			t.Errorf("reservations at %v, want 6 within 10s", at)
		}
	})
}

func TestStartsOfALostStateAreNotReturnedToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		limits := burst(1, time.Second)
		p, other := mustNew(t, f, Config{Limits: limits}), mustNew(t, f, Config{Limits: limits})
		starts(t, p, 1)
		cancels := make([]context.CancelFunc, 3)
		wait := func(i int) {
			var ctx context.Context
			ctx, cancels[i] = context.WithCancel(t.Context())
			callAfter(ctx, p)
		}
		wait(0)
		wait(1)
		f.delay = func(int) (time.Duration, time.Duration) { return 0, 100 * ms }
		cancels[1]() // is on its way back
		synctest.Wait()
		cancels[0]() // is to follow
		synctest.Wait()
		f.delay = nil
		f.flush()
		time.Sleep(ms)
		starts(t, other, 1)
		reserved := callAfter(t.Context(), other) // with the serial of the one that is to follow
		wait(2)
		cancels[2]()
		time.Sleep(200 * ms)
		if got := p.Stats(); got.Returned != 2 || got.Lost != 1 {
			t.Errorf("%d returned and %d lost, want one of each state returned and one lost", got.Returned, got.Lost)
		}
		<-reserved
	})
}

func TestAnswerFromALostStateIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(2, time.Second)})
		starts(t, p, 1)
		f.delay = func(int) (time.Duration, time.Duration) { return 0, 200 * ms }
		first := callAfter(t.Context(), p)
		f.delay = nil
		f.flush()
		time.Sleep(ms)
		second := callAfter(t.Context(), p)
		began := time.Now()
		for range 2 {
			select {
			case <-first:
			case <-second:
			}
			if got := time.Since(began); got < 1100*ms {
				t.Errorf("started %v after the loss was known", got)
			}
		}
		if got := p.Stats(); got.Granted != 3 || got.Lost != 1 {
			t.Errorf("%d started and %d lost, want 3 and 1", got.Granted, got.Lost)
		}
	})
}

func TestOneCallerProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second), Lease: 10})
		starts(t, p, 1)
		first, second := callAfter(t.Context(), p), callAfter(t.Context(), p)
		f.fail = func(int) error { time.Sleep(time.Minute); return errors.New("down") }
		callAfter(t.Context(), p)
		<-callAfter(t.Context(), p)
		time.Sleep(firstProbe)
		began := time.Now()
		p.PauseUntil(began.Add(time.Hour)) // what the first two have reserved is void
		for _, who := range []struct {
			result <-chan error
			after  time.Duration
		}{{second, 0}, {first, defaultTimeout}} {
			if err := <-who.result; !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			if got := time.Since(began); got != who.after {
				t.Errorf("released after %v, want %v", got, who.after)
			}
		}
		time.Sleep(time.Hour) // until the round trips have ended
	})
}

func TestSerialsBeginAnewAtAMillion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		copy(f.state[4*16:], fmt.Sprintf("%016d", 999_999))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		callAfter(ctx, p)
		tail, leave := context.WithCancel(t.Context())
		callAfter(tail, p)
		leave()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got := p.Stats(); got.Returned != 2 {
			t.Errorf("%d returned and %d lost, want 2 returned", got.Returned, got.Lost)
		}
		if at := starts(t, p, 2); at[0] != time.Second || at[1] != 2*time.Second {
			t.Errorf("started at %v, want 1s and 2s", at)
		}
	})
}
