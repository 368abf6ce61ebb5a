package pacer_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestPauseMovesTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Second)
		c := newCallers(p)
		c.arrive(4) // due at 0 1 2 3
		time.Sleep(500 * time.Millisecond)
		p.PauseUntil(c.begin.Add(5 * time.Second))
		c.wantStarts(t, seconds(0, 5, 6, 7))
	})
}

func TestPauseHoldsFreeSlotsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(3, time.Second)
		p.PauseUntil(time.Now().Add(2 * time.Second))
		if p.Allow() {
			t.Error("Allow: true during a pause")
		}
		c := newCallers(p)
		c.arrive(5)
		time.Sleep(2*time.Second - 1)
		if p.Allow() {
			t.Error("Allow: true during a pause")
		}
		c.wantStarts(t, seconds(2, 2, 2, 3, 3))
	})
}

func TestPauseIsNeverShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(10, time.Second)
		begin := time.Now()
		until := begin.Add(10 * time.Second)
		p.PauseUntil(until)
		for _, earlier := range []time.Time{begin.Add(5 * time.Second), begin, begin.Add(-time.Hour), {}} {
			p.PauseUntil(earlier)
			if got := p.Stats().PausedUntil; !got.Equal(until) {
				t.Errorf("paused until %v after a pause until %v, want still %v", got, earlier, until)
			}
		}
		c := newCallers(p)
		c.arrive(2)
		p.PauseUntil(begin.Add(12 * time.Second)) // lengthened, though
		c.wantStarts(t, seconds(12, 12))
	})
}

func TestPauseInThePastDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Second)
		p.PauseUntil(time.Now())
		p.PauseUntil(time.Now().Add(-time.Hour))
		p.PauseUntil(time.Time{})
		if got := p.Stats(); !got.PausedUntil.IsZero() || !got.Next.Equal(time.Now()) {
			t.Errorf("Stats: %+v, want no pause", got)
		}
		c := newCallers(p)
		c.arrive(2)
		c.wantStarts(t, seconds(0, 1))
	})
}

func TestPauseLeavesTheLimitsInForce(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits []pacer.Limit
		pause  time.Duration
		want   []time.Duration
	}{
		{"burst", []pacer.Limit{{Calls: 2, Period: 10 * time.Second}}, 3 * time.Second, seconds(0, 3, 10, 13, 20)},
		{"burst, window over", []pacer.Limit{{Calls: 2, Period: 10 * time.Second}}, 11 * time.Second, seconds(0, 11, 11, 21, 21)},
		{"drip, shorter than an interval", []pacer.Limit{{Calls: 5, Period: 10 * time.Second, Even: true}}, 3 * time.Second, seconds(0, 3, 4, 6, 8)},
		{"drip", []pacer.Limit{{Calls: 5, Period: 10 * time.Second, Even: true}}, 9 * time.Second, seconds(0, 9, 11, 13, 15)},
		{
			"several limits",
			[]pacer.Limit{{Calls: 2, Period: time.Second}, {Calls: 4, Period: 10 * time.Second}},
			5 * time.Second, seconds(0, 5, 5, 6, 10),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerOf(t, test.limits...)
				c := newCallers(p)
				c.arrive(1)
				p.PauseUntil(c.begin.Add(test.pause))
				c.arrive(len(test.want) - 1)
				c.wantStarts(t, test.want)
			})
		})
	}
}

func TestPauseRefusesWaitersItMakesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Second)
		c := newCallers(p)
		c.arrive(1)
		head := c.arriveBefore(4 * time.Second)    // due at 1, with the pause at 10
		patient := c.arrive(1)[0]                  // then at 10
		middle := c.arriveBefore(11 * time.Second) // then at 11: a nanosecond too late
		moved := c.arriveBefore(11*time.Second + 1)
		tail := c.arriveBefore(12 * time.Second)
		last := c.arrive(1)[0]

		time.Sleep(500 * time.Millisecond)
		p.PauseUntil(c.begin.Add(10 * time.Second))
		synctest.Wait()
		const at = 500 * time.Millisecond
		wantRefused(t, head, at, pacer.ErrDeadline, 10*time.Second-at)
		wantRefused(t, middle, at, pacer.ErrDeadline, 11*time.Second-at)
		wantRefused(t, tail, at, pacer.ErrDeadline, 12*time.Second-at)
		if got := p.Stats(); got.Waiting != 3 || got.Rejected != 3 {
			t.Errorf("Stats: %+v, want 3 waiting and 3 rejected", got)
		}
		c.starts()
		for _, want := range []struct {
			*call
			at time.Duration
		}{{patient, 10 * time.Second}, {moved, 11 * time.Second}, {last, 12 * time.Second}} {
			if want.err != nil || want.call.at != want.at {
				t.Errorf("one who stayed started at %v (%v), want %v", want.call.at, want.err, want.at)
			}
		}
	})
}

