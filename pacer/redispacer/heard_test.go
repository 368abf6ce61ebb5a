package redispacer

import (
	"testing"
	"testing/synctest"
	"time"
)

// says tells of a quota what the answer to a start said, for ten seconds.
func (s scripted) says(epoch int64, g granted, unit int64, left int) {
	s.t.Helper()
	s.run(request{epoch: epoch, said: []said{{granted: g, name: "core", unit: unit, left: left, until: 10 * time.Second}}})
}

// An answer that a start had which is not on the record any more is none to what started before.
func TestTheAnswerToAStartThatWasCanceledCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(100, false))
		s.want(5)
		time.Sleep(ms)
		g := s.want(1).starts[0]
		s.back(f.epoch(), g)
		s.says(f.epoch(), g, 0, 7)
		time.Sleep(ms)
		if got := len(s.want(10).starts); got != 7 {
			t.Errorf("%d starts, want the 7 that are left", got)
		}
	})
}

// What was said of a quota in one unit says nothing of it in another, nor does a settlement there.
func TestAQuotaMayCountInSeveralUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(100, false), tokens(1000, time.Second))
		want := func(cost int) int { return len(s.run(request{wanted: [][]int{{cost}}}).starts) }
		g := s.run(request{wanted: [][]int{{0}}}).starts[0]
		s.says(f.epoch(), g, 0, 2)
		s.says(f.epoch(), g, number("tokens"), 30)
		time.Sleep(ms)
		if want(31) != 0 {
			t.Error("a start of 31 tokens, though 30 are left")
		}
		g = s.run(request{wanted: [][]int{{30}}}).starts[0]
		s.run(request{epoch: f.epoch(), changes: []change{{kind: settleTo, at: g.at, serial: g.serial, unit: 1, cost: 10}}})
		if want(21) != 0 || want(20) != 1 {
			t.Error("20 tokens were settled, and are not what is left")
		}
		if want(0) != 0 {
			t.Error("a third start, though two were left")
		}
	})
}

// aProbe is a quota of which process 1 has the probe, and another start.
func aProbe(t *testing.T) (f *fakeRedis, prober, other scripted, before granted) {
	f, all, before := paused(t)
	time.Sleep(time.Second)
	if got := len(all[0].want(1).starts); got != 1 {
		t.Fatalf("%d probes, want 1", got)
	}
	return f, all[0], all[1], before
}

func TestWhatOthersHeardOfTheirProbesIsNotAboutThis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, other, _ := aProbe(t)
		tells := request{epoch: f.epoch(), changes: []change{{kind: probed, cost: 1}}, wanted: make([][]int, 1)}
		if got := len(other.run(tells).starts); got != 0 {
			t.Error("a start beside the probe")
		}
	})
}

func TestWhoGivesAnotherStartBackStillProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, prober, other, before := aProbe(t)
		prober.back(f.epoch(), before)
		if got := len(other.want(1).starts); got != 0 {
			t.Error("a start beside the probe")
		}
	})
}

func TestAProbeThatFailsLateIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, prober, other, _ := aProbe(t)
		time.Sleep(time.Second)
		other.want(1)
		prober.run(request{epoch: f.epoch(), changes: []change{{kind: probed}}})
		if got := len(other.want(2).starts); got != 2 {
			t.Errorf("%d starts, want 2: the probe was silent for a second", got)
		}
	})
}
