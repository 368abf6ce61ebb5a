package pacer_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// What a tree of pacers tells of itself.

// A child's Stats tell what holds its callers back wherever it sits; a parent's do not know what
// a child holds back.
func TestStatsTellWhatHoldsACallerWhereverItSits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, mid, leaf := family(t,
			pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 10 * time.Second}}},
			pacer.Config{Limits: wide, MaxInFlight: 3},
			pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}})
		now := time.Now()
		check := func(when string, p *pacer.Pacer, state pacer.State, cause string, paused, next time.Duration) {
			t.Helper()
			until := time.Time{}
			if paused > 0 {
				until = now.Add(paused)
			}
			s := p.Stats()
			if s.State != state || s.Cause != cause || !s.PausedUntil.Equal(until) || !s.Next.Equal(now.Add(next)) || !s.Predicted.Equal(now.Add(next)) {
				t.Errorf("%s: %v %q until %v, next %v, predicted %v, want %v %q until %v, next and predicted %v", when,
					s.State, s.Cause, s.PausedUntil.Sub(now), s.Next.Sub(now), s.Predicted.Sub(now), state, cause, paused, next)
			}
		}
		s := time.Second
		check("free", leaf, pacer.StateFlowing, "", 0, 0)
		slot := slotOf(t, leaf, t.Context())
		check("root's limit", leaf, pacer.StateFlowing, "", 0, 10*s)
		leaf.PauseUntil(now.Add(5 * s))
		check("leaf paused", leaf, pacer.StatePaused, "paused by the program", 5*s, 10*s)
		check("leaf paused", mid, pacer.StateFlowing, "", 0, 10*s)
		root.PauseUntil(now.Add(20 * s))
		check("root paused too", leaf, pacer.StatePaused, "paused by the program", 20*s, 20*s)
		slot.Report(throttledFor(30 * s))
		check("leaf throttled", leaf, pacer.StatePaused, "throttled", 30*s, 30*s)
		check("leaf throttled", mid, pacer.StatePaused, "paused by the program", 20*s, 20*s)
		leaf.Resume()
		root.Resume()
		check("resumed", leaf, pacer.StateFlowing, "", 0, 10*s)
		if got := []int{root.Stats().InFlight, mid.Stats().InFlight, leaf.Stats().InFlight}; !slices.Equal(got, []int{0, 1, 0}) {
			t.Errorf("%v in flight, want 1 where flights are bounded", got)
		}
		if got := leaf.Stats().Limits; len(got) != 1 || got[0].Used != 1 {
			t.Errorf("Limits %+v, want its own", got)
		}
	})
}

func TestPredictedCountsOnesOwnQueueAtEveryLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, leaf := family(t, drips(10*time.Second), drips(time.Second), pacer.Config{})
		slotOf(t, leaf, t.Context())
		c := newCallers(leaf)
		for i := range 3 {
			if got, want := time.Until(leaf.Stats().Predicted), time.Duration(i+1)*10*time.Second; got != want {
				t.Errorf("predicted in %v behind %d, want %v", got, i, want)
			}
			c.arrive(1)
		}
		c.wantStarts(t, seconds(10, 20, 30))
	})
}

// The slot tells of the nearest pacer up the tree that counts.
func TestASlotTellsOfTheNearestLevelThatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, mid, leaf := family(t,
			pacer.Config{Limits: []pacer.Limit{{Cost: 100, Unit: tokens, Period: time.Minute}}, MaxInFlight: 9},
			pacer.Config{Limits: []pacer.Limit{{Cost: 100, Unit: "points", Period: time.Minute}}, MaxInFlight: 5},
			pacer.Config{})
		slotOf(t, root, t.Context())
		slot := slotOf(t, leaf, pacer.WithCost(costing(t, 7), "points", 3))
		if got, want := fmt.Sprint(slot.Costs(), slot.InFlight()), "map[points:3 tokens:7] 1"; got != want {
			t.Errorf("Costs and InFlight %s, want %s", got, want)
		}
		if !slot.Settle(tokens, 20) || slot.Costs()[tokens] != 20 || root.Stats().Limits[0].Used != 21 || mid.Stats().Limits[0].Used != 3 {
			t.Errorf("settled: %v, %+v", slot.Costs(), root.Stats().Limits)
		}
		slot.Cancel()
		if slot.Costs() != nil {
			t.Errorf("Costs of a canceled slot: %v, want nil", slot.Costs())
		}
		if got := fmt.Sprint(slotOf(t, root, t.Context()).Costs()); got != "map[tokens:1]" {
			t.Errorf("Costs of a parent's slot: %v", got)
		}
	})
}
