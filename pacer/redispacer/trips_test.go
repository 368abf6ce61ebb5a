package redispacer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// begun is a round trip of p, as it is sent.
func begun(p *Pacer) *trip {
	r := p.remote
	r.queue.Lock()
	defer r.queue.Unlock()
	t := &trip{}
	r.begin(t, r.queue.Now())
	return t
}

func TestTheHorizonIsTwoRoundTrips(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: 10 * ms, 5 * ms: 10 * ms, 6 * ms: 12 * ms, 999 * ms: 1998 * ms, 1001 * ms: 2 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second)})
			p.remote.trips.took = took
			if got := begun(p).horizon; got != want {
				t.Errorf("%v for round trips of %v, want %v", got, took, want)
			}
		})
	}
}

// The record lives for two Periods after a start at least. Within these it is missed.
func TestARecordIsKnownForTwoPeriods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		time.Sleep(time.Second)
		delays(f, 100*ms) // the start may have been that much sooner
		starts(t, p, 1)
		time.Sleep(1900*ms - 1)
		if got := begun(p); got.epoch != f.epoch() || got.given == 0 || got.newest != 1-1900*ms {
			t.Errorf("just before: epoch %d, newest %v; want %d and -1.9s", got.epoch, got.newest, f.epoch())
		}
		time.Sleep(time.Nanosecond)
		if got := begun(p); got.epoch != 0 {
			t.Errorf("after two Periods: epoch %d, want none", got.epoch)
		}
	})
}

func TestAtMostEightRoundTripsAreOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
		f.delay = func(int) (time.Duration, time.Duration) { return 100 * ms, 0 }
		for range 20 {
			callAfter(t.Context(), p)
			time.Sleep(ms)
			p.remote.queue.Lock()
			p.remote.queue.Wake()
			p.remote.soon()
			p.remote.queue.Unlock()
			synctest.Wait()
		}
		if got := p.Stats().Shared.RoundTrips; got != maxTrips {
			t.Errorf("%d round trips, want %d", got, maxTrips)
		}
		time.Sleep(time.Second)
	})
}

func TestARoundTripAsksForAtMost256Starts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
		f.delay = func(int) (time.Duration, time.Duration) { return 100 * ms, 0 }
		var got []int
		f.ran = func() { got = append(got, len(f.entries())) }
		for range 600 {
			go func() { _ = p.Wait(t.Context()) }()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i := 1; i < len(got); i++ {
			if n := got[i] - got[i-1]; n > maxBatch {
				t.Errorf("%d starts by one round trip, want %d at most", n, maxBatch)
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := len(f.entries()); n != 600 {
			t.Errorf("%d starts, want 600: %v", n, got)
		}
	})
}

// With a Fallback there are others who wait: they do not probe as well.
func TestAProbeAsksForOneStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(100, time.Second), Fallback: pacer.Drip(1, time.Hour)})
		f.fail = func(int) error { return errors.New("connection refused") }
		starts(t, p, 1)
		f.fail = nil
		began := time.Now()
		f.drop = func(int) bool { return time.Since(began) <= firstProbe }
		for range 5 {
			go func() { _ = p.Wait(t.Context()) }()
		}
		time.Sleep(firstProbe)
		synctest.Wait()
		f.mu.Lock()
		n := len(f.entries())
		f.mu.Unlock()
		if n != 1 {
			t.Errorf("%d starts by a probe, want 1", n)
		}
		time.Sleep(5 * time.Second)
	})
}

// Nobody waits for a probe but who makes it.
func TestWhileOneProbesOthersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
		f.fail = func(int) error { return errors.New("connection refused") }
		_ = p.Wait(t.Context())
		f.fail = nil
		time.Sleep(firstProbe)
		delays(f, 100*ms)
		probe := callAfter(t.Context(), p)
		began := time.Now()
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) || time.Since(began) != 0 {
			t.Errorf("another got %v after %v, want ErrUnavailable at once", err, time.Since(began))
		}
		if err := <-probe; err != nil {
			t.Error(err)
		}
	})
}

