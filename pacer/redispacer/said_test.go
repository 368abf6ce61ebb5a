package redispacer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// told is until when Redis has been told of what rides along.
const told = ride + ms

// pair returns the pacers of two processes.
func pair(t *testing.T, f *fakeRedis, limits ...pacer.Limit) (a, b *Pacer) {
	t.Helper()
	return mustNew(t, f, Config{Limits: limits}), mustNew(t, f, Config{Limits: limits})
}

// acquired is a start of p.
func acquired(t *testing.T, p *Pacer) *pacer.Slot {
	t.Helper()
	slot, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

// answered acquires a start of p whose answer says so of a quota.
func answered(t *testing.T, p *Pacer, said ...quota.State) {
	t.Helper()
	slot := acquired(t, p)
	slot.Report(pacer.Outcome{Quotas: said})
	slot.Done()
}

// throttled has a report of p begin a pause of two seconds, of which Redis has heard.
func throttled(t *testing.T, p *Pacer) {
	t.Helper()
	acquired(t, p).Report(pacer.Outcome{Throttled: true, Delay: 2 * time.Second})
	synctest.Wait()
}

func TestWhatAServerSaysIsLeftHoldsEveryProcess(t *testing.T) {
	for name, tt := range map[string]struct {
		left int
		ask  int // starts that the other process has at once
	}{
		"some":    {3, 3},
		"nothing": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, newFakeRedis(t), burst(100, time.Second)...)
				began := time.Now()
				answered(t, a, quota.State{Name: "core", Limit: 100, Remaining: tt.left, Reset: 30 * time.Second})
				time.Sleep(told)
				starts(t, b, tt.ask)
				if got := time.Since(began); got != told {
					t.Errorf("%d starts took %v, want them at once", tt.ask, got-told)
				}
				starts(t, b, 1)
				if got := time.Since(began); got != 30*time.Second {
					t.Errorf("a further start after %v, want it at the reset, after 30 s", got)
				}
			})
		})
	}
}

// Without waiting for anything: where nothing is left others hear of it with their next start.
func TestAQuotaThatIsUsedUpIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newFakeRedis(t), burst(100, time.Second)...)
		answered(t, a, quota.State{Remaining: 0, Reset: 30 * time.Second})
		synctest.Wait()
		if _, err := b.TryAcquire(t.Context()); !errors.Is(err, pacer.ErrNotNow) {
			t.Errorf("a start of the other process: %v, want ErrNotNow", err)
		}
	})
}

// What started behind the start that was answered is not in the answer, whoever's it was.
func TestStartsOfAllProcessesCountInAQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newFakeRedis(t), burst(100, time.Second)...)
		began := time.Now()
		slot := acquired(t, a)
		starts(t, b, 4)
		slot.Report(pacer.Outcome{Quotas: []quota.State{{Remaining: 6, Reset: 30 * time.Second}}})
		time.Sleep(told)
		starts(t, b, 2)
		if got := time.Since(began); got != told {
			t.Errorf("two of the six left took %v, want them at once", got-told)
		}
		starts(t, b, 1)
		if got := time.Since(began); got != 30*time.Second {
			t.Errorf("the seventh started after %v, want 30s", got)
		}
	})
}

func TestTheNewestStartsAnswerCountsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := pair(t, f, burst(100, time.Second)...)
		older := acquired(t, a)
		time.Sleep(ms)
		answered(t, b, quota.State{Remaining: 50, Reset: 30 * time.Second})
		time.Sleep(told)
		older.Report(pacer.Outcome{Quotas: []quota.State{{Remaining: 1, Reset: 30 * time.Second}}})
		time.Sleep(2 * told)
		began := time.Now()
		starts(t, b, 49)
		if got := time.Since(began); got != 0 {
			t.Errorf("49 of 50 that were left took %v, want them at once", got)
		}
		// And what comes later may say that more is left than was known.
		answered(t, b, quota.State{Remaining: 20, Reset: 30 * time.Second})
		time.Sleep(told)
		c := mustNew(t, f, Config{Limits: burst(100, time.Second)})
		began = time.Now()
		starts(t, c, 20)
		if got := time.Since(began); got > time.Second {
			t.Errorf("20 of 20 that were left took %v", got)
		}
	})
}

func TestAQuotaOfAUnitHoldsWhatCostsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newFakeRedis(t), perSecond(100, false), tokens(1000, time.Second))
		began := time.Now()
		answered(t, a, quota.State{Name: "tpm", Unit: "tokens", Remaining: 100, Reset: 30 * time.Second})
		time.Sleep(told)
		if err := b.Wait(pacer.WithCost(t.Context(), "tokens", 60)); err != nil {
			t.Fatal(err)
		}
		if err := b.Wait(pacer.WithCost(t.Context(), "tokens", 0)); err != nil || time.Since(began) != told {
			t.Errorf("what costs nothing started after %v: %v", time.Since(began)-told, err)
		}
		if err := b.Wait(pacer.WithCost(t.Context(), "tokens", 41)); err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("41 where 40 are left started after %v, want 30s: %v", time.Since(began), err)
		}
	})
}

