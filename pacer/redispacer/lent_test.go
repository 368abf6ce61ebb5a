package redispacer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// fallen is the pacer of a process that paces by w, since Redis fails.
func fallen(t *testing.T, w pacedhttp.Waiter, limits ...pacer.Limit) (*fakeRedis, *Pacer) {
	t.Helper()
	f := newFakeRedis(t)
	f.fail = func(int) error { return errors.New("connection refused") }
	p := mustNew(t, f, Config{Limits: limits, Fallback: w})
	p.remote.queue.Lock()
	p.remote.health.failed(errors.New("connection refused"), p.remote.queue.Now())
	p.remote.queue.Unlock()
	return f, p
}

// A waiting is a Fallback that grants no slots.
type waiting func(context.Context) error

func (w waiting) Wait(ctx context.Context) error { return w(ctx) }

// What the Fallback says of one caller is no other's.
func TestTheFallbacksRefusalIsOneCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("full")
		n := 0
		_, p := fallen(t, waiting(func(context.Context) error {
			if n++; n == 1 {
				return full
			}
			return nil
		}), burst(100, time.Second)...)
		if err := p.Wait(t.Context()); !errors.Is(err, full) {
			t.Errorf("got %v, want %v", err, full)
		}
		if err := p.Wait(t.Context()); err != nil || n != 2 {
			t.Errorf("the next got %v by call %d", err, n)
		}
	})
}

// A start of the Fallback that nobody takes is given back to it, and so is who waits there.
func TestWhatNobodyTakesIsTheFallbacksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fallback := pacer.Must(pacer.Config{Limits: burst(1, time.Hour), MaxInFlight: 1})
		_, p := fallen(t, fallback, burst(100, time.Second)...)
		starts(t, p, 1)
		if got := fallback.Stats(); got.InFlight != 0 {
			t.Errorf("%d in flight at the Fallback", got.InFlight)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waits := callAfter(ctx, p)
		if got := fallback.Stats().Waiting; got != 1 {
			t.Errorf("%d wait at the Fallback, want 1", got)
		}
		cancel()
		<-waits
		synctest.Wait()
		if got := fallback.Stats().Waiting; got != 0 {
			t.Errorf("%d wait at the Fallback for nobody", got)
		}
		// A start that it lent, and that is not taken in time.
		r := p.remote
		slot, err := pacer.Must(pacer.Config{Limits: burst(1, time.Hour)}).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.queue.Lock()
		r.lent.have, r.lent.slot, r.lent.at = true, slot, r.queue.Now()
		r.queue.Unlock()
		time.Sleep(tooLate + 1)
		callAfter(t.Context(), p)
		if got := p.Stats().Shared.Fallback; got != 1 {
			t.Errorf("%d by the Fallback, want 1: the other is too old", got)
		}
		p.Resume()
	})
}

// The Fallback is asked for a start of the costs that are waited for.
func TestTheFallbackCountsCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := fallen(t, pacer.Must(pacer.Config{Limits: []pacer.Limit{tokens(100, time.Minute)}}), tokens(100, time.Second), pacer.Limit{Cost: 100, Unit: "points", Period: time.Second})
		began := time.Now()
		for range 2 {
			if err := p.Wait(pacer.WithCost(t.Context(), "tokens", 60)); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(began); got != time.Minute {
			t.Errorf("twice 60 of 100 took %v, want 1m", got)
		}
	})
}

// Who waits at the Fallback starts by Redis as soon as a probe has shown that it may.
func TestWhoWaitsAtTheFallbackProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := fallen(t, pacer.Drip(1, time.Hour), burst(100, time.Second)...)
		f.fail = nil
		starts(t, p, 1)
		began := time.Now()
		starts(t, p, 2)
		if got := time.Since(began); got > firstProbe {
			t.Errorf("started after %v, want within %v", got, firstProbe)
		}
	})
}

// Each that is refused is counted.
func TestCallsThatFailAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := fallen(t, nil, burst(1, time.Second)...)
		for range 3 {
			if _, err := p.Acquire(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that the context has ended", err)
		}
		if got := p.Stats().Shared.Unavailable; got != 3 {
			t.Errorf("%d counted, want 3", got)
		}
	})
}

// Of what is said of a quota before it is told the last is told, by name and unit.
func TestWhatIsSaidLastOfAQuotaIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p, other := pair(t, f, burst(100, time.Second)...)
		older, newer := acquired(t, p), (*pacer.Slot)(nil)
		time.Sleep(ms)
		newer = acquired(t, p)
		say := func(s *pacer.Slot, name string, left int) {
			s.Report(pacer.Outcome{Quotas: []quota.State{{Name: name, Remaining: left, Reset: 30 * time.Second}}})
		}
		say(newer, "a", 50)
		say(newer, "a", 3)
		say(older, "a", 1)
		say(newer, "b", 40)
		if got := len(p.remote.trips.said); got != 2 {
			t.Errorf("%d to tell, want 2", got)
		}
		synctest.Wait()
		before := p.Stats().Shared.RoundTrips
		time.Sleep(told)
		if got := p.Stats().Shared.RoundTrips - before; got != 1 {
			t.Errorf("%d round trips to tell it, want 1 in a while", got)
		}
		began := time.Now()
		starts(t, other, 3)
		if got := time.Since(began); got != 0 {
			t.Errorf("3 that are left took %v", got)
		}
		starts(t, other, 1)
		if got := time.Since(began); got != 30*time.Second-told {
			t.Errorf("the 4th after %v, want it at the reset", got)
		}
	})
}

