package redispacer

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// left is what an answer to a start said of a quota that begins anew in 30 s.
func left(n int, of granted) said {
	return said{granted: of, name: "core", left: n, until: 30 * time.Second}
}

func TestWhatIsGivenBackIsLeftForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), 1, burst(100, time.Hour)...)
		r := s.want(1)
		answered := r.starts[0]
		time.Sleep(ms)
		behind := s.run(request{epoch: r.epoch, said: []said{left(5, answered)}, wanted: make([][]int, 3)}).starts
		r = s.run(request{epoch: r.epoch, changes: []change{answered.back(), behind[0].back(), behind[2].back()}, wanted: make([][]int, 9)})
		if got := len(r.starts); got != 4 {
			t.Errorf("%d starts, want 4: five were left, three more had started, of which two were given back", got)
		}
		if got := r.rooms[0]; got < 29*time.Second {
			t.Errorf("there is room in %v, want it at the reset", got)
		}
	})
}

// Where more had started than was left, what is given back is nobody's until the rest is used up.
func TestWhatIsLackingIsNotLeftForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, burst(100, time.Hour)...)
		answered := s.want(1).starts[0]
		time.Sleep(ms)
		behind := s.want(5).starts
		s.run(request{epoch: f.epoch(), said: []said{left(2, answered)}})
		for i, want := range []int{0, 0, 0, 1} {
			s.back(f.epoch(), behind[i])
			if got := len(s.want(2).starts); got != want {
				t.Errorf("%d starts when %d of 5 were given back, want %d: two were left", got, i+1, want)
			}
		}
		s.run(request{changes: []change{{kind: charge, cost: 3}}})
		s.back(f.epoch(), behind[4])
		if got := len(s.want(2).starts); got != 0 {
			t.Errorf("%d starts, though one start counts for four", got)
		}
	})
}

func TestWhatCostsNothingStartsWhereSomethingIsLacking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, tokens(100, time.Hour))
		first, _ := s.costing(1)
		time.Sleep(ms)
		s.costing(10)
		s.says(f.epoch(), first, number("tokens"), 5)
		if got := len(s.run(request{wanted: [][]int{{0}, {1}}}).starts); got != 1 {
			t.Errorf("%d starts, want the one that costs nothing", got)
		}
	})
}

func TestWhatIsSettledIsLeftForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), 1, pacer.Limit{Cost: 1000, Unit: "tokens", Period: time.Hour})
		r := s.run(request{wanted: [][]int{{10}}})
		tokens := left(100, r.starts[0])
		tokens.unit = number("tokens")
		time.Sleep(ms)
		r = s.run(request{epoch: r.epoch, said: []said{tokens}, wanted: [][]int{{90}}})
		settled := change{kind: settleTo, at: r.starts[0].at, serial: r.starts[0].serial, unit: 1, cost: 40}
		if got := s.run(request{epoch: r.epoch, changes: []change{settled}, wanted: [][]int{{61}, {60}}}).starts; len(got) != 0 {
			t.Errorf("%d starts of more than is left", len(got))
		}
		if got := s.run(request{epoch: r.epoch, wanted: [][]int{{60}, {1}}}).starts; len(got) != 1 {
			t.Errorf("%d starts, want 1 of all that is left", len(got))
		}
	})
}

// Nor is a start that was given back anybody's, where a server has said that nothing is left.
func TestNothingIsTakenFromAQuotaThatIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		one, other := newScripted(t, f, 1, burst(1, time.Second)...), newScripted(t, f, 2, burst(1, time.Second)...)
		r := one.want(1)
		ahead := one.run(request{horizon: 2 * time.Second, wanted: make([][]int, 1)}).starts[0]
		one.run(request{epoch: r.epoch, changes: []change{ahead.back()}, said: []said{left(0, r.starts[0])}})
		if got := other.run(request{horizon: 2 * time.Second, wanted: make([][]int, 1)}).starts; len(got) > 0 {
			t.Errorf("a start at %v, and nothing is left", got)
		}
	})
}

func TestQuotasAreFewAndForgottenAtTheirReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, burst(100, time.Hour)...)
		r := s.want(1)
		for i := range 20 {
			q := left(i, r.starts[0])
			q.name = fmt.Sprint(i)
			s.run(request{epoch: r.epoch, said: []said{q}})
		}
		if got := f.field(25); got != 16 {
			t.Errorf("%d quotas on the record, want 16", got)
		}
		time.Sleep(30 * time.Second)
		s.want(1)
		if got := f.field(25); got != 0 {
			t.Errorf("%d quotas on the record after the reset, want none", got)
		}
	})
}