// Where others found out before it could, nobody waits for the probe.
func TestAProbeThatIsNotMadeIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
		down := errors.New("connection refused")
		f.fail = func(int) error { return down }
		_ = p.Wait(t.Context())
		time.Sleep(firstProbe)
		r := p.remote
		r.queue.Lock()
		r.trips.looking = true // it is about to be made
		r.queue.Unlock()
		waits := callAfter(t.Context(), p)
		r.queue.Lock()
		r.health.failed(down, r.queue.Now())
		r.queue.Unlock()
		go r.depart()
		synctest.Wait()
		select {
		case err := <-waits:
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		default:
			t.Error("waits")
			f.fail = nil
			time.Sleep(time.Second)
			p.Resume()
		}
	})
}

// What a process tells arrives in order, whatever else is on its way.
func TestWhatIsToldArrivesInOrder(t *testing.T) {
	for name, meanwhile := range map[string]func(p *Pacer){
		"alone":         func(*Pacer) {},
		"beside a call": func(p *Pacer) { callAfter(context.Background(), p) },
		"behind an answer": func(p *Pacer) {
			begun(p)
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p, other := pair(t, f, burst(100, time.Second)...)
				starts(t, p, 1)
				first := f.calls
				f.delay = func(call int) (time.Duration, time.Duration) {
					if call == first {
						return 100 * ms, 0
					}
					return 0, 0
				}
				p.PauseUntil(time.Now().Add(30 * time.Second))
				synctest.Wait()
				if name == "behind an answer" {
					meanwhile(p)
				}
				p.Resume()
				synctest.Wait()
				meanwhile(p)
				time.Sleep(200 * ms)
				began := time.Now()
				starts(t, other, 1)
				if got := time.Since(began); got != 0 {
					t.Errorf("another process started after %v, though the pause was ended", got)
				}
			})
		})
	}
}

// What rode along needs no round trip of its own any more, nor does what comes after it.
func TestWhatRodeAlongIsNotToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: []pacer.Limit{tokens(1000, time.Minute)}})
		slot, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 50))
		if err != nil {
			t.Fatal(err)
		}
		slot.Settle("tokens", 40)
		starts(t, p, 1) // takes it along
		time.Sleep(time.Second)
		before := p.Stats().Shared.RoundTrips
		delays(f, 10*ms)
		next := callAfter(t.Context(), p)
		slot.Settle("tokens", 30)
		if err := <-next; err != nil {
			t.Fatal(err)
		}
		time.Sleep(ride - 11*ms)
		if got := p.Stats().Shared.RoundTrips - before; got != 1 {
			t.Errorf("%d round trips for a start beside a settlement, want 1", got)
		}
		time.Sleep(time.Second)
	})
}

