package pacer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

var (
	failed    = pacer.Outcome{Failed: true}
	throttled = pacer.Outcome{Throttled: true}
)

// outage returns a pacer that takes n failures for an outage.
func outage(t *testing.T, n int) *pacer.Pacer {
	t.Helper()
	return pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}, Outage: &pacer.Outage{After: n}})
}

// down lets p fail until it is down.
func down(t *testing.T, p *pacer.Pacer) {
	t.Helper()
	for range 100 {
		if slotOf(t, p, t.Context()).Report(failed); p.Stats().State == pacer.StateDown {
			return
		}
	}
	t.Fatal("not down")
}

// admissions are calls of Admit, each of which is in the queue or has ended when it was made.
type admissions struct {
	mu     sync.Mutex
	begin  time.Time
	starts []time.Duration
	names  []string
	got    map[string]*pacer.Admission
}

func newAdmissions() *admissions {
	return &admissions{begin: time.Now(), got: map[string]*pacer.Admission{}}
}

func (a *admissions) call(p *pacer.Pacer, ctx context.Context, name string) {
	go func() {
		var admitted pacer.Admission
		err := p.Admit(ctx, &admitted)
		a.mu.Lock()
		defer a.mu.Unlock()
		if err == nil {
			a.starts, a.names = append(a.starts, time.Since(a.begin)), append(a.names, name)
			a.got[name] = &admitted
		}
	}()
	synctest.Wait()
}

// report tells how the last n that started went, and lets follow what comes of it.
func (a *admissions) report(o pacer.Outcome, n int) {
	a.mu.Lock()
	for _, name := range a.names[len(a.names)-n:] {
		a.mu.Unlock()
		a.got[name].Report(o)
		a.mu.Lock()
	}
	a.mu.Unlock()
	synctest.Wait()
}

func (a *admissions) want(t *testing.T, names string) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	got := ""
	for _, name := range a.names {
		got += name
	}
	if got != names {
		t.Errorf("%v: %s started, want %s", time.Since(a.begin), got, names)
	}
}

func TestAfterAPauseOneProbeAndASlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := pacer.Burst(100, time.Second), newAdmissions()
		slotOf(t, p, t.Context()).Report(pacer.Outcome{Throttled: true, Delay: time.Second})
		for _, name := range "abcdefghijklmnop" {
			a.call(p, t.Context(), string(name))
		}
		time.Sleep(time.Second)
		a.want(t, "a")
		wantState(t, p, pacer.StateProbing, "throttled")
		a.report(failed, 1) // adds nothing
		a.want(t, "ab")
		a.report(pacer.Outcome{}, 1)
		a.want(t, "abcd")
		a.report(pacer.Outcome{}, 2)
		a.want(t, "abcdefgh")
		time.Sleep(time.Second) // of silence
		a.want(t, "abcdefghijklmnop")
	})
}

// What Wait starts nobody will report: it is no probe and waits for none.
func TestCallersOfWaitAreNoProbesAndWaitForNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(4, time.Second)
		slotOf(t, p, t.Context()).Report(pacer.Outcome{Throttled: true, Delay: 2 * time.Second})
		a, c := newAdmissions(), newCallers(p)
		a.call(p, t.Context(), "a")
		a.call(p, t.Context(), "b")
		c.arrive(3)
		time.Sleep(2*time.Second + 600*time.Millisecond)
		a.want(t, "a")
		quarter := 250 * time.Millisecond // spaced by the interval, since a report began the pause
		c.wantStarts(t, []time.Duration{2 * time.Second, 2*time.Second + quarter, 2*time.Second + 2*quarter})
		time.Sleep(400 * time.Millisecond)
		a.want(t, "ab") // a has been silent for a second
	})
}

func TestOneCallThatFailsAndFailsIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := outage(t, 3), t.Context()
		for range 20 { // a poison URL
			s := slotOf(t, p, ctx)
			s.Report(failed)
			s.Report(failed) // two reports of one start are one
			ctx = pacer.WithArrival(t.Context(), s.Came())
		}
		wantState(t, p, pacer.StateFlowing, "")
		slotOf(t, p, t.Context()).Report(failed)
		slotOf(t, p, t.Context()).Report(pacer.Outcome{})
		slotOf(t, p, t.Context()).Report(failed)
		slotOf(t, p, t.Context()).Report(failed)
		wantState(t, p, pacer.StateFlowing, "")
		slotOf(t, p, t.Context()).Report(failed)
		wantState(t, p, pacer.StateDown, "3 failures in a row")
	})
}

func TestEachCallCameAtAMomentOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := outage(t, 3)
		seen := map[time.Time]bool{}
		for range 10 {
			var a pacer.Admission
			err := p.Admit(t.Context(), &a)
			if err != nil || seen[a.Came()] {
				t.Errorf("%v, %v: another came then", err, a.Came())
			}
			seen[a.Came()] = true
			var again pacer.Admission
			if _ = p.Admit(pacer.WithArrival(t.Context(), a.Came()), &again); !again.Came().Equal(a.Came()) {
				t.Errorf("its retry came at %v, want %v", again.Came(), a.Came())
			}
		}
		if got := (*pacer.Slot)(nil).Came(); !got.IsZero() {
			t.Errorf("a nil slot came at %v", got)
		}
	})
}

// Else the oldest would use up their attempts as probes. An arrival alone is no sign of a failure.
func TestWhileDownWhoHasFailedStandsBehindWhoHasNotTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := outage(t, 2)
		tried, came := slotOf(t, p, t.Context()), time.Now()
		tried.Report(failed)
		down(t, p)
		time.Sleep(10 * time.Millisecond)
		a := newAdmissions()
		a.call(p, pacer.WithArrival(t.Context(), tried.Came()), "f")
		a.call(p, t.Context(), "a")
		a.call(p, pacer.WithArrival(t.Context(), came.Add(5*time.Millisecond)), "b") // came before a, and has not failed
		for range 2 {
			time.Sleep(200 * time.Millisecond)
			a.report(failed, 1)
		}
		time.Sleep(200 * time.Millisecond)
		a.want(t, "baf")
	})
}

func TestWhoFailedIsPutBackWhenItGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{MaxInFlight: 2, Outage: &pacer.Outage{After: 2}})
		one, two := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
		one.Report(failed)
		a := newAdmissions()
		a.call(p, pacer.WithArrival(t.Context(), one.Came()), "f")
		a.call(p, t.Context(), "a")
		two.Report(failed) // down
		one.Done()
		two.Done()
		time.Sleep(100 * time.Millisecond)
		a.want(t, "a")
		a.report(pacer.Outcome{}, 1)
		a.want(t, "af")
	})
}

func TestADeadlineIsNotJudgedByTheNextProbeWhileOneFlies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := outage(t, 1)
		down(t, p)
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := p.Admit(soon, new(pacer.Admission)); !errors.Is(err, pacer.ErrDeadline) {
			t.Errorf("%v, want a refusal: the first probe comes after 100 ms", err)
		}
		time.Sleep(100 * time.Millisecond)
		probe := slotOf(t, p, t.Context())
		soon, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		a := newAdmissions()
		a.call(p, soon, "a")
		time.Sleep(20 * time.Millisecond)
		probe.Report(pacer.Outcome{})
		a.want(t, "a")
	})
}

func TestAnOutageRefusesAllButProbesOnceItHasLastedMaxPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}, Outage: &pacer.Outage{After: 1}, MaxPause: 10 * time.Second})
		c := newCallers(p)
		down(t, p)
		c.arrive(2)
		time.Sleep(5 * time.Second)
		c.arrive(1)
		time.Sleep(5*time.Second - 1)
		if got := p.Stats().Waiting; got != 3 {
			t.Errorf("%d wait, want 3", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		for _, one := range c.calls {
			wantRefused(t, one, 10*time.Second, pacer.ErrDown, time.Millisecond) // a probe is due, but Wait is none
		}
		probe := slotOf(t, p, t.Context())
		_, err := p.Acquire(t.Context())
		if refusal := new(pacer.Error); !errors.As(err, &refusal) || !errors.Is(err, pacer.ErrDown) || refusal.Wait() != time.Second || refusal.ErrorType() != "pacing_down" {
			t.Errorf("%v, want ErrDown, and the next probe in a second", err)
		}
		probe.Report(pacer.Outcome{})
		slotOf(t, p, t.Context())
	})
}

func TestRefuseRefusesFromTheFirstMomentAndWaitKeepsNoProbeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}, Outage: &pacer.Outage{After: 1, Refuse: true}})
		down(t, p)
		for range 3 {
			soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // which does not matter then
			err := p.Wait(soon)
			if cancel(); !errors.Is(err, pacer.ErrDown) {
				t.Errorf("Wait: %v, want ErrDown", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		slotOf(t, p, t.Context()).Report(pacer.Outcome{})
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// F8: a day in a Retry-After holds nobody for a day.
func TestAPauseBeyondMaxPauseRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Second)
		c := newCallers(p)
		slotOf(t, p, t.Context()).Report(pacer.Outcome{Throttled: true, Delay: time.Minute})
		waiting := c.arrive(1)[0]
		time.Sleep(time.Second)
		p.PauseUntil(c.begin.Add(time.Minute)) // not later
		late := c.arrive(1)[0]
		if waiting.ended || late.ended {
			t.Error("refused for a pause of a minute")
		}
		p.PauseUntil(c.begin.Add(time.Minute + 1))
		synctest.Wait()
		wantRefused(t, waiting, time.Second, pacer.ErrPaused, 59*time.Second+1)
		p.PauseUntil(c.begin.Add(time.Hour))
		synctest.Wait()
		wantRefused(t, late, time.Second, pacer.ErrPaused, time.Hour-time.Second)
		_, err := p.Acquire(t.Context())
		if refusal := new(pacer.Error); !errors.As(err, &refusal) || refusal.ErrorType() != "pacing_paused" {
			t.Errorf("Acquire: %v, want ErrPaused", err)
		}
		p.Resume()
		c.arrive(1)
		if got := p.Stats(); got.State != pacer.StateFlowing {
			t.Errorf("%+v after Resume", got)
		}
	})
}

