package pacer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// In a bubble nobody is ever late, so these tests drive a schedule by hand.

func scheduleOf(limits ...Limit) schedule {
	s, _ := newSchedule(limits, 0)
	return s
}

func wantDue(t *testing.T, s *schedule, want time.Duration) {
	t.Helper()
	if got := s.due(oneStart); got != want {
		t.Fatalf("next start due at %v, want %v", got, want)
	}
}

func TestDripDoesNotCreepThoughEveryStartIsLate(t *testing.T) {
	const (
		calls    = 1000
		interval = time.Millisecond
		late     = interval - 1
	)
	s := scheduleOf(Limit{Calls: calls, Period: calls * interval, Even: true})
	s.start(0, oneStart)
	for i := time.Duration(1); i < calls; i++ {
		wantDue(t, &s, i*interval)
		s.start(i*interval+late, oneStart)
	}
	// The window, not the grid, makes the second thousand wait for the late ones
	// of the first: once a Period, not once a start.
	wantDue(t, &s, calls*interval)
	s.start(calls*interval, oneStart)
	for i := time.Duration(calls + 1); i < 2*calls; i++ {
		wantDue(t, &s, i*interval+late)
		s.start(i*interval+late, oneStart)
	}
}

func TestStalledMachineFiresNoBunch(t *testing.T) {
	s := scheduleOf(Limit{Calls: 10, Period: time.Second, Even: true})
	s.start(0, oneStart)
	wantDue(t, &s, 100*time.Millisecond)
	s.start(730*time.Millisecond, oneStart) // six slots were missed
	for i := time.Duration(1); i < 5; i++ {
		wantDue(t, &s, (730+i*100)*time.Millisecond)
		s.start((730+i*100)*time.Millisecond, oneStart)
	}
}

func TestPredictionAfterLateStart(t *testing.T) {
	for _, test := range []struct{ late, next time.Duration }{
		{0, 2 * time.Second},
		{stall - 1, 2 * time.Second}, // a little early: rather wait in vain than be refused in vain
		{stall, 2*time.Second + stall},
		{time.Minute, 2*time.Second + time.Minute},
	} {
		t.Run(fmt.Sprint(test.late), func(t *testing.T) {
			s := scheduleOf(Limit{Calls: 1, Period: time.Second})
			s.start(0, oneStart)
			for n := range 3 {
				want := time.Duration(n+1) * time.Second
				if got := s.planned(n, 0, nil); got != want {
					t.Fatalf("caller with %d ahead planned for %v, want %v", n, got, want)
				}
			}
			now := time.Second + test.late
			s.start(now, oneStart)
			for n := range 3 {
				want := test.next + time.Duration(n)*time.Second
				if got := s.planned(n, now, nil); got != want {
					t.Errorf("caller with %d ahead planned for %v, want %v", n, got, want)
				}
			}
		})
	}
}

// What is due already is planned for now, not for the past.
func TestPredictionIsNeverInThePast(t *testing.T) {
	s := scheduleOf(Limit{Calls: 1, Period: time.Second})
	s.start(0, oneStart)
	s.planned(0, 0, nil)
	if got := s.planned(0, 3*time.Second, nil); got != 3*time.Second {
		t.Errorf("planned for %v, want 3s", got)
	}
}

// A schedule that is forgotten when it is no longer busy, and begun anew, decides
// the same: that is what lets a Keyed forget.
func TestIdleScheduleDecidesLikeAFreshOne(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var limits []Limit
		for range 1 + random.IntN(3) {
			limits = append(limits, Limit{Calls: 1 + random.IntN(5), Period: time.Duration(1 + random.IntN(1000)), Even: random.IntN(2) == 0})
		}
		old, now := scheduleOf(limits...), time.Duration(0)
		for range random.IntN(20) {
			now = max(now+time.Duration(random.IntN(200)), old.due(oneStart))
			old.start(now, oneStart)
		}
		if random.IntN(2) == 0 {
			old.Pause(now+time.Duration(random.IntN(2000)), false)
		}
		now = max(now, old.busyUntil()) + time.Duration(random.IntN(3))
		fresh := scheduleOf(limits...)
		for n := range 20 {
			now = max(now+time.Duration(random.IntN(100)), old.due(oneStart))
			if got := max(now, fresh.due(oneStart)); got != now {
				t.Fatalf("seed %d, %+v: start %d is due at %v, in a fresh schedule at %v", seed, limits, n, now, got)
			}
			if o, f := old.planned(3, now, nil), fresh.planned(3, now, nil); o != f {
				t.Fatalf("seed %d, %+v: start %d: the fourth is planned for %v, in a fresh schedule for %v", seed, limits, n, o, f)
			}
			old.start(now, oneStart)
			fresh.start(now, oneStart)
			old.plan.clear()
			fresh.plan.clear()
		}
	}
}

// A queue with someone in it is remembered even when nothing else is pending:
// the head may be due and not have looked yet.
func TestWaitingCallerKeepsPacerBusy(t *testing.T) {
	p := Burst(1, time.Second)
	if got := p.forget(nil); got != 0 {
		t.Errorf("an unused pacer is busy for %v, want 0", got)
	}
	p.queue.join(&waiter{})
	if got := p.forget(nil); got != 1 {
		t.Errorf("a pacer with a queue is busy for %v, want 1ns", got)
	}
}

// What a bucket or a cost window has let through is not known start by start.
func TestTakenOverIsWaitedForWhereItIsNotRemembered(t *testing.T) {
	bucket := Limit{Calls: 1, Period: time.Second, Bucket: 3}
	window := Limit{Calls: 3, Period: time.Minute}
	costs := Limit{Cost: 3, Unit: "tokens", Period: time.Minute}
	for name, tc := range map[string]struct {
		other, own Limit
		wait       time.Duration
	}{
		"a window after a bucket":     {bucket, window, time.Minute},
		"a window after a window":     {window, window, 0},
		"a bucket after a window":     {window, bucket, 3 * time.Second},
		"a bucket after a bucket":     {bucket, bucket, 3 * time.Second},
		"a cost window after windows": {window, costs, time.Minute},
		"a window after costs":        {costs, window, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other := Must(Config{Limits: []Limit{tc.other}})
				other.Allow()
				own := Must(Config{Limits: []Limit{tc.own}})
				own.takeOver(other)
				began := time.Now()
				if err := own.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != tc.wait {
					t.Errorf("waited %v, want %v", took, tc.wait)
				}
			})
		})
	}
}
