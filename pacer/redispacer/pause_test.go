package redispacer

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestAPauseHoldsEveryProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		starts(t, b, 10) // whoever comes now waits
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
	})
}

// What one process's server said is heard by all: a Retry-After above all.
func TestAPauseThatAReportBeganHoldsEveryProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		slot, err := a.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		slot.Report(pacer.Outcome{Throttled: true, Delay: 5 * time.Second})
		slot.Done()
		synctest.Wait()
		// b has to ask, and hears of it: a probe, and when it was answered the next.
		first, err := b.Acquire(t.Context())
		if err != nil || time.Since(began) != 5*time.Second {
			t.Fatalf("got %v after %v, want a start after 5s", err, time.Since(began))
		}
		if got := b.Stats(); got.State != pacer.StateProbing {
			t.Errorf("state %v, want probing", got.State)
		}
		time.AfterFunc(300*ms, func() { first.Report(pacer.Outcome{}) })
		if _, err := b.Acquire(t.Context()); err != nil || time.Since(began) != 5300*ms {
			t.Errorf("got %v after %v, want a start when the probe was answered", err, time.Since(began))
		}
	})
}

func TestAPauseIsNotLengthenedByDelaysInHearingOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(call int) (time.Duration, time.Duration) {
			return time.Duration(call%7) * ms, time.Duration(4-call%5) * ms
		}
		p := mustNew(t, f, Config{Limits: burst(1000, time.Second)})
		began := time.Now()
		p.PauseUntil(began.Add(time.Second))
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
	})
}

func TestAPauseRefusesWhoCannotWaitForItsEndBeforeRedisKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 50 * ms, 50 * ms }
		p := mustNew(t, f, Config{Limits: burst(1, time.Second)})
		began := time.Now()
		p.PauseUntil(began.Add(30 * time.Second))
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		var refusal *Error
		if err := p.Wait(ctx); !errors.As(err, &refusal) || refusal.Wait() != 30*time.Second || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want a refusal at once that predicts 30s", err, time.Since(began))
		}
		time.Sleep(time.Minute)
	})
}

func TestAPauseIsSharedAsSoonAsRedisMayBeProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		began := time.Now()
		f.fail = func(int) error {
			if time.Since(began) < firstProbe {
				return errors.New("down")
			}
			return nil
		}
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		if err := a.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		until := time.Now().Add(30 * time.Second)
		a.PauseUntil(until)
		time.Sleep(firstProbe)
		callAfter(t.Context(), a)
		if got := a.Stats().PausedUntil; !got.Equal(until) {
			t.Errorf("paused until %v, want %v", got, until)
		}
		time.Sleep(2 * poll)
		starts(t, b, 1)
		if late := time.Since(until); late != 0 {
			t.Errorf("the other process started %v after the pause's end", late)
		}
	})
}

func TestAnOwnPauseOutlivesTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p, other := mustNew(t, f, Config{Limits: burst(5, time.Second)}), mustNew(t, f, Config{Limits: burst(5, time.Second)})
		starts(t, p, 1)
		began := time.Now()
		p.PauseUntil(began.Add(30 * time.Second))
		waits := callAfter(t.Context(), p)
		time.Sleep(10*time.Second - poll/2)
		f.flush()
		time.Sleep(poll) // then somebody who waits has asked, and told
		starts(t, other, 1)
		if at := time.Since(began); at != 30*time.Second {
			t.Errorf("another process started %v into the pause of 30s", at)
		}
		<-waits
	})
}

func TestResumeEndsAPauseInEveryProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		b := mustNew(t, f, Config{Limits: burst(10, time.Second)})
		began := time.Now()
		a.PauseUntil(began.Add(50 * time.Second))
		synctest.Wait()
		callAfter(t.Context(), b)
		if got := b.Stats().PausedUntil; !got.Equal(began.Add(50 * time.Second)) {
			t.Fatalf("paused until %v, want 50s", got.Sub(began))
		}
		time.Sleep(10 * time.Second)
		a.Resume()
		starts(t, b, 1)
		if at := time.Since(began); at > 10*time.Second+poll {
			t.Errorf("another process started after %v, want within a second of Resume", at)
		}
		a.PauseUntil(time.Now().Add(5 * time.Second)) // and another pause is one
		synctest.Wait()
		if at := starts(t, b, 1); at[0] != 5*time.Second {
			t.Errorf("started after %v, want 5s", at)
		}
	})
}