// A process holds to the pauses that are: those begun, lengthened or ended since it asked too.
func TestPausesThatCrossOnTheirWay(t *testing.T) {
	within := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for _, tt := range []struct {
		name string
		do   func(f *fakeRedis, p, other *Pacer)
		want time.Duration // the pause of p, from the beginning
	}{
		{"ended, and a shorter one begun", func(f *fakeRedis, p, other *Pacer) {
			other.PauseUntil(within(50 * time.Second))
			synctest.Wait()
			begun(p)
			synctest.Wait()
			other.Resume()
			other.PauseUntil(within(time.Hour)) // is told instead
			synctest.Wait()
			other.Resume()
			synctest.Wait()
			other.PauseUntil(within(5 * time.Second))
			synctest.Wait()
			begun(p)
		}, 5 * time.Second},
		{"ended and heard of, then a shorter one begun", func(f *fakeRedis, p, other *Pacer) {
			other.PauseUntil(within(50 * time.Second))
			synctest.Wait()
			begun(p)
			synctest.Wait()
			other.Resume()
			synctest.Wait()
			begun(p)
			synctest.Wait()
			other.PauseUntil(within(5 * time.Second))
			synctest.Wait()
			begun(p)
		}, 5 * time.Second},
		{"begun here while the answer says that another was ended", func(f *fakeRedis, p, other *Pacer) {
			other.Resume()
			synctest.Wait()
			delays(f, 10*ms)
			begun(p)
			synctest.Wait()
			p.PauseUntil(within(5 * time.Second))
		}, 5 * time.Second},
		{"begun here after another was ended", func(f *fakeRedis, p, other *Pacer) {
			other.Resume()
			synctest.Wait()
			begun(p)
			synctest.Wait()
			delays(f, 10*ms)
			begun(p)
			synctest.Wait()
			p.PauseUntil(within(5 * time.Second))
		}, 5 * time.Second},
		{"ended here and begun again", func(f *fakeRedis, p, other *Pacer) {
			delays(f, 10*ms)
			p.Resume()
			synctest.Wait()
			p.PauseUntil(within(5 * time.Second))
		}, 5 * time.Second},
		{"begun elsewhere and longer", func(f *fakeRedis, p, other *Pacer) {
			other.PauseUntil(within(30 * time.Second))
			synctest.Wait()
			p.PauseUntil(within(5 * time.Second))
		}, 30 * time.Second},
		{"begun elsewhere and shorter", func(f *fakeRedis, p, other *Pacer) {
			other.PauseUntil(within(5 * time.Second))
			synctest.Wait()
			delays(f, 10*ms, time.Second)
			begun(p)
			synctest.Wait()
			p.PauseUntil(within(30 * time.Second))
		}, 30 * time.Second},
		{"lengthened while it is told", func(f *fakeRedis, p, other *Pacer) {
			delays(f, 10*ms)
			p.PauseUntil(within(5 * time.Second))
			synctest.Wait()
			p.PauseUntil(within(30 * time.Second))
		}, 30 * time.Second},
		{"ended here while the answer tells of it", func(f *fakeRedis, p, other *Pacer) {
			other.PauseUntil(within(30 * time.Second))
			synctest.Wait()
			first := f.calls
			f.delay = func(call int) (time.Duration, time.Duration) {
				switch call {
				case first:
					return 0, 10 * ms
				case first + 1:
					return 20 * ms, 0
				}
				return 0, 0
			}
			begun(p)
			time.Sleep(ms)
			p.Resume()
		}, 0},
		{"ended and begun again at once", func(f *fakeRedis, p, other *Pacer) {
			p.Resume()
			p.PauseUntil(within(5 * time.Second))
		}, 5 * time.Second},
		{"ended by another that was told long ago", func(f *fakeRedis, p, other *Pacer) {
			other.Resume()
			synctest.Wait()
			p.PauseUntil(within(5 * time.Second))
			synctest.Wait()
			begun(other)
		}, 5 * time.Second},
		{"told long ago, and ended by another", func(f *fakeRedis, p, other *Pacer) {
			p.PauseUntil(within(30 * time.Second))
			synctest.Wait()
			other.Resume()
			synctest.Wait()
			begun(p)
		}, 0},
		{"ended by another after the record was lost", func(f *fakeRedis, p, other *Pacer) {
			other.Resume()
			synctest.Wait()
			begun(p)
			synctest.Wait()
			f.flush()
			time.Sleep(ms) // else nobody tells the records apart
			other.PauseUntil(within(30 * time.Second))
			synctest.Wait()
			begun(p)
			synctest.Wait()
			other.Resume()
			synctest.Wait()
			begun(p)
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p, other := pair(t, f, burst(100, time.Second)...)
				starts(t, p, 1)
				began := time.Now()
				tt.do(f, p, other)
				time.Sleep(200 * ms)
				var got time.Duration
				if until := p.Stats().PausedUntil; !until.IsZero() {
					got = until.Sub(began)
				}
				if got = got.Round(100 * ms); got != tt.want {
					t.Errorf("paused until %v, want %v", got, tt.want)
				}
				begun(p) // and so it is in Redis
				third := mustNew(t, f, Config{Limits: burst(100, time.Second)})
				time.Sleep(time.Second)
				starts(t, third, 1)
				if got := time.Since(began).Round(100 * ms); got != max(tt.want, 1200*ms) {
					t.Errorf("a third process started after %v, want %v", got, max(tt.want, 1200*ms))
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// What fails together is one failure, and who failed waits for none of the rest.
func TestRoundTripsThatFailTogetherAreOneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(100, time.Second), Timeout: 3 * time.Second})
		starts(t, p, 1)
		first := f.calls
		f.delay = func(call int) (time.Duration, time.Duration) {
			return []time.Duration{10 * ms, 50 * ms, 200 * ms, 0}[min(call-first, 3)], 0
		}
		f.fail = func(call int) error {
			if call < first+3 {
				return errors.New("connection refused")
			}
			return nil
		}
		waits := callAfter(t.Context(), p)
		begun(p)
		r := p.remote
		r.queue.Lock()
		r.begin(&trip{request: request{wanted: [][]int{{}}}}, r.queue.Now())
		r.queue.Unlock()
		if err := <-waits; !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(firstProbe)
		before := p.Stats().Shared.RoundTrips
		if got := starts(t, p, 1); got[0] != 0 {
			t.Errorf("started %v later, want it at once", got[0])
		}
		time.Sleep(time.Second)
		starts(t, p, 1)
		if got := p.Stats().Shared; got.RoundTrips-before != 2 || got.Returned != 0 {
			t.Errorf("%d round trips for two starts, %d given back; want 2 and 0", got.RoundTrips-before, got.Returned)
		}
	})
}