func TestPauseRefusingEverybodyLeavesAnEmptyQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Second)
		c := newCallers(p)
		c.arrive(1)
		for range 3 {
			c.arriveBefore(5 * time.Second)
		}
		p.PauseUntil(c.begin.Add(time.Minute))
		synctest.Wait()
		for _, one := range c.calls[1:] {
			wantRefused(t, one, 0, pacer.ErrDeadline, time.Minute)
		}
		time.Sleep(time.Minute)
		c.arrive(2)
		c.wantStarts(t, seconds(0, 60, 61))
	})
}

func TestPauseIsPredicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(1, time.Second)
		c := newCallers(p)
		c.arrive(3)
		wantRefused(t, c.arriveBefore(time.Second), 0, pacer.ErrDeadline, 3*time.Second)
		p.PauseUntil(c.begin.Add(10 * time.Second))
		wantRefused(t, c.arriveBefore(time.Second), 0, pacer.ErrDeadline, 12*time.Second)
		c.wantStarts(t, seconds(0, 10, 11))
	})
}

// A reading of the wall clock alone, as parsed from a header, serves as well.
func TestPauseUntilWallClockTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, time.Second)
		c := newCallers(p)
		p.PauseUntil(c.begin.Add(3 * time.Second).Round(0))
		c.arrive(1)
		c.wantStarts(t, seconds(3))
	})
}

// What holds callers then is no pause, however long it takes.
func TestALimitThatHoldsTheFirstProbeRefusesNobody(t *testing.T) {
	for _, test := range []struct {
		name   string
		config pacer.Config
		begins []time.Duration // of the three that wait
	}{
		{"a window", pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: 10 * time.Minute}}},
			[]time.Duration{10 * time.Minute, 10*time.Minute + 20*time.Millisecond, 20 * time.Minute}},
		{"a flight", pacer.Config{MaxInFlight: 2},
			[]time.Duration{5 * time.Minute, 5*time.Minute + 20*time.Millisecond, 5*time.Minute + 40*time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, begin := pacerWith(t, test.config), time.Now()
				first, second := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
				second.Report(pacer.Outcome{Throttled: true, Delay: time.Second})
				begins := make(chan time.Duration, 3)
				for range 3 {
					go func() {
						slot, err := p.Acquire(t.Context())
						if err != nil {
							t.Error(err)
						}
						begins <- time.Since(begin)
						time.Sleep(20 * time.Millisecond)
						slot.Report(pacer.Outcome{})
						slot.Done()
					}()
				}
				time.Sleep(5 * time.Minute)
				first.Done() // the second never is
				for i, want := range test.begins {
					if got := <-begins; got != want {
						t.Errorf("start %d after %v, want %v", i, got, want)
					}
				}
				time.Sleep(20 * time.Millisecond)
			})
		})
	}
}

func TestResumeForgetsThrottlings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(100, time.Second)
		for range 3 {
			until := slotOf(t, p, t.Context()).Report(pacer.Outcome{Throttled: true})
			if !until.Equal(time.Now().Add(time.Second)) {
				t.Errorf("paused until %v, want a second", until)
			}
			p.Resume()
		}
	})
}

// From when on a probe holds them, that is: the limit's share is none of the pause's.
func TestProbingThatALimitDelayedRefusesAfterMaxPauseToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{
			Limits: []pacer.Limit{{Calls: 2, Period: time.Minute}}, Outage: &pacer.Outage{After: 1}, MaxPause: 5 * time.Second})
		begin := time.Now()
		down(t, p)
		time.Sleep(100 * time.Millisecond)
		slotOf(t, p, t.Context()).Report(pacer.Outcome{}) // now the window is full
		ended := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := p.Acquire(t.Context())
				ended <- err
			}()
		}
		if err := <-ended; err != nil || time.Since(begin) != time.Minute {
			t.Errorf("the probe after %v: %v, want it after a minute", time.Since(begin), err)
		}
		for range 2 {
			if err := <-ended; !errors.Is(err, pacer.ErrPaused) || time.Since(begin) != time.Minute+5*time.Second {
				t.Errorf("%v after %v, want ErrPaused 5 s after the probe", err, time.Since(begin))
			}
		}
	})
}

func TestRefusalWhileProbingTellsOfTheLimitToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, 10*time.Minute)
		slotOf(t, p, t.Context()).Report(pacer.Outcome{Throttled: true})
		time.Sleep(10 * time.Minute)
		slotOf(t, p, t.Context()).Report(failed) // the probe
		_, err := p.Acquire(t.Context())
		if refusal := new(pacer.Error); !errors.As(err, &refusal) || !errors.Is(err, pacer.ErrPaused) || refusal.Wait() != 9*time.Minute {
			t.Errorf("%v, want ErrPaused after a minute, and 9 more to wait", err)
		}
	})
}
