package sleep

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kinds are the sleepers there are, each with its clock at zero.
func kinds(margins ...time.Duration) map[string]*Sleeper {
	all := map[string]*Sleeper{"coarse": New(NewClock(), true), "precise": New(NewClock(), false)}
	for _, m := range margins {
		s := New(NewClock(), false)
		s.margin.Store(int64(m))
		all[fmt.Sprintf("precise, margin %v", m)] = s
	}
	return all
}

// The clock stands still in a bubble while anybody runs, so a sleeper that went
// on sleeping its thread or spinning would never return.
func TestUntilIsExactWhereTheClockStandsStill(t *testing.T) {
	for _, due := range []time.Duration{
		1, time.Microsecond, firstMargin - 1, firstMargin, firstMargin + 1, maxSpin, time.Millisecond,
		2 * time.Millisecond, 2*time.Millisecond + firstMargin, 2*time.Millisecond + firstMargin + 1,
		3 * time.Millisecond, time.Second, 24 * time.Hour, 50 * 365 * 24 * time.Hour, // the bubble's own clock ends in 2262
	} {
		t.Run(fmt.Sprint(due), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for name, s := range kinds(1, maxSpin) {
					s.clock = NewClock()
					s.Until(due, nil, nil)
					if got := s.clock.Now(); got != due {
						t.Errorf("%s: returned at %v, want %v", name, got, due)
					}
				}
			})
		})
	}
}

func TestUntilReturnsAtOnceWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range kinds() {
			time.Sleep(time.Second)
			for _, due := range []time.Duration{s.clock.Now(), 0, -time.Hour, -1 << 63} {
				before := s.clock.Now()
				s.Until(due, nil, nil)
				if got := s.clock.Now(); got != before {
					t.Errorf("%s: waited %v for %v, which was past", name, got-before, due)
				}
			}
		}
	})
}

func TestUntilReturnsEarlyOnDoneAndWake(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(done, wake chan struct{})
	}{
		{"done closed", func(done, _ chan struct{}) { close(done) }},
		{"wake closed", func(_, wake chan struct{}) { close(wake) }},
		{"wake sent", func(_, wake chan struct{}) { wake <- struct{}{} }},
	} {
		for _, when := range []time.Duration{0, 1, 5 * time.Second, 10*time.Second - 1} {
			t.Run(fmt.Sprintf("%s at %v", test.name, when), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					for name, s := range kinds() {
						s.clock = NewClock()
						done, wake := make(chan struct{}), make(chan struct{}, 1)
						time.AfterFunc(when, func() { test.tell(done, wake) })
						s.Until(10*time.Second, done, wake)
						if got := s.clock.Now(); got != when {
							t.Errorf("%s: returned at %v, want %v", name, got, when)
						}
					}
				})
			})
		}
	}
}

// Where the clock stands still nothing is learned: there is no lateness there.
func TestUntilLearnsNothingWhereTheClockStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(NewClock(), false)
		s.Until(time.Second, nil, nil)
		s.Until(time.Second+time.Millisecond, nil, nil)
		if timerLead > 0 && s.margin.Load() != 0 {
			t.Errorf("learned a margin of %v", s.currentMargin())
		}
	})
}

// In real time, because a thread sleeps and the clock is spun on only there. How
// late the sleeper is depends on the machine; that it is never early does not.
func TestUntilIsNeverEarly(t *testing.T) {
	clock := NewClock()
	for name, s := range map[string]*Sleeper{"coarse": New(clock, true), "precise": New(clock, false)} {
		for _, d := range []time.Duration{1, 20 * time.Microsecond, 300 * time.Microsecond, 3 * time.Millisecond} {
			due := clock.Now() + d
			s.Until(due, nil, nil)
			if got := clock.Now(); got < due {
				t.Errorf("%s: returned %v early of %v", name, due-got, d)
			}
		}
	}
}

func TestUntilLearnsFromTheRunningClock(t *testing.T) {
	for _, coarse := range []bool{false, true} {
		clock := NewClock()
		s := New(clock, coarse)
		// Nothing is learned where the machine was away for so long that the instant had come before the wait.
		for i := 0; i < 4 || !coarse && i < 1000 && s.margin.Load() == 0; i++ {
			s.Until(clock.Now()+3*time.Millisecond, nil, nil)
		}
		if learned := s.margin.Load() != 0; learned == coarse {
			t.Errorf("coarse=%v: learned=%v", coarse, learned)
		}
		if m := s.currentMargin(); m < 1 || m > maxSpin {
			t.Errorf("coarse=%v: margin %v, want from 1ns to %v", coarse, m, maxSpin)
		}
	}
}

func TestSpinNoticesAClockThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(NewClock(), false)
		if s.spin(1) {
			t.Error("spin: true, though the clock cannot have reached the instant")
		}
		if s.clockMoves() {
			t.Error("clockMoves: true in a bubble")
		}
		if !s.spin(0) {
			t.Error("spin: false for an instant that is due")
		}
	})
}

func TestSpinReachesItsInstantOnARunningClock(t *testing.T) {
	s := New(NewClock(), false)
	if !s.clockMoves() {
		t.Skip("the clock of this system is too coarse to spin on")
	}
	due := s.clock.Now() + 20*time.Microsecond
	if !s.spin(due) || s.clock.Now() < due {
		t.Error("spin returned before its instant")
	}
}

func TestLearnRisesFastAndFallsSlowly(t *testing.T) {
	for _, test := range []struct {
		name               string
		margin, late, want time.Duration
	}{
		{"nothing learned yet, on time", 0, 0, firstMargin - firstMargin/32},
		{"nothing learned yet, late", 0, firstMargin + 20*time.Microsecond, firstMargin + 10*time.Microsecond},
		{"as expected", 50_000, 50_000, 50_000},
		{"late: half the way up", 50_000, 150_000, 100_000},
		{"early of expectation: a little down", 64_000, 32_000, 63_000},
		{"woken early: nothing", 50_000, -1, 50_000},
		{"very late: no further than the bound", 100_000, time.Hour, 150_000},
		{"at the bound", maxSpin, time.Hour, maxSpin},
		{"at the lower bound", 1, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Sleeper
			s.margin.Store(int64(test.margin))
			s.learn(test.late)
			if got := s.currentMargin(); got != test.want {
				t.Errorf("margin %v, want %v", got, test.want)
			}
		})
	}
}

// The margin is all that is ever spun, so its bound is the bound of spinning.
func TestMarginIsBoundedWhateverIsMeasured(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s Sleeper
	for range 100_000 {
		late := time.Duration(random.Uint64() >> random.IntN(64)) // of every order of magnitude, and negative
		s.learn(late)
		if m := s.currentMargin(); m < 1 || m > maxSpin {
			t.Fatalf("margin %v after a lateness of %v, want from 1ns to %v", m, late, maxSpin)
		}
	}
	if maxSpin > 200*time.Microsecond {
		t.Errorf("maxSpin is %v, want at most 200µs", maxSpin)
	}
}

// Without its monotonic part, the epoch would tie the clock to the wall: a wall
// clock set back an hour would make an hour of sleep.
func TestClockDoesNotFollowTheWallClock(t *testing.T) {
	if epoch := NewClock().epoch.String(); !strings.Contains(epoch, " m=") {
		t.Errorf("epoch %s has no reading of the monotonic clock", epoch)
	}
}