// What could not be told is told later, and of two answers the older start's says nothing.
func TestAQuotaThatCouldNotBeToldIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := pair(t, f, burst(100, time.Second)...)
		older := acquired(t, a)
		time.Sleep(ms)
		var failing atomic.Bool
		failing.Store(true)
		f.fail = func(int) error {
			if failing.Load() {
				return errors.New("down")
			}
			return nil
		}
		slot, err := a.Acquire(t.Context())
		for errors.Is(err, ErrUnavailable) { // the first fails
			failing.Store(false)
			time.Sleep(ride)
			slot, err = a.Acquire(t.Context())
		}
		failing.Store(true)
		slot.Report(pacer.Outcome{Quotas: []quota.State{{Remaining: 2, Reset: 30 * time.Second}}})
		older.Report(pacer.Outcome{Quotas: []quota.State{{Remaining: 50, Reset: 30 * time.Second}}})
		time.Sleep(told)
		failing.Store(false)
		time.Sleep(10 * time.Second) // until it was probed
		if err := a.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(told)
		began := time.Now()
		starts(t, b, 1)
		if got := time.Since(began); got != 0 {
			t.Errorf("what was left took %v", got)
		}
		starts(t, b, 1)
		if got := time.Since(began); got < 15*time.Second {
			t.Errorf("started %v later, want it at the reset", got)
		}
	})
}

// paused returns the clients of four processes in a pause of a second that a report began, and a
// start of the first before it.
func paused(t *testing.T) (f *fakeRedis, all []scripted, before granted) {
	f = newFakeRedis(t)
	for i := range 4 {
		all = append(all, newScripted(t, f, int64(i+1), burst(100, time.Second)...))
	}
	before = all[0].want(1).starts[0]
	all[0].run(request{pause: time.Second, told: true})
	return f, all, before
}

func TestWhoGivesAProbeBackLeavesItToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, _ := paused(t)
		time.Sleep(995 * ms)
		r := p[0].want(1)
		p[1].run(request{epoch: r.epoch})
		p[0].back(r.epoch, r.starts[0])
		if got := p[1].want(1).waits(); len(got) != 1 || got[0] != 5*ms {
			t.Errorf("another's start in %v, want it at the end of the pause, in 5ms", got)
		}
	})
}

func TestOnlyTheProbeEndsTheWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, _ := paused(t)
		time.Sleep(time.Second)
		p[0].want(1)
		p[1].run(request{changes: []change{{kind: probed, cost: 1}}})
		if got := p[2].want(1).starts; len(got) > 0 {
			t.Error("a start, though nobody knows what became of the probe")
		}
		p[0].run(request{changes: []change{{kind: probed, cost: 1}}})
		if got := p[2].want(5).starts; len(got) != 5 {
			t.Errorf("%d starts of 5 after the probe has worked", len(got))
		}
	})
}

func TestASilentProbeIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, _ := paused(t)
		time.Sleep(time.Second)
		p[0].want(1)
		time.Sleep(995 * ms)
		for i, s := range p[1:3] {
			if got := s.want(1).waits(); len(got) != 1 || got[0] != 5*ms {
				t.Errorf("the start of process %d in %v, want it in 5ms", i+2, got)
			}
		}
	})
}

func TestResumeEndsTheWaitForAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, _ := paused(t)
		p[3].run(request{resume: true})
		for i, s := range p[:3] {
			if got := s.want(1).starts; len(got) != 1 {
				t.Errorf("no start of process %d", i+1)
			}
		}
	})
}

// Where the limits let one start at a time, the first that worked is all there is to know.
func TestAProbeThatEndsProbingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newFakeRedis(t), burst(1, 10*ms)...)
		throttled(t, a)
		probe := acquired(t, a)
		probe.Report(pacer.Outcome{})
		synctest.Wait()
		began := time.Now()
		starts(t, b, 1)
		if got := time.Since(began); got != 10*ms {
			t.Errorf("another process started %v after the probe had worked, want 10ms", got)
		}
	})
}

// The slow start after a pause ends where the limits leave no more starts, be it that others had
// them: who went on with it would leave its share to those who did not.
func TestSlowStartEndsWhereOthersHadTheStarts(t *testing.T) {
	for name, queue := range map[string]func(*Pacer) pacedhttp.Acquirer{
		"alone":   func(p *Pacer) pacedhttp.Acquirer { return p },
		"tenants": func(p *Pacer) pacedhttp.Acquirer { return pacer.Must(pacer.Config{Parent: p.Pacer, PassUp: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, newFakeRedis(t), burst(3, time.Second)...)
				throttled(t, a)
				tenant := queue(b)
				heard := make(chan *pacer.Slot)
				go func() {
					slot, err := tenant.Acquire(t.Context())
					if err != nil {
						t.Error(err)
					}
					heard <- slot
				}()
				acquired(t, a).Report(pacer.Outcome{}) // the probe
				(<-heard).Report(pacer.Outcome{})
				if got := b.Stats().State; got != pacer.StateProbing {
					t.Fatalf("state %v after one start, want probing", got)
				}
				for err := error(nil); err == nil; _, err = a.TryAcquire(t.Context()) { // the rest of the window
				}
				go func() { _, _ = tenant.Acquire(t.Context()) }()
				synctest.Wait()
				if got := b.Stats().State; got != pacer.StateFlowing {
					t.Errorf("state %v where the limits hold, want flowing", got)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}