// While a pause lasts somebody asks once a second, if anybody waits and Redis can be used.
func TestHowOftenAPauseIsAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		waits bool
		down  bool
		pause time.Duration
		want  int
	}{
		"while somebody waits": {true, false, 5 * time.Second, 4 + 1}, // and for the start
		"while nobody does":    {false, false, 5 * time.Second, 0},
		"a short one":          {true, false, time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p := mustNew(t, f, Config{Limits: burst(100, time.Second)})
				starts(t, p, 1)
				p.PauseUntil(time.Now().Add(tt.pause / 2))
				p.PauseUntil(time.Now().Add(tt.pause))
				synctest.Wait()
				before := p.Stats().Shared.RoundTrips
				if tt.waits {
					callAfter(t.Context(), p)
				}
				time.Sleep(10 * time.Second)
				if got := int(p.Stats().Shared.RoundTrips - before); got != tt.want {
					t.Errorf("%d calls, want %d", got, tt.want)
				}
			})
		})
	}
}

// What limits had room for by other limits says nothing of these, nor of a start that was settled.
func TestRoomIsKnownOfTheLimitsThatAre(t *testing.T) {
	for name, change := range map[string]func(*Pacer, *pacer.Slot) error{
		"other limits": func(p *Pacer, _ *pacer.Slot) error { return p.SetLimits(tokens(1000, time.Second)) },
		"a settlement": func(_ *Pacer, s *pacer.Slot) error { s.Settle("tokens", 10); return nil },
		"a Resume":     func(p *Pacer, _ *pacer.Slot) error { p.Resume(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := mustNew(t, newFakeRedis(t), Config{Limits: []pacer.Limit{tokens(100, time.Minute)}})
				slot, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 90))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(pacer.WithCost(t.Context(), "tokens", 50))
				callAfter(ctx, p) // then it is known
				cancel()
				synctest.Wait()
				if err := change(p, slot); err != nil {
					t.Fatal(err)
				}
				p.remote.queue.Lock()
				if got := p.remote.Due(0); got != longAgo {
					t.Errorf("room at %v, want that nothing is known", got)
				}
				p.remote.queue.Unlock()
				time.Sleep(time.Second)
			})
		})
	}
}

// What further starts are charged has an end, what they cost has not.
func TestACharge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: []pacer.Limit{tokens(100, time.Minute)}})
		r := p.remote
		r.queue.Lock()
		r.Charge(0, 0, 5000)
		r.Charge(0, 1, 5000)
		if got := r.trips.changes; got[0].cost != maxFurther || got[1].cost != 5000 {
			t.Errorf("charged %+v", got)
		}
		r.queue.Unlock()
		time.Sleep(time.Second)
	})
}

// What cannot be told is kept, the newest of it.
func TestHowMuchIsKeptThatCannotBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, newFakeRedis(t), Config{Limits: burst(1, time.Second)})
		r := p.remote
		r.queue.Lock()
		defer r.queue.Unlock()
		for i := range maxTaken - 1 {
			r.trips.changes = append(r.trips.changes, change{at: int64(3 + i)})
		}
		failed := &trip{carrying: true, request: request{changes: []change{{at: 0}, {at: 1}, {at: 2}}}}
		r.fail(failed, errors.New("down"), false, 0)
		if got := r.trips.changes; len(got) != maxTaken || got[0].at != 2 || r.counts.Lost != 2 {
			t.Errorf("%d kept from %d on and %d lost, want %d, 2 and 2", len(got), got[0].at, r.counts.Lost, maxTaken)
		}
		r.trips.changes = nil
	})
}

// The Fallback's starts are one caller's each, however many wait.
func TestTheFallbackPacesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := fallen(t, pacer.Drip(1, time.Second), burst(100, time.Second)...)
		got := starts(t, p, 3)
		for i, at := range got {
			if at != time.Duration(i)*time.Second {
				t.Errorf("started after %v, want one a second", got)
			}
		}
		f.fail = nil
		time.Sleep(time.Second)
	})
}

// What it lent is its own again when Redis is back.
func TestWhatTheFallbackLentGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fallback := pacer.Burst(1, time.Hour)
		f, p := fallen(t, fallback, burst(100, time.Second)...)
		slot, err := fallback.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.remote.queue.Lock()
		p.remote.lent.have, p.remote.lent.slot = true, slot
		p.remote.queue.Unlock()
		f.fail = nil
		if err := p.Warm(t.Context()); err != nil || !fallback.Allow() {
			t.Errorf("a start that nobody took is not given back: %v", err)
		}
	})
}
