package pacer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStrictWindowUnderStress is the one test in real time: many goroutines do
// everything at once. Afterwards the pacer's own record of its starts must be in
// order and hold to the limit, to the nanosecond.
func TestStrictWindowUnderStress(t *testing.T) {
	const (
		goroutines = 64
		rounds     = 25
	)
	tight := Limit{Calls: 3, Period: 200 * time.Microsecond}
	p, err := New(Config{Limits: []Limit{
		tight,
		{Calls: 7, Period: 700 * time.Microsecond, Even: true},
		{Calls: goroutines * rounds, Period: time.Hour}, // so that every start is on record
	}})
	if err != nil {
		t.Fatal(err)
	}
	var started, refused, gaveUp atomic.Uint64
	var wg sync.WaitGroup
	for g := range uint64(goroutines) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(g, 0))
			micros := func(n int) time.Duration { return time.Duration(random.IntN(n)) * time.Microsecond }
			for range rounds {
				ctx, cancel := context.WithCancel(context.Background())
				switch random.IntN(8) {
				case 0:
					p.PauseUntil(time.Now().Add(micros(1000)))
				case 1:
					p.Stats()
				case 2:
					timer := time.AfterFunc(micros(20_000), cancel)
					defer timer.Stop()
				case 3:
					cancel()
				case 4:
					ctx, cancel = context.WithTimeout(ctx, micros(50_000))
				case 5:
					if p.Allow() {
						started.Add(1)
					} else {
						refused.Add(1)
					}
					cancel()
					continue
				}
				err := p.Wait(ctx)
				var refusal *Error
				switch {
				case err == nil:
					started.Add(1)
				case errors.As(err, &refusal):
					refused.Add(1)
				case ctx.Err() != nil && errors.Is(err, ctx.Err()):
					gaveUp.Add(1)
				default:
					t.Errorf("Wait: %v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()

	got := p.Stats()
	if got.Granted != started.Load() || got.Rejected != refused.Load() || got.Canceled != gaveUp.Load() || got.Waiting != 0 {
		t.Errorf("Stats: %+v, want %d granted, %d rejected, %d canceled, none waiting",
			got, started.Load(), refused.Load(), gaveUp.Load())
	}
	starts := &p.schedule.starts
	if uint64(starts.len) != got.Granted {
		t.Fatalf("%d starts on record, want %d", starts.len, got.Granted)
	}
	for i := 1; i < starts.len; i++ {
		if starts.at(i) < starts.at(i-1) {
			t.Errorf("start %d at %v, before the one before it at %v", i, starts.at(i), starts.at(i-1))
		}
		if i >= tight.Calls && starts.at(i)-starts.at(i-tight.Calls) < tight.Period {
			t.Errorf("starts %d to %d within %v", i-tight.Calls, i, starts.at(i)-starts.at(i-tight.Calls))
		}
	}
}
