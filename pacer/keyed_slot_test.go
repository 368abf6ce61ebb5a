package pacer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// New may answer differently for a key that was forgotten, as where a program has read its
// configuration anew: what a start costs, and whether it needs a slot, is for the new pacer
// to say.
func TestAForgottenPacerServesItsCallersByTheLimitsOfTheNewOne(t *testing.T) {
	hour := pacer.Limit{Calls: 2, Period: time.Hour}
	for name, configs := range map[string][2]pacer.Config{
		"fewer units":       {{Limits: []pacer.Limit{hour, tokenLimit(100)}}, {Limits: []pacer.Limit{hour}}},
		"more units":        {{Limits: []pacer.Limit{hour}}, {Limits: []pacer.Limit{hour, tokenLimit(100)}}},
		"another unit":      {{Limits: []pacer.Limit{tokenLimit(100)}}, {Limits: []pacer.Limit{hour, {Cost: 9, Unit: "points", Period: time.Hour}}}},
		"flights":           {{Limits: []pacer.Limit{hour}}, {Limits: []pacer.Limit{hour}, MaxInFlight: 9}},
		"flights and costs": {{Limits: []pacer.Limit{hour}}, {Limits: []pacer.Limit{hour, tokenLimit(100)}, MaxInFlight: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := configs[0]
				k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacerWith(t, cfg) })
				old := k.Get("a")
				cfg = configs[1]
				k.Get("b") // forgets a
				time.Sleep(time.Second)
				current, began := k.Get("a"), time.Now()

				admitted, err := old.Admit(costing(t, 40))
				if useful := cfg.MaxInFlight > 0 || len(cfg.Limits) > 1; err != nil || (admitted.Slot != nil) != useful {
					t.Errorf("Admit: %+v, %v, want a slot: %t", admitted, err, useful)
				}
				slotOf(t, old, costing(t, 40))
				for range 3 { // at 1 1 2 h
					acquires(old, costing(t, 40))
				}
				if got := current.Stats(); got.Granted != 2 || got.Waiting != 3 {
					t.Errorf("Stats: %+v, want 2 granted, 3 waiting", got)
				}
				admitted, err = old.Admit(costing(t, 40))
				if err != nil || admitted.Waited != 2*time.Hour || !admitted.Came.Equal(began) {
					t.Errorf("Admit: %+v, %v, want a start after two hours", admitted, err)
				}
			})
		})
	}
}