func TestOfAQuotaThatNobodyCountsOnlyItsEndMatters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newFakeRedis(t), burst(100, time.Second)...)
		began := time.Now()
		answered(t, a, quota.State{Unit: "credits", Remaining: 1, Reset: 30 * time.Second})
		time.Sleep(told)
		starts(t, b, 5)
		if got := time.Since(began); got != told {
			t.Errorf("five starts took %v, want them at once", got-told)
		}
		answered(t, a, quota.State{Unit: "credits", Remaining: 0, Reset: 30 * time.Second})
		synctest.Wait()
		began = time.Now()
		starts(t, b, 1)
		if got := time.Since(began); got != 30*time.Second {
			t.Errorf("started %v into a quota that is used up, want 30s", got)
		}
	})
}

func TestResumeForgetsQuotasForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newFakeRedis(t), burst(100, time.Second)...)
		answered(t, a, quota.State{Remaining: 0, Reset: 30 * time.Second})
		synctest.Wait()
		a.Resume()
		synctest.Wait()
		began := time.Now()
		starts(t, b, 1)
		if got := time.Since(began); got != 0 {
			t.Errorf("started after %v, want it at once", got)
		}
	})
}

// After a pause that a server asked for, one start of all processes shows whether it is over.
func TestOneProcessProbesForAll(t *testing.T) {
	for name, tt := range map[string]struct {
		probe        func(*pacer.Slot)
		third, forth time.Duration // after the pause, starts of others who come after that
	}{
		"worked":   {func(s *pacer.Slot) { s.Report(pacer.Outcome{}) }, 500 * ms, 500 * ms},
		"failed":   {func(s *pacer.Slot) { s.Report(pacer.Outcome{Failed: true}) }, 500 * ms, 1500 * ms},
		"canceled": {func(s *pacer.Slot) { s.Cancel() }, 500 * ms, 1500 * ms},
		"silent":   {func(s *pacer.Slot) {}, time.Second, time.Second},
		"throttled": {func(s *pacer.Slot) {
			s.Report(pacer.Outcome{Throttled: true, Delay: 5 * time.Second})
		}, 5500 * ms, 6500 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				var all []*Pacer
				for range 4 {
					all = append(all, mustNew(t, f, Config{Limits: burst(100, time.Second), Timeout: 250 * ms}))
				}
				starts(t, all[1], 1)
				throttled(t, all[0])
				probe := acquired(t, all[0])
				began := time.Now()
				if _, err := all[1].TryAcquire(t.Context()); !errors.Is(err, pacer.ErrNotNow) {
					t.Errorf("beside the probe another process was answered %v, want ErrNotNow", err)
				}
				time.Sleep(500*ms - time.Since(began))
				tt.probe(probe)
				synctest.Wait()
				for i, want := range []time.Duration{tt.third, tt.forth} {
					starts(t, all[2+i], 1)
					if got := time.Since(began); got != want {
						t.Errorf("process %d started %v after the pause, want %v", 3+i, got, want)
					}
				}
			})
		})
	}
}

// It may be one that has not heard of the pause, since that was over when it asked.
func TestWhoNeverHeardOfThePauseProbesAsWell(t *testing.T) {
	for name, tt := range map[string]struct {
		failed bool
		second time.Duration // after the probe, another process's second start
	}{
		"worked": {false, 500 * ms},
		"failed": {true, 1500 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				a, b := pair(t, f, burst(100, time.Second)...)
				throttled(t, a)
				time.Sleep(3 * time.Second)
				began := time.Now()
				probe := acquired(t, b)
				if got := time.Since(began); got != 0 {
					t.Errorf("started after %v, want it at once", got)
				}
				if got := b.Stats().State; got != pacer.StateProbing {
					t.Errorf("state %v, want probing", got)
				}
				time.Sleep(500 * ms)
				probe.Report(pacer.Outcome{Failed: tt.failed})
				synctest.Wait()
				for i, want := range []time.Duration{500 * ms, tt.second} {
					starts(t, mustNew(t, f, Config{Limits: burst(100, time.Second)}), 1)
					if got := time.Since(began); got != want {
						t.Errorf("start %d of others %v after the probe, want %v", i+1, got, want)
					}
				}
			})
		})
	}
}

// Who died while it probed holds nobody up for longer than a second, nor does who gave up before.
func TestAProbeThatNeverComesHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newFakeRedis(t), burst(100, time.Second)...)
		throttled(t, a)
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second-ms, cancel)
		if err := a.Wait(ctx); err == nil {
			t.Fatal("started in the pause")
		}
		starts(t, b, 1)
		if got := time.Since(began); got != 2*time.Second {
			t.Errorf("another process started after %v, want 2s", got)
		}
	})
}
