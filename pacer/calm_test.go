package pacer

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestThatAStartWorkedIsSaidWithoutTheLockWhereItChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Burst(100, time.Second)
		admit := func() *Admission {
			t.Helper()
			var a Admission
			err := p.Admit(t.Context(), &a)
			if err != nil {
				t.Fatal(err)
			}
			return &a
		}
		admit().Report(Outcome{})
		a := admit()
		p.mu.Lock()
		a.Report(Outcome{}) // hangs if it wants the lock
		p.mu.Unlock()

		a.Report(Outcome{Throttled: true})
		for range 2 { // the first is the probe
			time.Sleep(time.Second)
			a = admit()
			a.Report(Outcome{})
		}
		if s := p.Stats(); s.State != StateProbing || p.states.throttles != 0 {
			t.Errorf("%v after %d throttlings, want it to have heard of the success", s.State, p.states.throttles)
		}
	})
}
