package retrypolicy

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// spend counts calls and then takes retries until the budget refuses.
func spend(b *Budget, calls int) (retries int) {
	for range calls {
		b.countCall()
	}
	for b.allowRetry() {
		retries++
	}
	return retries
}

func TestBudgetAllowsTheRatioOfCallsAndTheFloor(t *testing.T) {
	for _, c := range []struct {
		ratio        float64
		minPerSecond int
		calls, want  int
	}{
		{0.1, 0, 100, 10},
		{0.1, 0, 109, 10},
		{0.1, 0, 110, 11},
		{0.1, 1, 100, 20},
		{0, 0, 100, 0},
		{0, 2, 0, 20},
		{1, 0, 7, 7},
		{0.29, 0, 100, 29}, // 0.29 has no exact binary form
		{0.7, 0, 10, 7},
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := spend(NewBudget(c.ratio, c.minPerSecond), c.calls); got != c.want {
				t.Errorf("NewBudget(%v, %d), %d calls: %d retries, want %d", c.ratio, c.minPerSecond, c.calls, got, c.want)
			}
		})
	}
}

func TestZeroBudgetAllowsNoRetryAndNilAllowsAll(t *testing.T) {
	if got := spend(new(Budget), 100); got != 0 {
		t.Errorf("the zero Budget allowed %d retries", got)
	}
	var none *Budget
	none.countCall()
	if !none.allowRetry() {
		t.Error("the nil Budget refused")
	}
}

func TestBudgetRefillsWhenTheWindowHasSlid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.1, 0)
		if got := spend(b, 100); got != 10 {
			t.Fatalf("%d retries at first, want 10", got)
		}
		time.Sleep(budgetWindow - 1)
		if got := spend(b, 100); got != 10 {
			t.Errorf("%d retries for 100 more calls, want 10", got)
		}
		time.Sleep(time.Nanosecond)
		// The first calls and their retries are forgotten together.
		if got := spend(b, 0); got != 0 {
			t.Errorf("%d retries after the first calls left, want 0", got)
		}
		time.Sleep(budgetWindow)
		if got := spend(b, 50); got != 5 {
			t.Errorf("%d retries in a new window, want 5", got)
		}
	})
}

func TestBudgetForgetsOldCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1, 0)
		b.countCall()
		time.Sleep(budgetWindow)
		if b.allowRetry() {
			t.Error("a call of 10 s ago paid for a retry")
		}
	})
}

// A model that remembers every moment bounds what the Budget allows, at random
// moments that fall into the same and into different grains.
func TestBudgetNeverExceedsTheExactWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		b := NewBudget(0.3, 1)
		var calls, retries []time.Time
		refused := 0
		for range 30_000 {
			time.Sleep(time.Duration(r.ExpFloat64() * float64(5*time.Millisecond)))
			if r.IntN(1000) == 0 {
				time.Sleep(time.Duration(r.IntN(12)) * time.Second)
			}
			now := time.Now()
			calls, retries = young(calls, now), young(retries, now)
			if r.IntN(2) == 0 {
				b.countCall()
				calls = append(calls, now)
				continue
			}
			if !b.allowRetry() {
				refused++
				continue
			}
			retries = append(retries, now)
			if allowed := 0.3*float64(len(calls)) + 10; float64(len(retries)) > allowed {
				t.Fatalf("%d retries in a window of %d calls", len(retries), len(calls))
			}
		}
		if refused == 0 {
			t.Error("the budget never refused, so nothing was tested")
		}
	})
}

// young drops the moments that are a window old.
func young(times []time.Time, now time.Time) []time.Time {
	for len(times) > 0 && now.Sub(times[0]) >= budgetWindow {
		times = times[1:]
	}
	return times
}