// Why there was no answer is known when the client gives up, and said from then on.
func TestWhyThereWasNoAnswerIsSaidWhenItIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(2, time.Hour), Timeout: 50 * ms})
		starts(t, p, 1)
		down := errors.New("connection refused")
		f.delay = func(int) (time.Duration, time.Duration) { return 70 * ms, 0 }
		f.fail = func(int) error { return down }
		if err := p.Wait(t.Context()); errors.Is(err, down) || !contains(err, "no answer within 50ms") {
			t.Errorf("got %v, want that there was no answer", err)
		}
		time.Sleep(25 * ms)
		if err := p.Wait(t.Context()); !errors.Is(err, down) || !contains(err, "no answer within 50ms") {
			t.Errorf("got %v, want that there was no answer since %v", err, down)
		}
		f.delay, f.fail = nil, nil
		time.Sleep(time.Second)
		if starts(t, p, 1); len(f.entries()) != 2 {
			t.Errorf("%d starts on the record, want 2: nothing was lost", len(f.entries()))
		}
	})
}

// An answer that was on its way while the limits changed, or a pause began, brings no start.
func TestAStartThatIsNotValidAnyMoreIsGivenBack(t *testing.T) {
	for name, change := range map[string]func(*Pacer) error{
		"other limits": func(p *Pacer) error {
			return p.SetLimits(pacer.Limit{Calls: 50, Period: time.Second}, tokens(100, time.Second))
		},
		"a pause": func(p *Pacer) error { p.PauseUntil(time.Now().Add(time.Second)); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
				starts(t, p, 1)
				delays(f, 100*ms)
				waits := callAfter(t.Context(), p)
				if err := change(p); err != nil {
					t.Fatal(err)
				}
				if err := <-waits; err != nil {
					t.Error(err)
				}
				if got := len(p.remote.roomsFor); got > 1 {
					t.Errorf("costs in %d units", got)
				}
				ctx, cancel := context.WithTimeout(pacer.WithCost(t.Context(), "tokens", 10), time.Second)
				defer cancel()
				if err := p.Wait(ctx); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				if got := p.Stats().Shared; got.Returned != 1 || got.Reserved != 0 {
					t.Errorf("%d given back and %d reserved, want 1 and 0", got.Returned, got.Reserved)
				}
			})
		})
	}
}

func TestAnAnswerOfALostRecordIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		starts(t, p, 1)
		delays(f, 100*ms)
		waits := callAfter(t.Context(), p)
		time.Sleep(10 * ms)
		f.flush()
		begun(p) // hears of it
		began := time.Now()
		if err := <-waits; err != nil || time.Since(began) != 1100*ms {
			t.Errorf("started after %v, want 1.1s: %v", time.Since(began), err)
		}
		if got := p.Stats().Shared.Lost; got != 1 {
			t.Errorf("%d lost, want 1", got)
		}
	})
}

// Warm tells how things are, as any answer does.
func TestWarmLearnsHowThingsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p, other := pair(t, f, burst(1, time.Hour)...)
		starts(t, other, 1)
		time.Sleep(time.Minute)
		if err := p.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		began := time.Now()
		var refusal *Error
		if err := p.Wait(ctx); !errors.As(err, &refusal) || refusal.Wait() != 59*time.Minute || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want a refusal at once that predicts 59m", err, time.Since(began))
		}
	})
	synctest.Test(t, func(t *testing.T) { // but that nothing is left of what was lost says nothing
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(2, time.Second)})
		starts(t, p, 1)
		f.flush()
		if err := p.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := starts(t, p, 1); got[0] != 1100*ms {
			t.Errorf("started after %v, want 1.1s", got[0])
		}
	})
	synctest.Test(t, func(t *testing.T) { // and that Redis is back
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(2, time.Second)})
		f.fail = func(int) error { return errors.New("connection refused") }
		_ = p.Wait(t.Context())
		f.fail = nil
		if err := p.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		starts(t, p, 1)
	})
}

// What is reserved for a start of other costs is given back.
func TestAStartIsForItsCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: []pacer.Limit{tokens(100, time.Second)}})
		wait := func(ctx context.Context, cost int) <-chan error {
			return callAfter(pacer.WithCost(ctx, "tokens", cost), p)
		}
		<-wait(t.Context(), 100)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := wait(ctx, 10), wait(t.Context(), 90)
		time.Sleep(995 * ms)
		synctest.Wait()
		if got := p.Stats().Shared.Reserved; got != 2 {
			t.Fatalf("%d reserved, want 2", got)
		}
		cancel()
		<-first
		if err := <-second; err != nil {
			t.Error(err)
		}
		left := func(cost int) bool {
			return len(newScripted(t, f, 9, tokens(100, time.Second)).run(request{wanted: [][]int{{cost}}}).starts) > 0
		}
		if left(11) || !left(10) {
			t.Error("on the record is not what started, which cost 90 of 100")
		}
	})
}

// Whom Redis would hold the Fallback may let start at once.
func TestWhileRedisFailsNothingItSaidRefusesAnybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		fallback := pacer.Drip(1, time.Minute)
		p := mustNew(t, f, Config{Limits: burst(1, time.Hour), Fallback: fallback})
		slot := acquired(t, p)
		var back atomic.Bool
		f.fail = func(int) error {
			if back.Load() {
				return nil
			}
			return errors.New("connection refused")
		}
		slot.Cancel()
		synctest.Wait()
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		if err := p.Wait(ctx); err != nil {
			t.Errorf("got %v, want the Fallback's start", err)
		}
		// And when Redis is back nobody waits there.
		callAfter(t.Context(), p)
		if got := fallback.Stats().Waiting; got != 1 {
			t.Errorf("%d wait at the Fallback, want 1", got)
		}
		back.Store(true)
		time.Sleep(maxProbe)
		synctest.Wait()
		if got := fallback.Stats().Waiting; got != 0 {
			t.Errorf("%d wait at the Fallback when Redis is back", got)
		}
	})
}