// In the dark nobody is held either where a probe brings nothing.
func TestProbingThatBringsNothingRefusesAfterMaxPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}, Outage: &pacer.Outage{After: 1}, MaxPause: 5 * time.Second})
		down(t, p)
		time.Sleep(100 * time.Millisecond)
		slotOf(t, p, t.Context()).Report(pacer.Outcome{})
		slotOf(t, p, t.Context()) // silent, which counts for nothing in an outage
		began := time.Now()
		if _, err := p.Acquire(t.Context()); !errors.Is(err, pacer.ErrPaused) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v, want ErrPaused after 5 s", err, time.Since(began))
		}
	})
}

// Retry-After: 60 and the default of a minute are both common.
func TestAPauseOfMaxPauseRefusesNobodyOnceItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}})
		slotOf(t, p, t.Context()).Report(pacer.Outcome{Throttled: true, Delay: time.Minute})
		began := time.Now()
		for range 3 {
			go func() {
				slot, err := p.Acquire(t.Context())
				if err != nil {
					t.Errorf("refused after %v: %v", time.Since(began), err)
				}
				time.Sleep(20 * time.Millisecond)
				slot.Report(pacer.Outcome{})
			}()
		}
		time.Sleep(time.Minute + 40*time.Millisecond)
		synctest.Wait()
		if got := p.Stats(); got.Granted != 4 || got.Rejected != 0 {
			t.Errorf("%+v, want all started within two round trips of the end", got)
		}
	})
}

func TestAQuotaUsedUpIsRefusedByMaxPauseAndEndsWithoutAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Calls: 10, Period: time.Second}, tokenLimit(100))
		s := slotOf(t, p, costing(t, 1))
		s.Report(pacer.Outcome{Quotas: []quota.State{{Unit: tokens, Reset: time.Minute}}})
		a := newAdmissions()
		a.call(p, costing(t, 1), "a")
		a.call(p, costing(t, 1), "b")
		s.Report(pacer.Outcome{Quotas: []quota.State{{Unit: tokens, Reset: time.Minute + time.Second + 1}}})
		synctest.Wait()
		if got := p.Stats(); got.Waiting != 0 || got.State != pacer.StatePaused {
			t.Errorf("%+v, want nobody held for longer than a minute, and the second that servers round by", got)
		}
		slotOf(t, p, costing(t, 0)) // holds no call that costs nothing in it
		if _, err := p.Acquire(costing(t, 1)); !errors.Is(err, pacer.ErrPaused) {
			t.Errorf("%v, want ErrPaused", err)
		}
		time.Sleep(time.Second)
		a.call(p, costing(t, 1), "c")
		a.call(p, costing(t, 1), "d")
		time.Sleep(time.Minute + 1)
		a.want(t, "cd")
		wantState(t, p, pacer.StateFlowing, "")
	})
}

func TestThrottlingWithoutADelayPausesTheForgottenPacersSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		worked, refused := k.Get("a"), k.Get("a")
		one := slotOf(t, worked, t.Context())
		time.Sleep(time.Second)
		two := slotOf(t, refused, t.Context())
		time.Sleep(time.Second)
		k.Get("b") // forgets a
		current := k.Get("a")
		one.Report(pacer.Outcome{})
		one.Report(failed)
		wantState(t, current, pacer.StateFlowing, "")
		if until := two.Report(throttled); !until.Equal(time.Now().Add(time.Second)) {
			t.Errorf("paused until %v, want a second", until)
		}
		wantState(t, current, pacer.StatePaused, "throttled")
	})
}

func TestReportsWithoutASlotDoNotAllocate(t *testing.T) {
	ctx := t.Context()
	p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 1_000_000, Period: time.Second}}, Outage: &pacer.Outage{After: 3}})
	if got := testing.AllocsPerRun(1000, func() {
		var a pacer.Admission
		err := p.Admit(ctx, &a)
		if err != nil || a.Slot() != nil {
			t.Fatal(err, a.Slot())
		}
		a.Report(pacer.Outcome{})
	}); got != 0 {
		t.Errorf("Admit and Report allocate %v times, want 0", got)
	}
}