func TestBudgetRingHoldsAWindowOfTheFinestGrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1, 0)
		for i := range 1000 {
			b.countCall()
			if want := min(i+1, int(budgetWindow/budgetGrain)); b.calls.total != want {
				t.Fatalf("%d calls remembered after %d, want %d", b.calls.total, i+1, want)
			}
			if !b.allowRetry() {
				t.Fatalf("retry %d was refused", i+1)
			}
			time.Sleep(budgetGrain)
		}
	})
}

func TestBudgetIsExactUnderConcurrency(t *testing.T) {
	b := NewBudget(0.5, 3)
	var wg sync.WaitGroup
	var allowed atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 100 {
				b.countCall()
			}
		})
	}
	wg.Wait()
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if b.allowRetry() {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := allowed.Load(); got != 430 {
		t.Errorf("%d retries for 800 calls, want 430", got)
	}
}

func TestBudgetIsSharedBetweenPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.5, 0)
		reading, writing := Must(Config{Budget: b}), Must(Config{Budget: b})
		for range 3 {
			reading.Next(t.Context(), answered("GET", 200))
		}
		// Three calls and this one pay for two retries, whoever makes them.
		for i, want := range []bool{true, true, false} {
			a := failed(func(a *Attempt) { a.Number = i + 1 })
			if d := writing.Next(t.Context(), a); d.Retry != want {
				t.Errorf("attempt %d: %+v, want retry %v", i+1, d, want)
			}
		}
	})
}

func TestBudgetCountsCallsAndNotAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Must(Config{Budget: NewBudget(1, 0), MaxAttempts: 100})
		if d := p.Next(t.Context(), failed(nil)); !d.Retry {
			t.Fatalf("first failure: %+v", d)
		}
		d := p.Next(t.Context(), failed(func(a *Attempt) { a.Number = 2 }))
		if d.Reason != ReasonBudgetExhausted {
			t.Errorf("second failure of the one call: %+v", d)
		}
	})
}

func TestBudgetIsNotChargedForARetryThatSomethingElseForbids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Must(Config{Budget: NewBudget(1, 0), Backoff: Constant(time.Second)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if d := p.Next(ctx, failed(nil)); d.Reason != ReasonDeadline {
			t.Fatalf("got %+v", d)
		}
		if d := p.Next(t.Context(), failed(func(a *Attempt) { a.Number = 2 })); !d.Retry {
			t.Errorf("the one retry of the budget is gone: %+v", d)
		}
	})
}

// 200 callers call a server that fails everything for 30 s and then recovers.
// Without a budget they would send ten times as much; and once the server is back
// no call may suffer from retries that were spent on the outage.
func TestBudgetKeepsAnOutageFromMultiplyingTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ratio, floor, outage = 0.2, 2, 30 * time.Second
		p := Must(Config{MaxAttempts: 10, Backoff: Exponential(50*time.Millisecond, time.Second), Budget: NewBudget(ratio, floor)})
		began := time.Now()
		errDown := errors.New("down")
		var calls, sends, failedLater atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for time.Since(began) < 2*outage {
					down := time.Since(began) < outage
					if down {
						calls.Add(1)
					}
					_, err := Do(t.Context(), p, func(context.Context) (int, error) {
						if time.Since(began) < outage {
							sends.Add(1)
							return 0, errDown
						}
						return 1, nil
					})
					if err != nil && !down {
						failedLater.Add(1)
					}
					time.Sleep(200 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		least := (1 + ratio/2) * float64(calls.Load())
		most := (1+ratio)*float64(calls.Load()) + floor*outage.Seconds()
		if got := float64(sends.Load()); got > most || got < least {
			t.Errorf("%v sends for %d calls during the outage, want %v to %v", got, calls.Load(), least, most)
		}
		if n := failedLater.Load(); n != 0 {
			t.Errorf("%d calls failed after the outage", n)
		}
	})
}

func TestCountingACallCostsNoAllocation(t *testing.T) {
	b := NewBudget(0.1, 1)
	if n := testing.AllocsPerRun(1000, func() { b.countCall(); b.allowRetry() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
