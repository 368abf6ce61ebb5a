package redispacer

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// scripted calls the script of one configuration as a process would.
type scripted struct {
	t *testing.T
	s *script
}

func newScripted(t *testing.T, f *fakeRedis, limits ...pacer.Limit) scripted {
	return scripted{t, newScript(f, "quota", limits)}
}

func (s scripted) run(req request) reply {
	s.t.Helper()
	r, err := s.s.run(s.t.Context(), req)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// reserve reserves n starts.
func (s scripted) reserve(n int) reply {
	s.t.Helper()
	return s.run(request{budgets: anyWait(n)})
}

func anyWait(n int) []time.Duration { return slices.Repeat([]time.Duration{-1}, n) }

func (r reply) waits() []time.Duration {
	var waits []time.Duration
	for _, g := range r.grants {
		waits = append(waits, micros(g.wait))
	}
	return waits
}

func (s scripted) wantWaits(r reply, want ...time.Duration) {
	s.t.Helper()
	if got := r.waits(); !slices.Equal(got, want) {
		s.t.Errorf("waits %v, want %v", got, want)
	}
}

func TestOnlyTheNewestReservationIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), burst(1, time.Second)...)
		r := s.reserve(3)
		older, newest := r.grants[1].serial, r.grants[2].serial
		if r := s.run(request{epoch: r.epoch, returns: []int64{older, newest}}); r.returned != 0 {
			t.Errorf("%d returned, though another start was reserved behind the first", r.returned)
		}
		s.wantWaits(s.reserve(1), 3*time.Second)
		if r := s.run(request{returns: []int64{newest + 1}}); r.returned != 0 {
			t.Error("a start was returned by who does not know the state")
		}
		if r := s.run(request{epoch: r.epoch, returns: []int64{newest + 1, newest, older}}); r.returned != 3 {
			t.Errorf("%d returned, newest first; want 3", r.returned)
		}
		s.wantWaits(s.reserve(1), time.Second)
	})
}

func TestCheckingNewStateLeavesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, burst(1, time.Second)...)
		r := s.run(request{})
		if r.epoch != 0 || len(f.state) > 0 {
			t.Errorf("epoch %d and %d bytes of state, where nothing was reserved", r.epoch, len(f.state))
		}
		time.Sleep(time.Second)
		s.wantWaits(s.run(request{epoch: r.epoch, budgets: anyWait(1)}), 0)
	})
}

func TestSharedPauseIsNeverShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), burst(1, time.Second)...)
		s.run(request{pause: 5 * time.Second})
		s.run(request{pause: 2 * time.Second})
		s.wantWaits(s.reserve(1), 5*time.Second)
	})
}

// A grid laid by limits whose period does not divide follows their windows: without, it
// would fall behind them, and a start that is late would pass for one after idling.
func TestGridDoesNotFallBehindTheWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), drip(3, time.Second)...)
		r := s.reserve(3 * 300)
		time.Sleep(r.waits()[899] + 2*333333*time.Microsecond - 100*time.Microsecond)
		s.wantWaits(s.reserve(2), 0, 101*time.Microsecond)
	})
}

func TestLossIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, burst(2, time.Second)...)
		r := s.reserve(2)
		knowing := request{epoch: r.epoch, given: r.now, budgets: anyWait(1)}
		time.Sleep(100 * ms)
		f.flush()
		knowing.newest = -100 * ms
		s.wantWaits(s.run(knowing), 1100*ms)
		time.Sleep(400 * ms)
		knowing.newest = -500 * ms // another process, which has not heard of the loss
		s.wantWaits(s.run(knowing), 1200*ms)
	})
}

func TestStandstillLastsAWindowAfterTheNewestStartKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, burst(1, time.Second)...)
		r := s.reserve(3) // up to 2 s
		f.flush()
		time.Sleep(500 * ms)
		s.wantWaits(s.run(request{epoch: r.epoch, given: r.now, newest: 1500 * ms, budgets: anyWait(1)}), 2600*ms)
	})
}

func TestStandstillAfterALossIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, burst(60, time.Hour)...)
		r := s.reserve(1)
		f.flush()
		time.Sleep(time.Second)
		s.wantWaits(s.run(request{epoch: r.epoch, given: r.now, newest: -time.Second, budgets: anyWait(3)}),
			5*time.Second, 65*time.Second, 125*time.Second)
	})
}

func TestStartsBeyondTheEndOfTimeAreRefused(t *testing.T) {
	if got := micros(math.MaxInt64); got != forever {
		t.Errorf("a wait of %d µs is one of %v", int64(math.MaxInt64), got)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), burst(1, maxPeriod)...)
		for i, g := range s.reserve(40).grants {
			year := 2000 + float64(g.wait)/float64((365*24*time.Hour).Microseconds()) // a bubble begins in 2000
			if micros(g.wait) < 0 {
				t.Errorf("the wait for start %d overflows", i)
			}
			if g.refused() != (year > 2255) {
				t.Errorf("start %d in the year %.0f: refused is %v", i, year, g.refused())
			}
		}
	})
}

// While a new configuration is rolled out, each process decides by its own on the starts
// of all.
func TestChangedLimitsCountWhatOthersReserved(t *testing.T) {
	year := 8760 * time.Hour
	for _, tt := range []struct {
		name     string
		old, new []pacer.Limit
		reserved int
		want     []time.Duration
	}{
		{"nobody overtakes", burst(1, 10*time.Second), burst(100, time.Second), 3, []time.Duration{20 * time.Second, 20 * time.Second}},
		{"a shorter interval", drip(1, 10*time.Second), drip(1, time.Second), 1, []time.Duration{time.Second, 2 * time.Second}},
		{"a longer interval", drip(1, time.Second), drip(1, 10*time.Second), 1, []time.Duration{10 * time.Second}},
		{"even now", burst(5, 5*time.Second), drip(5, 5*time.Second), 2, []time.Duration{time.Second, 2 * time.Second}},
		{"more calls, all of which are known", burst(5, 5*time.Second), burst(1000, year), 200, append(slices.Repeat([]time.Duration{195 * time.Second}, 800), year)},
		// The last 261 starts are known, at one a second; the ring has gone round once and 39 starts.
		{"more calls, some of which are forgotten", burst(1, time.Second), burst(257, year), 300, []time.Duration{year + 43*time.Second, year + 44*time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				newScripted(t, f, tt.old...).reserve(tt.reserved)
				s := newScripted(t, f, tt.new...)
				s.wantWaits(s.reserve(len(tt.want)), tt.want...)
			})
		})
	}
}

func TestStateLastsForTheLongestPeriodOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		newScripted(t, f, burst(1, time.Hour)...).reserve(1)
		newScripted(t, f, burst(1, time.Second)...).reserve(1)
		if left := time.Until(f.expires); left < 2*time.Hour {
			t.Errorf("expires in %v, while a limit looks back by an hour", left)
		}
	})
}

func TestMicrosecondsNeverLoosenALimit(t *testing.T) {
	for _, l := range []pacer.Limit{
		{Calls: 1, Period: 1}, {Calls: 1, Period: 1001}, {Calls: 7, Period: 10*time.Microsecond + 1},
		{Calls: 3, Period: time.Microsecond, Even: true}, {Calls: 3, Period: time.Second + 1, Even: true},
	} {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t, newFakeRedis(t), l)
				var at []int64
				for _, g := range s.reserve(10 * l.Calls).grants {
					at = append(at, g.wait)
				}
				checkWindows(t, at, pacer.Limit{Calls: l.Calls, Period: l.Period})
				for i := 1; l.Even && i < len(at); i++ {
					if at[i] == at[i-1] {
						t.Errorf("starts %d and %d are not apart", i-1, i)
					}
				}
				if r := s.run(request{pause: 1001}); r.resumes-r.now != 2 {
					t.Errorf("a pause of 1001ns is one of %d µs", r.resumes-r.now)
				}
			})
		})
	}
}
