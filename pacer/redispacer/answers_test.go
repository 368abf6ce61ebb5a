package redispacer

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// delays has the calls of the script take so long on their way back, one after the other, and the
// rest no time.
func delays(f *fakeRedis, back ...time.Duration) {
	first := f.calls
	f.delay = func(call int) (time.Duration, time.Duration) {
		if call -= first; call < len(back) {
			return 0, back[call]
		}
		return 0, 0
	}
}

// An answer that comes after one that was decided later says nothing new of others.
func TestAnOvertakenAnswerOnlyBringsItsStarts(t *testing.T) {
	for name, a := range map[string]struct{ before, after func(*Pacer) }{
		"a pause that was ended": {
			func(other *Pacer) { other.PauseUntil(time.Now().Add(30 * time.Second)) },
			func(other *Pacer) { other.Resume() },
		},
		"when to ask again": {func(*Pacer) {}, func(*Pacer) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p, other := pair(t, f, burst(1, time.Second)...)
				slot := acquired(t, p)
				a.before(other)
				synctest.Wait()
				began := time.Now()
				delays(f, 100*ms)
				waits := callAfter(t.Context(), p) // for an answer that will be old
				time.Sleep(ms)
				a.after(other)
				synctest.Wait()
				slot.Cancel() // the answer to this comes at once
				if err := <-waits; err != nil || time.Since(began) != 100*ms {
					t.Errorf("started after %v, want 100ms: %v", time.Since(began), err)
				}
			})
		})
	}
}

// Who gives a start back has it for its own next caller with the same round trip.
func TestWhatAProcessGivesBackItMayHaveItself(t *testing.T) {
	const rtt = 20 * ms
	slow := func(int) (time.Duration, time.Duration) { return rtt / 2, rtt / 2 }
	t.Run("a start", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
			slot := acquired(t, p)
			f.delay = slow
			began := time.Now()
			next := callAfter(t.Context(), p)
			time.Sleep(300 * ms)
			before := p.Stats().Shared.RoundTrips
			slot.Cancel()
			if err := <-next; err != nil || time.Since(began) != 300*ms+rtt {
				t.Errorf("started after %v, want %v: %v", time.Since(began), 300*ms+rtt, err)
			}
			if got := p.Stats().Shared.RoundTrips - before; got != 1 {
				t.Errorf("%d round trips, want 1", got)
			}
		})
	})
	t.Run("a cost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			p := mustNew(t, f, Config{Limits: []pacer.Limit{tokens(100, time.Minute)}})
			slot, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 90))
			if err != nil {
				t.Fatal(err)
			}
			f.delay = slow
			began := time.Now()
			next := callAfter(pacer.WithCost(t.Context(), "tokens", 50), p)
			time.Sleep(300 * ms)
			before := p.Stats().Shared.RoundTrips
			slot.Settle("tokens", 10)
			if err := <-next; err != nil || time.Since(began) != 300*ms+ride+rtt {
				t.Errorf("started after %v, want %v: %v", time.Since(began), 300*ms+ride+rtt, err)
			}
			if got := p.Stats().Shared.RoundTrips - before; got != 1 {
				t.Errorf("%d round trips, want 1", got)
			}
		})
	})
	t.Run("what a quota held", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
			answered(t, p, quota.State{Remaining: 0, Reset: 30 * time.Second})
			synctest.Wait()
			f.delay = slow
			began := time.Now()
			next := callAfter(t.Context(), p)
			time.Sleep(300 * ms)
			p.Resume()
			if err := <-next; err != nil || time.Since(began) != 300*ms+rtt {
				t.Errorf("started after %v, want %v: %v", time.Since(began), 300*ms+rtt, err)
			}
		})
	})
}

// What is given back while another round trip is on its way with the like waits for that.
func TestWhatIsGivenBackMeanwhileIsHadAsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(2, time.Second)})
		a, b := acquired(t, p), acquired(t, p)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 50 * ms }
		began := time.Now()
		var next []<-chan error
		for range 2 {
			next = append(next, callAfter(t.Context(), p))
		}
		time.Sleep(300 * ms)
		a.Cancel()
		time.Sleep(10 * ms)
		b.Cancel()
		before := p.Stats().Shared.RoundTrips
		for i, want := range []time.Duration{400 * ms, 500 * ms} {
			if err := <-next[i]; err != nil || time.Since(began) != want {
				t.Errorf("caller %d started after %v, want %v: %v", i, time.Since(began), want, err)
			}
		}
		if got := p.Stats().Shared.RoundTrips - before; got != 1 {
			t.Errorf("%d further round trips, want 1", got)
		}
	})
}

// Where the request is on its way already, and its answer comes first, it is made again.
func TestWhoFreesSomethingAsksAgain(t *testing.T) {
	for name, free := range map[string]func(*Pacer, *pacer.Slot){
		"a start": func(_ *Pacer, s *pacer.Slot) { s.Cancel() },
		"a cost": func(p *Pacer, s *pacer.Slot) {
			s.Settle("tokens", 0)
			p.remote.queue.Lock()
			p.remote.tell(true) // and that rides with nothing
			p.remote.queue.Unlock()
		},
		"all that quotas held": func(p *Pacer, _ *pacer.Slot) { p.Resume() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p, other := pair(t, f, pacer.Limit{Cost: 100, Unit: "tokens", Period: time.Minute})
				slot, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 50))
				if err != nil {
					t.Fatal(err)
				}
				cost := 100
				if strings.HasPrefix(name, "all") {
					cost = 1
					answered(t, other, quota.State{Remaining: 0, Reset: 30 * time.Second})
				}
				synctest.Wait()
				began := time.Now()
				delays(f, 50*ms, 100*ms)
				waits := callAfter(pacer.WithCost(t.Context(), "tokens", cost), p)
				time.Sleep(10 * ms)
				free(p, slot)
				if err := <-waits; err != nil || time.Since(began) != 110*ms {
					t.Errorf("started after %v, want 110ms: %v", time.Since(began), err)
				}
			})
		})
	}
}

