package redispacer

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// back gives starts back.
func (s scripted) back(epoch int64, all ...granted) reply {
	s.t.Helper()
	req := request{epoch: epoch}
	for _, g := range all {
		req.changes = append(req.changes, g.back())
	}
	return s.run(req)
}

// ahead asks for n starts within five seconds.
func (s scripted) ahead(n int) reply {
	s.t.Helper()
	return s.run(request{wanted: make([][]int, n), horizon: 5 * time.Second})
}

// What was given back ahead of its time is there for whoever asks next, the soonest first.
func TestWhatIsGivenBackAheadIsTakenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, perSecond(10, true)), newScripted(t, f, 2, perSecond(10, true))
		all := a.ahead(6).starts
		for _, i := range []int{4, 2, 3} {
			if got := a.back(f.epoch(), all[i]).returned; got != 1 {
				t.Errorf("%d given back, want 1", got)
			}
		}
		if got, want := b.ahead(4).waits(), []time.Duration{200 * ms, 300 * ms, 400 * ms, 600 * ms}; !slices.Equal(got, want) {
			t.Errorf("starts after %v, want %v", got, want)
		}
	})
}

// Nor does it come back when who gave it back says so once more, whose answer was lost.
func TestWhatIsTakenIsNotGivenBackByWhoHadItBefore(t *testing.T) {
	for name, later := range map[string]time.Duration{"ahead": 0, "when it has happened": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				a, b := newScripted(t, f, 1, burst(2, time.Second)...), newScripted(t, f, 2, burst(2, time.Second)...)
				all := a.ahead(4).starts[2:] // after a second
				a.back(f.epoch(), all[0])
				if got := b.ahead(1).starts; len(got) != 1 || got[0].at != all[0].at {
					t.Fatalf("%v, want what was given back, at %d", got, all[0].at)
				}
				time.Sleep(later)
				if got := a.back(f.epoch(), all[0]).returned; got != 0 {
					t.Error("another's start was given back")
				}
				if got := b.ahead(1).starts[0].at - all[0].at; got != 1e6 {
					t.Errorf("the next start %v behind it, want 1s", micros(got))
				}
			})
		})
	}
}

// Starts of one moment, or of one serial number, are not confused.
func TestEachStartIsGivenBackOnce(t *testing.T) {
	t.Run("of one moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			s := newScripted(t, f, 1, perSecond(3, false))
			all := s.ahead(6).starts[3:]
			if got := s.back(f.epoch(), append(all, all...)...).returned; got != 3 {
				t.Errorf("%d of 3 given back", got)
			}
		})
	})
	t.Run("of one serial number", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			f.with(t, "SERIALS = 4096", "SERIALS = 2")
			s := newScripted(t, f, 1, perSecond(10, true))
			all := s.ahead(6).starts[1:]
			if got := s.back(f.epoch(), append(all, all...)...).returned; got != 5 {
				t.Errorf("%d of 5 given back", got)
			}
		})
	})
}

// Of more than eight the rest make room for others at once.
func TestEightStartsWaitForWhoeverAsksNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(20, true))
		if got := s.back(0, s.ahead(12).starts[1:]...).returned; got != 0 {
			t.Errorf("%d given back by who knows of no record", got)
		}
		all := f.entries()
		if got := s.back(f.epoch(), all[1:]...).returned; got != 11 {
			t.Errorf("%d of 11 given back", got)
		}
		if got := f.field(24); got != 8 {
			t.Errorf("%d wait for whoever asks, want 8", got)
		}
		for i, got := range s.ahead(12).waits() {
			if want := time.Duration(i+1) * 50 * ms; got != want {
				t.Errorf("start %d after %v, want %v: no slot is lost", i, got, want)
			}
		}
	})
}

// Within a pause nobody can take it: it makes room for what comes behind.
func TestWhatIsGivenBackWithinAPauseMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, perSecond(5, false)), newScripted(t, f, 2, perSecond(5, false))
		all := a.ahead(10).starts[5:] // after a second
		time.Sleep(500 * ms)
		a.run(request{pause: time.Second})
		a.back(f.epoch(), all...)
		if got, want := b.ahead(5).waits(), slices.Repeat([]time.Duration{time.Second}, 5); !slices.Equal(got, want) {
			t.Errorf("starts after %v, want %v", got, want)
		}
	})
}

// What lies ahead is not waited for by who can start before, nor taken by who has other limits.
func TestWhatIsGivenBackAheadHoldsNobodyUp(t *testing.T) {
	t.Run("who can start before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			s := newScripted(t, f, 1, perSecond(3, false))
			all := s.ahead(4).starts
			time.Sleep(10 * ms)
			s.back(f.epoch(), all[0], all[1], all[3])
			if got := s.want(1).waits(); !slices.Equal(got, []time.Duration{0}) {
				t.Errorf("starts after %v, want 0: two were canceled", got)
			}
		})
	})
	t.Run("who has stricter limits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			s := newScripted(t, f, 1, perSecond(2, false))
			r := s.ahead(3)
			s.back(r.epoch, r.starts[2])
			strict := newScripted(t, f, 2, pacer.Limit{Calls: 2, Period: 3 * time.Second})
			if got := strict.ahead(1).waits(); !slices.Equal(got, []time.Duration{3 * time.Second}) {
				t.Errorf("starts after %v, want 3s", got)
			}
		})
	})
	t.Run("whoever's turn it is", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			began := time.Now()
			s := newScripted(t, f, 1, perSecond(2, true))
			g := s.ahead(2).starts[1]
			time.Sleep(495 * ms)
			s.back(f.epoch(), g)
			f.setLine(began, waiter{2, 0, true, time.Second})
			if got := newScripted(t, f, 3, perSecond(2, true)).want(1).waits(); !slices.Equal(got, []time.Duration{5 * ms}) {
				t.Errorf("starts after %v, want 5ms", got)
			}
		})
	})
	t.Run("who is of a time with other units", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			s := newScripted(t, f, 1, perSecond(10, true))
			r := s.ahead(2)
			s.back(r.epoch, r.starts[1])
			costs := newScripted(t, f, 2, tokens(100, time.Minute))
			costs.costing(99)
			s.ahead(1)
			time.Sleep(time.Second)
			if _, room := costs.costing(1); room == 0 {
				t.Error("a start that knows no tokens cost none, want 1")
			}
		})
	})
}

// What a process gives back of a record that was lost is not what another has there now.
func TestWhatIsGivenBackOfALostRecordIsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, perSecond(1, false)), newScripted(t, f, 2, perSecond(10, false))
		lost := a.ahead(2)
		old := f.epoch()
		f.flush()
		time.Sleep(500 * ms)
		b.want(1)
		time.Sleep(500 * ms)
		if got := b.want(1).starts[0]; got != lost.starts[1] {
			t.Fatalf("another start at %v, want one like %v", got, lost.starts[1])
		}
		if got := a.back(old, lost.starts[1]).returned; got != 0 {
			t.Error("another's start was given back")
		}
	})
}
