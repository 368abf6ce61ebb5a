package pacer_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestNoWindowCostsMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacerOf(t, tokenLimit(100)))
		for _, cost := range []int{40, 60, 1, 99, 30, 70} {
			c.arriveWith(costing(t, cost))
			time.Sleep(time.Second)
		}
		// 40 60 | 1 (when the 40 left) | 99 (when the 60 left at 61, 1 still there)
		c.wantStarts(t, seconds(0, 1, 60, 61, 121, 121))
	})
}

func TestTheHeadIsNotOvertakenByCheaperOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(1000))
		c := newCallers(p)
		c.arriveWith(costing(t, 200))
		dear := c.arriveWith(costing(t, 900))
		for range 100 {
			c.arriveWith(costing(t, 1))
		}
		wantNotNow(t, p, costing(t, 1), time.Minute)
		want := append(seconds(0), slices.Repeat(seconds(60), 101)...)
		c.wantStarts(t, want)
		if dear.at != time.Minute {
			t.Errorf("900 of 1,000 started at %v, want 1m", dear.at)
		}
	})
}

func TestMoreThanTheLimitIsRefusedAtOnceWithBothNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(1000), pacer.Limit{Cost: 1000, Unit: "points", Period: time.Second, Bucket: 50})
		for _, test := range []struct {
			unit string
			cost int
			text string
		}{
			{tokens, 1001, "pacer: too costly (1001 tokens where the limit is 1000)"},
			{"points", 51, "pacer: too costly (51 points where the limit is 50)"},
		} {
			ctx := pacer.WithCost(t.Context(), test.unit, test.cost)
			_, try := p.TryAcquire(ctx)
			_, acquired := p.Acquire(ctx)
			for _, err := range []error{p.Wait(ctx), try, acquired} {
				var refusal *pacer.Error
				if !errors.Is(err, pacer.ErrTooCostly) || !errors.As(err, &refusal) || err.Error() != test.text {
					t.Errorf("got %v, want %q", err, test.text)
					continue
				}
				if refusal.ErrorType() != "pacing_too_costly" || refusal.Timeout() || refusal.Retryable() || refusal.Wait() != never {
					t.Errorf("%#v", refusal)
				}
			}
		}
		if got := p.Stats(); got.Rejected != 6 || got.Granted != 0 {
			t.Errorf("Stats: %+v, want 6 rejected", got)
		}
		slotOf(t, p, pacer.WithCost(costing(t, 1000), "points", 50))
	})
}

func TestACallWithoutACostCostsOneAndIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(5), pacer.Limit{Cost: 9, Unit: "points", Period: time.Minute}, pacer.Limit{Calls: 9, Period: time.Minute})
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Allow()
		slotOf(t, p, costing(t, 2))
		slotOf(t, p, costing(t, -100))
		stats := p.Stats().Limits
		if got := []int{stats[0].Used, stats[1].Used, stats[2].Used}; !slices.Equal(got, []int{5, 4, 4}) {
			t.Errorf("used %v, want 5 tokens, 4 points, 4 starts", got)
		}
		if stats[0].Uncosted != 3 || stats[1].Uncosted != 4 || stats[2].Uncosted != 0 {
			t.Errorf("Uncosted: %+v, want 3, 4 and 0", stats)
		}
		if p.Allow() {
			t.Error("Allow: true with no tokens left")
		}
		slotOf(t, p, costing(t, 0))
	})
}

// A cost on a program's context is that of every call: there is no other it could mean.
func TestACostIsThatOfEveryStartWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(100))
		program := costing(t, 40)
		slotOf(t, p, program)
		slotOf(t, p, pacer.WithCost(program, tokens, 20)) // the inner one counts
		slotOf(t, p, program)
		wantNotNow(t, p, program, time.Minute)
	})
}

func TestCostsInManyUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cfg pacer.Config
		for _, unit := range []string{"a", "b", "c", "d"} {
			cfg.Limits = append(cfg.Limits, pacer.Limit{Cost: 10, Unit: unit, Period: time.Minute})
		}
		p := pacerWith(t, cfg)
		ctx := pacer.WithCost(pacer.WithCost(t.Context(), "b", 7), "d", 4)
		s := slotOf(t, p, ctx)
		wantNotNow(t, p, ctx, time.Minute)
		s.Settle("b", 3)
		slotOf(t, p, ctx)
		wantNotNow(t, p, ctx, time.Minute)
		for i, used := range []int{2, 10, 2, 8} {
			if got := p.Stats().Limits[i]; got.Used != used {
				t.Errorf("%v: %d used, want %d", got.Limit, got.Used, used)
			}
		}
	})
}

// Nobody overtakes the head, not even who needs nothing of what it waits for.
func TestWhatCostsNothingNeedsNoRoomAndWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacerOf(t, tokenLimit(100)))
		c.arriveWith(costing(t, 100))
		c.arriveWith(costing(t, 0))
		c.arriveWith(costing(t, 50))
		c.arriveWith(costing(t, 0))
		c.wantStarts(t, seconds(0, 0, 60, 60))
	})
}
