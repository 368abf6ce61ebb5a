package pacer_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A toldContext notes how long it waited.
type toldContext struct {
	context.Context
	waits *[]time.Duration
}

func (c toldContext) Waited(d time.Duration) { *c.waits = append(*c.waits, d) }

func TestContextIsToldOfAWaitThatWasOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, 3*time.Second)
		var waits []time.Duration
		ctx := toldContext{t.Context(), &waits}
		for range 3 {
			if err := p.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := p.Wait(toldContext{soon, &waits}); err == nil {
			t.Error("started before its time")
		}
		if want := []time.Duration{3 * time.Second, 3 * time.Second}; !slices.Equal(waits, want) {
			t.Errorf("told of %v, want %v", waits, want)
		}
	})
}