// A clock that is behind tells of a record that nobody knows, whatever came before.
func TestAnswersOfAnotherServerAreNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		time.Sleep(time.Hour)
		f.flush()
		f.skew = -2 * time.Hour
		before := p.Stats().Shared.RoundTrips
		began := time.Now()
		starts(t, p, 2)
		if got := time.Since(began); got != time.Second {
			t.Errorf("two starts took %v, want 1s", got)
		}
		if got := p.Stats().Shared.RoundTrips - before; got > 4 {
			t.Errorf("%d round trips for two starts", got)
		}
	})
}

// A settlement rides along: it is told with the next request, or alone in a while.
func TestASettlementRides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: []pacer.Limit{tokens(1000, time.Minute)}})
		f.delay = func(int) (time.Duration, time.Duration) { return 5 * ms, 5 * ms }
		acquired(t, p).Cancel() // is told at once
		slot, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 50))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := p.Stats().Shared.RoundTrips
		trips := func() uint64 { return p.Stats().Shared.RoundTrips - before }
		next := callAfter(t.Context(), p)
		slot.Settle("tokens", 40)
		if err := <-next; err != nil || trips() != 1 {
			t.Errorf("%d round trips for a start beside a settlement, want 1: %v", trips(), err)
		}
		starts(t, p, 1) // takes it along
		time.Sleep(time.Second)
		if trips() != 2 {
			t.Errorf("%d round trips for two starts and a settlement, want 2", trips())
		}
		slot.Settle("tokens", 30)
		began := time.Now()
		for trips() == 2 {
			time.Sleep(ms)
			synctest.Wait()
		}
		if got := time.Since(began); got != ride {
			t.Errorf("told after %v, want %v", got, ride)
		}
		time.Sleep(time.Second)
	})
}

// What Redis could not be told is told as soon as it can be used, though nobody calls here.
func TestWhatFailedToBeToldIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := pair(t, f, burst(1, time.Second)...)
		slot := acquired(t, a)
		began := time.Now()
		f.fail = func(int) error {
			if time.Since(began) < 200*ms {
				return errors.New("connection refused")
			}
			return nil
		}
		slot.Cancel()
		time.Sleep(500 * ms)
		starts(t, b, 1)
		if got := time.Since(began); got != 500*ms {
			t.Errorf("another process started after %v, want 500ms", got)
		}
	})
}

// But not for ever.
func TestWhatCannotBeToldIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Hour)})
		slot := acquired(t, p)
		time.Sleep(time.Minute)
		f.fail = func(int) error { return errors.New("connection refused") }
		slot.Cancel()
		time.Sleep(tellAgain + maxProbe)
		synctest.Wait()
		calls := f.calls
		if calls < int(tellAgain/maxProbe) {
			t.Errorf("%d calls in %v, want one in each %v", calls, tellAgain, maxProbe)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if f.calls != calls {
			t.Errorf("%d calls in the hour after that, want none", f.calls-calls)
		}
	})
}

// While somebody else finds out, nothing is done.
func TestWhatIsToBeToldWaitsForAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		slot := acquired(t, p)
		f.fail = func(int) error { return errors.New("connection refused") }
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(firstProbe)
		f.fail = nil
		f.delay = func(int) (time.Duration, time.Duration) { return 100 * ms, 0 }
		began := time.Now()
		probe := callAfter(t.Context(), p)
		before := p.Stats().Shared.RoundTrips
		slot.Cancel()
		synctest.Wait()
		if got := p.Stats().Shared.RoundTrips - before; got != 0 {
			t.Errorf("%d round trips beside a probe", got)
		}
		if err := <-probe; err != nil || time.Since(began) != 100*ms {
			t.Errorf("the probe started after %v, want 100ms: %v", time.Since(began), err)
		}
		time.Sleep(101 * ms)
		if got := p.Stats().Shared; got.RoundTrips-before != 1 || got.Returned != 1 {
			t.Errorf("%d given back by %d round trips, want 1 by 1", got.Returned, got.RoundTrips-before)
		}
	})
}

// Round trips that become longer for good fail once, whatever they were before.
func TestRoundTripsThatBecomeLongFailOnce(t *testing.T) {
	for _, rtt := range []time.Duration{300 * ms, 400 * ms, 700 * ms, time.Second, 1200 * ms} {
		t.Run(rtt.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
				f.delay = func(int) (time.Duration, time.Duration) { return 5 * ms, 5 * ms }
				for range 20 {
					starts(t, p, 1)
				}
				f.delay = func(int) (time.Duration, time.Duration) { return rtt / 2, rtt / 2 }
				for range 50 {
					_ = p.Wait(t.Context())
					time.Sleep(time.Second)
				}
				if got := p.Stats().Shared.Failures; got != 1 {
					t.Errorf("%d of 50 failed, want 1", got)
				}
				f.delay = nil
				for range 100 {
					starts(t, p, 1)
				}
				if got := p.remote.patience(); got != minTimeout {
					t.Errorf("when they are short again the timeout is %v, want %v", got, minTimeout)
				}
			})
		})
	}
}

// An answer that comes a minute late is no reason to wait that long.
func TestNoAnswerIsWaitedForLongerThanAFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
		for range 3 {
			starts(t, p, 1)
		}
		delays(f, time.Minute)
		_ = p.Wait(t.Context())
		time.Sleep(2 * time.Minute)
		if got := p.remote.patience(); got > coldTimeout {
			t.Errorf("timeout %v, want %v at most", got, coldTimeout)
		}
	})
}
