package pacer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

func TestStatesHaveNames(t *testing.T) {
	for state, want := range map[pacer.State]string{
		pacer.StateFlowing: "flowing", pacer.StatePaused: "paused", pacer.StateProbing: "probing", pacer.StateDown: "down", 7: "State(7)",
	} {
		if got := state.String(); got != want {
			t.Errorf("State %d is %q, want %q", int(state), got, want)
		}
	}
}

func wantState(t *testing.T, p *pacer.Pacer, state pacer.State, cause string) {
	t.Helper()
	if got := p.Stats(); got.State != state || got.Cause != cause {
		t.Errorf("%v for %q, want %v for %q", got.State, got.Cause, state, cause)
	}
}

// No secret can get into a Cause: a server's own words are not in it.
func TestStatsSayWhyCallersAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Cost: 10, Unit: "tokens", Period: time.Second})
		wantState(t, p, pacer.StateFlowing, "")
		s := slotOf(t, p, t.Context())
		s.Report(pacer.Outcome{Throttled: true, Delay: time.Second})
		wantState(t, p, pacer.StatePaused, "throttled")
		p.PauseUntil(time.Now().Add(2 * time.Second))
		wantState(t, p, pacer.StatePaused, "paused by the program")
		for i, q := range []struct{ unit, cause string }{
			{"", "quota of requests used up"}, {"tokens", "quota of tokens used up"}, {"sk-secret", "a quota used up"},
		} {
			s.Report(pacer.Outcome{Quotas: []quota.State{{Unit: q.unit, Reset: time.Duration(3+i) * time.Second}}})
			wantState(t, p, pacer.StatePaused, q.cause)
		}
		p.Resume()
		wantState(t, p, pacer.StateFlowing, "")
	})
}

func TestResumeLetsThoseWhoWaitStartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(2, time.Second)
		c := newCallers(p)
		slotOf(t, p, t.Context()).Report(pacer.Outcome{Quotas: []quota.State{{Reset: 50 * time.Second}}})
		p.PauseUntil(c.begin.Add(30 * time.Second))
		c.arrive(3)
		time.Sleep(5 * time.Second)
		p.Resume()
		if got := p.Stats(); !got.PausedUntil.IsZero() || got.Late != 0 {
			t.Errorf("%+v, want no pause", got)
		}
		c.wantStarts(t, seconds(5, 5, 6))
	})
}