// However long round trips are, one that takes as long as ever is not too late.
func TestRoundTripsMayTakeMoreThanASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(5, time.Second)})
		f.delay = func(int) (time.Duration, time.Duration) { return 600 * ms, 600 * ms }
		for i, want := range []time.Duration{2400 * ms, 1200 * ms} { // the first shows how long they are
			ctx, cancel := contextWithTimeout(t, time.Minute)
			began := time.Now()
			if err := p.Wait(ctx); err != nil || time.Since(began) != want {
				t.Errorf("call %d started after %v, want %v: %v", i, time.Since(began), want, err)
			}
			cancel()
		}
		time.Sleep(time.Minute)
	})
}

// A Resume that Redis could not be told is told later, before the pause that began since.
func TestAResumeThatFailsIsToldLater(t *testing.T) {
	for name, tt := range map[string]struct {
		pause time.Duration // of this process, since
		want  time.Duration
	}{"as it is": {0, time.Second}, "before a pause": {5 * time.Second, 5 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p, other := pair(t, f, burst(100, time.Second)...)
				starts(t, p, 1)
				other.PauseUntil(time.Now().Add(30 * time.Second))
				synctest.Wait()
				began := time.Now()
				f.delay = func(int) (time.Duration, time.Duration) { return ms, 0 }
				f.fail = func(int) error {
					if time.Since(began) < 50*ms {
						return errors.New("connection refused")
					}
					return nil
				}
				p.Resume()
				synctest.Wait()
				if tt.pause > 0 {
					p.PauseUntil(began.Add(tt.pause))
				}
				time.Sleep(time.Second)
				third := mustNew(t, f, Config{Limits: burst(100, time.Second)})
				starts(t, third, 1)
				if got := time.Since(began).Round(10 * ms); got != tt.want {
					t.Errorf("another process started after %v, want %v", got, tt.want)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// Nor is a first answer waited for less long than others may take, and a connection that failed is
// new again.
func TestHowLongAnAnswerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(100, time.Second), Timeout: 10 * time.Second})
		if got := p.remote.patience(); got != 10*time.Second {
			t.Errorf("for the first %v, want the 10s of Config.Timeout", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(100, time.Second), Timeout: 40 * ms})
		starts(t, p, 1)
		delays(f, 50*ms)
		if err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) || p.remote.patience() != coldTimeout {
			t.Errorf("after a failure %v, want %v: %v", p.remote.patience(), coldTimeout, err)
		}
		time.Sleep(time.Second)
	})
	synctest.Test(t, func(t *testing.T) { // what was in vain is waited for twice as long, though no answer ever comes
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
		for range 2 {
			starts(t, p, 1)
		}
		delays(f, time.Hour)
		_ = p.Wait(t.Context())
		time.Sleep(firstProbe)
		starts(t, p, 1)
		if got, want := p.remote.patience(), 2*minTimeout; got != want && got != want*7/8 {
			t.Errorf("%v, want %v", got, want)
		}
		time.Sleep(time.Hour)
	})
}

// One answer that is long in coming says little of the next.
func TestARoundTripIsMeasuredByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
		for i, want := range []time.Duration{0, 4 * ms, 4 * ms, 4*ms + 625*time.Microsecond} {
			delays(f, []time.Duration{4 * ms, 4 * ms, 4 * ms, 200 * ms}[i])
			starts(t, p, 1)
			if got := p.Stats().Shared.RoundTrip; got != want {
				t.Errorf("after %d answers %v, want %v", i+1, got, want)
			}
		}
	})
}

