package pacer_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// TestAdmissionTellsOfTheWait: when the caller came and how long it waited, and a slot only
// where the pacer has a use for one.
func TestAdmissionTellsOfTheWait(t *testing.T) {
	const s = time.Second
	everySecond := pacer.Limit{Calls: 1, Period: 3 * s}
	for name, tt := range map[string]struct {
		cfg  pacer.Config
		slot bool
	}{
		"starts":  {pacer.Config{Limits: []pacer.Limit{everySecond}}, false},
		"flights": {pacer.Config{Limits: []pacer.Limit{everySecond}, MaxInFlight: 9}, true},
		"costs":   {pacer.Config{Limits: []pacer.Limit{everySecond, {Cost: 9, Unit: "tokens", Period: s}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacer.Must(tt.cfg)
				began := time.Now()
				for i, want := range []time.Duration{0, 3 * s, 3 * s} {
					came := time.Now()
					if i == 1 {
						came = came.Add(1) // the first was here at that moment
					}
					var start pacer.Admission
					err := p.Admit(t.Context(), &start)
					if err != nil {
						t.Fatal(err)
					}
					if start.Waited() != want || !start.Came().Equal(came) {
						t.Errorf("came after %v and waited %v, want %v and %v", start.Came().Sub(began), start.Waited(), came.Sub(began), want)
					}
					if (start.Slot() != nil) != tt.slot {
						t.Errorf("got a slot: %t", start.Slot() != nil)
					}
				}
				soon, cancel := context.WithTimeout(t.Context(), s)
				defer cancel()
				var start pacer.Admission
				if err := p.Admit(soon, &start); err == nil || start != (pacer.Admission{}) {
					t.Errorf("Admit before the time = %v, %v", start, err)
				}
			})
		})
	}
}

func TestAdmissionByAKeysNewPacerTellsOfTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		first := k.Get("a")
		time.Sleep(5 * time.Second)
		k.Get("b") // forgets the first
		time.Sleep(5 * time.Second)
		k.Get("a")
		for i, want := range []time.Duration{0, time.Second} {
			came := time.Now().Add(time.Duration(i)) // no two callers have one
			var start pacer.Admission
			err := first.Admit(t.Context(), &start)
			if err != nil || start.Waited() != want || !start.Came().Equal(came) {
				t.Errorf("Admit = %v, %v; want a wait of %v from %v", start, err, want, came)
			}
		}
	})
}