// What is reserved within a pause goes back, so that others have it when that ends.
func TestAPauseGivesBackWhatItCovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.delay = func(int) (time.Duration, time.Duration) { return 100 * ms, 100 * ms }
		limit := burst(5, time.Second)
		p, q := mustNew(t, f, Config{Limits: limit}), mustNew(t, f, Config{Limits: limit})
		starts(t, p, 10) // so that it reserves ahead
		for range 5 {
			callAfter(t.Context(), p)
		}
		time.Sleep(850 * ms)
		if got := p.Stats().Shared.Reserved; got != 5 {
			t.Errorf("%d reserved, want 5", got)
		}
		p.PauseUntil(time.Now().Add(3 * time.Second))
		time.Sleep(500 * ms)
		if got := p.Stats().Shared; got.Reserved != 0 || got.Returned != 5 {
			t.Errorf("stats %+v, want 5 given back", got)
		}
		at := starts(t, q, 5)
		if slices.Max(at) > 4*time.Second {
			t.Errorf("another process started after %v", at)
		}
		time.Sleep(time.Minute)
	})
}

// Who ends a pause and begins a shorter one shortens it, for all.
func TestResumeAndAPauseShortenWhatThereWas(t *testing.T) {
	for name, pause := range map[string]func(f *fakeRedis, a, b *Pacer, until time.Time){
		"by one process": func(_ *fakeRedis, a, _ *Pacer, until time.Time) {
			a.Resume()
			a.PauseUntil(until)
		},
		"by two": func(_ *fakeRedis, a, b *Pacer, until time.Time) {
			a.Resume()
			synctest.Wait()
			b.PauseUntil(until)
		},
		"when the first could not be told": func(f *fakeRedis, a, _ *Pacer, until time.Time) {
			fails := f.calls
			f.fail = func(call int) error {
				if call == fails {
					time.Sleep(10 * ms)
					return errors.New("down")
				}
				return nil
			}
			a.Resume()
			synctest.Wait()
			a.PauseUntil(until)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				a, b := pair(t, f, burst(10, time.Second)...)
				waiting, late := pair(t, f, burst(10, time.Second)...)
				began := time.Now()
				a.PauseUntil(began.Add(time.Minute))
				synctest.Wait()
				waits := callAfter(t.Context(), waiting)
				pause(f, a, b, began.Add(5*time.Second))
				synctest.Wait()
				for name, result := range map[string]<-chan error{"waited": waits, "came later": callAfter(t.Context(), late)} {
					if err := <-result; err != nil || time.Since(began) != 5*time.Second {
						t.Errorf("who %s started after %v, want 5s: %v", name, time.Since(began), err)
					}
				}
			})
		})
	}
}

// News of a Resume ends no pause that began after it, be Redis told of that already or not.
func TestResumeEndsNoPauseThatComesLater(t *testing.T) {
	for name, meanwhile := range map[string]func(*pacer.Slot){
		"told": func(*pacer.Slot) {},
		"not told yet": func(s *pacer.Slot) {
			s.Cancel() // the answer to this brings the news, and the pause waits for it
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				a, b := pair(t, f, burst(10, time.Second)...)
				slot := acquired(t, a)
				b.Resume()
				synctest.Wait()
				delays(f, 100*ms)
				meanwhile(slot)
				began := time.Now()
				a.PauseUntil(began.Add(5 * time.Second))
				time.Sleep(200 * ms)
				if got := a.Stats().State; got != pacer.StatePaused {
					t.Errorf("state %v, want paused", got)
				}
				for _, p := range []*Pacer{a, b} {
					if starts(t, p, 1); time.Since(began) != 5*time.Second {
						t.Errorf("started %v into a pause of 5s", time.Since(began))
					}
				}
			})
		})
	}
}

// Who hears of a Resume while the answer about its own pause is on its way hears of it later.
func TestResumeEndsAPauseThatWasJustTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := pair(t, f, burst(10, time.Second)...)
		acquired(t, a)
		began := time.Now()
		delays(f, 100*ms)
		a.PauseUntil(began.Add(time.Minute))
		synctest.Wait()
		waits := callAfter(t.Context(), a)
		time.Sleep(10 * ms)
		b.Resume()
		synctest.Wait()
		if err := a.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-waits; err != nil || time.Since(began) != poll {
			t.Errorf("started after %v, want %v: %v", time.Since(began), poll, err)
		}
	})
}