// An answer by other limits says nothing of where there is room by these.
func TestAnAnswerByOtherLimitsSaysNothingOfThese(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Hour)})
		starts(t, p, 1)
		delays(f, 100*ms)
		waits := callAfter(t.Context(), p)
		if err := p.SetLimits(pacer.Limit{Calls: 50, Period: time.Second}, tokens(100, time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * ms)
		began := time.Now()
		if err := <-waits; err != nil || time.Since(began) > 50*ms {
			t.Errorf("started after %v: %v", time.Since(began), err)
		}
	})
}

// Reserved starts of a record that is lost are lost with it, and the standstill is one for the
// newest of them.
func TestReservedStartsAreLostWithTheirRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		waits := callAfter(t.Context(), p)
		time.Sleep(995 * ms) // due within the horizon
		synctest.Wait()
		if got := p.Stats().Shared.Reserved; got != 1 {
			t.Fatalf("%d reserved, want 1", got)
		}
		f.flush()
		time.Sleep(ms)
		began := time.Now()
		begun(p) // hears of it
		if err := <-waits; err != nil || time.Since(began) != 4*ms+1100*ms {
			t.Errorf("started after %v, want 1.1s behind what was lost: %v", time.Since(began), err)
		}
		if got := p.Stats().Shared.Lost; got != 1 {
			t.Errorf("%d lost, want 1", got)
		}
	})
}

// What is known of room is of who could not start, and no later than it is.
func TestWhatIsKnownOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		r := p.remote
		sent := r.queue.Now()
		delays(f, 100*ms)
		starts(t, p, 1)
		r.queue.Lock()
		defer r.queue.Unlock()
		if got := r.Due(0) - sent; got != time.Second {
			t.Errorf("room %v after it was asked for, want 1s", got)
		}
		asks := &trip{request: request{wanted: [][]int{{10}, {50}, {90}}}}
		for n, want := range []int{10, 50, 90} {
			if r.heedPlace(asks, reply{starts: make([]granted, n)}, 0); len(r.roomsFor) != 1 || r.roomsFor[0] != want {
				t.Errorf("known of costs %v after %d starts, want %d", r.roomsFor, n, want)
			}
		}
		if r.heedPlace(asks, reply{starts: make([]granted, 3)}, 0); r.roomsFor != nil {
			t.Errorf("known of costs %v, though all may start", r.roomsFor)
		}
	})
}

// By other limits nothing is reserved any more, and what has started may be settled in their units.
func TestOtherLimitsTakeEffectAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second)})
		slot := acquired(t, p)
		waits := callAfter(t.Context(), p)
		time.Sleep(995 * ms) // due within the horizon
		synctest.Wait()
		if got := p.Stats().Shared.Reserved; got != 1 {
			t.Fatalf("%d reserved, want 1", got)
		}
		if err := p.SetLimits(pacer.Limit{Calls: 1, Period: time.Minute}, tokens(100, time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := p.Stats().Shared.Reserved; got != 0 {
			t.Errorf("%d reserved by what is no limit any more", got)
		}
		slot.Settle("tokens", 10)
		slot.Report(pacer.Outcome{Quotas: []quota.State{{Unit: "tokens", Remaining: 10, Reset: time.Second}}})
		began := time.Now()
		if err := <-waits; err != nil || time.Since(began) != time.Minute-995*ms {
			t.Errorf("started after %v, want a minute after the first: %v", time.Since(began), err)
		}
		time.Sleep(time.Second)
	})
}

// Who does not wait does not stand in line.
func TestWhereOthersWaitNoAnswerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		starts(t, p, 1)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 50 * ms }
		waits := callAfter(t.Context(), p)
		began := time.Now()
		if _, err := p.TryAcquire(t.Context()); !errors.Is(err, pacer.ErrNotNow) || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want ErrNotNow at once", err, time.Since(began))
		}
		if p.Allow() || time.Since(began) != 0 {
			t.Errorf("an answer after %v, want that it may not at once", time.Since(began))
		}
		<-waits
	})
}
