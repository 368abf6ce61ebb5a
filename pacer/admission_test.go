package pacer_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A start whose pacer has no use for a slot can be given back as well.
func TestCancelOfAnAdmissionGivesItsStartBack(t *testing.T) {
	for _, cfg := range []pacer.Config{
		{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute}}},
		{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute, Even: true}}},
		{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute, Bucket: 1}}},
		{Limits: []pacer.Limit{tokenLimit(1)}},
		{MaxInFlight: 1},
	} {
		t.Run(fmt.Sprint(cfg.Limits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerWith(t, cfg)
				var admitted pacer.Admission
				err := p.Admit(t.Context(), &admitted)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				next, _ := acquires(p, t.Context())
				if next() != nil {
					t.Fatal("started though there was no room")
				}
				admitted.Cancel()
				synctest.Wait()
				if next() == nil {
					t.Fatal("waits on though the start was given back")
				}
				if got := p.Stats(); got.Granted != 1 || got.InFlight > 1 {
					t.Errorf("Stats: %+v, want 1 granted", got)
				}
			})
		})
	}
	new(pacer.Admission).Cancel()
}

// What a forgotten pacer counted matters no more, and is not the current one's.
func TestCancelOfAnAdmissionByAForgottenPacerTakesNothingFromTheCurrentOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		var admitted pacer.Admission
		err := k.Get("a").Admit(t.Context(), &admitted)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		k.Get("b") // forgets a
		start(t, k.Get("a"))
		admitted.Cancel()
		if got := k.Get("a").Stats(); got.Granted != 1 || got.Limits[0].Used != 1 {
			t.Errorf("Stats: %+v, want 1 granted and used", got)
		}
	})
}

func TestCancelOfAnAdmissionDoesNotAllocate(t *testing.T) {
	p := pacer.Burst(1, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // refuses what would have to wait
	defer cancel()
	if got := testing.AllocsPerRun(1000, func() {
		var admitted pacer.Admission
		err := p.Admit(ctx, &admitted)
		if err != nil {
			t.Fatal(err)
		}
		admitted.Cancel()
	}); got != 0 {
		t.Errorf("Admit and Cancel allocate %v times, want 0", got)
	}
}

// What is free goes back, and has worked nevertheless: it ends probing like any other.
func TestWhatTheServerDoesNotCountHasWorkedAllTheSame(t *testing.T) {
	for _, cfg := range []pacer.Config{
		{Limits: []pacer.Limit{{Calls: 2, Period: time.Hour}}},
		{Limits: []pacer.Limit{{Calls: 2, Period: time.Hour}}, MaxInFlight: 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := pacerWith(t, cfg)
			p.PauseUntil(time.Now().Add(time.Second))
			for range 2 {
				var admitted pacer.Admission
				err := p.Admit(t.Context(), &admitted)
				if err != nil {
					t.Fatal(err)
				}
				admitted.Free()
				admitted.Report(pacer.Outcome{})
				admitted.Slot().Done()
			}
			if got := p.Stats(); got.State != pacer.StateFlowing || got.Granted != 2 || got.Limits[0].Used != 0 {
				t.Errorf("Stats: %+v, want it flowing, 2 granted and none used", got)
			}
		})
	}
	new(pacer.Admission).Free()
}
