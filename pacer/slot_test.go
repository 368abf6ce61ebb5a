package pacer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

const tokens = "tokens"

// slotOf takes a slot that must be free now.
func slotOf(t *testing.T, p *pacer.Pacer, ctx context.Context) *pacer.Slot {
	t.Helper()
	s, err := p.TryAcquire(ctx)
	if err != nil {
		t.Fatalf("TryAcquire: %v, want a slot", err)
	}
	return s
}

// wantNotNow checks that a caller cannot start now, and after how long it may.
func wantNotNow(t *testing.T, p *pacer.Pacer, ctx context.Context, wait time.Duration) {
	t.Helper()
	s, err := p.TryAcquire(ctx)
	var refusal *pacer.Error
	if s != nil || !errors.Is(err, pacer.ErrNotNow) || !errors.As(err, &refusal) || refusal.Wait() != wait || refusal.ErrorType() != "pacing_not_now" {
		t.Errorf("TryAcquire: %v, %v, want ErrNotNow and a wait of %v", s, err, wait)
	}
}

func costing(t *testing.T, cost int) context.Context {
	return pacer.WithCost(t.Context(), tokens, cost)
}

// acquires calls Acquire in the background and returns what tells its slot, and its error,
// as soon as there is one.
func acquires(p *pacer.Pacer, ctx context.Context) (slot func() *pacer.Slot, failed func() error) {
	var mu sync.Mutex
	var s *pacer.Slot
	var err error
	go func() {
		got, refusal := p.Acquire(ctx)
		mu.Lock()
		defer mu.Unlock()
		s, err = got, refusal
	}()
	synctest.Wait()
	slot = func() *pacer.Slot { mu.Lock(); defer mu.Unlock(); return s }
	failed = func() error { mu.Lock(); defer mu.Unlock(); return err }
	return slot, failed
}

func tokenLimit(cost int) pacer.Limit {
	return pacer.Limit{Cost: cost, Unit: tokens, Period: time.Minute}
}

func TestMethodsOfANilAndAZeroSlotDoNothing(t *testing.T) {
	for _, s := range []*pacer.Slot{nil, new(pacer.Slot)} {
		s.Done()
		s.Cancel()
		s.Refund()
		if s.Settle("", 0) || s.Settle(tokens, 3) {
			t.Error("Settle: true")
		}
		if got := s.Report(pacer.Outcome{Throttled: true, Delay: time.Hour}); !got.IsZero() {
			t.Errorf("Report: %v, want no pause", got)
		}
		if s.Costs() != nil || s.InFlight() != 0 {
			t.Errorf("Costs: %v, InFlight: %d, want none", s.Costs(), s.InFlight())
		}
	}
}

func TestASlotWithoutAReportMeansNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{tokenLimit(100)}, MaxInFlight: 1})
		for range 10 {
			slotOf(t, p, costing(t, 10)).Done()
		}
		if got := p.Stats(); !got.PausedUntil.IsZero() || got.Granted != 10 || got.Limits[0].Used != 100 {
			t.Errorf("Stats: %+v, want 10 granted at their costs and no pause", got)
		}
	})
}

func TestOfDoneAndCancelTheFirstCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 3, Period: time.Minute}}, MaxInFlight: 2})
		first, second := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
		first.Done()
		first.Done()
		first.Cancel()
		if got := p.Stats(); got.InFlight != 1 || got.Granted != 2 {
			t.Errorf("after Done, Done and Cancel: %+v, want 1 in flight of 2 granted", got)
		}
		second.Cancel()
		second.Done()
		second.Cancel()
		if got := p.Stats(); got.InFlight != 0 || got.Granted != 1 || got.Limits[0].Used != 1 {
			t.Errorf("after Cancel, Done and Cancel: %+v, want none in flight, 1 granted", got)
		}
		if second.Settle("", 3) {
			t.Error("a canceled slot was settled")
		}
	})
}

func TestRefundGivesBackCostsInEveryUnitAndNotTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t,
			pacer.Limit{Calls: 5, Period: time.Minute},
			tokenLimit(10),
			pacer.Limit{Cost: 100, Unit: "points", Period: time.Minute, Bucket: 100})
		s := slotOf(t, p, pacer.WithCost(costing(t, 7), "points", 30))
		time.Sleep(time.Second)
		s.Settle(tokens, 30)
		s.Done()
		s.Refund()
		for i, want := range []int{1, 0, 0} {
			if got := p.Stats().Limits[i]; got.Used != want {
				t.Errorf("%v: %d used, want %d", got.Limit, got.Used, want)
			}
		}
		if p.Stats().Granted != 1 {
			t.Error("the start is forgotten")
		}
	})
}

func TestCancelGivesAllBack(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit pacer.Limit
	}{
		{"window", pacer.Limit{Calls: 3, Period: time.Minute}},
		{"even", pacer.Limit{Calls: 1, Period: time.Minute, Even: true}},
		{"bucket", pacer.Limit{Calls: 1, Period: time.Minute, Bucket: 1}},
		{"cost", tokenLimit(10)},
		{"bucket of cost", pacer.Limit{Cost: 10, Unit: tokens, Period: time.Minute, Bucket: 10}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerOf(t, test.limit)
				s := slotOf(t, p, costing(t, 7))
				time.Sleep(time.Second)
				s.Settle(test.limit.Unit, 30)
				next, _ := acquires(p, costing(t, 10))
				if next() != nil {
					t.Fatal("started though there was no room")
				}
				s.Cancel()
				synctest.Wait()
				if next() == nil {
					t.Fatal("waits on though all was given back")
				}
				next().Cancel()
				stats := p.Stats()
				if stats.Granted != 0 || stats.Limits[0].Used != 0 || !stats.Next.Equal(time.Now()) {
					t.Errorf("after all was canceled: %+v", stats)
				}
			})
		})
	}
}

// The slots of a grid are those of starts that stay.
func TestCancelGivesTheSlotOfAnEvenLimitBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(5, 10*time.Second)
		var slots []*pacer.Slot
		for range 3 { // 0, 2 and, late, 5 s
			slots = append(slots, slotOf(t, p, t.Context()))
			time.Sleep(2500 * time.Millisecond)
		}
		slots[2].Cancel() // took the slot at 4 s, the next is at 6
		c := newCallers(p)
		c.arrive(2) // at 7.5 s: late for the slot at 4 s, which begins a new grid
		slots[1].Cancel()
		c.wantStarts(t, seconds(0, 2))

		p = pacer.Drip(5, 10*time.Second)
		first, second := slotOf(t, p, t.Context()), (*pacer.Slot)(nil)
		time.Sleep(2 * time.Second)
		second = slotOf(t, p, t.Context())
		first.Cancel() // is not the newest: the spacing from the second on stays
		wantNotNow(t, p, t.Context(), 2*time.Second)
		second.Cancel()
		slotOf(t, p, t.Context())
	})
}

func TestReportOfThrottlingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(10, time.Second)
		s, other := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
		for _, o := range []pacer.Outcome{
			{}, {Failed: true}, {Failed: true, Delay: time.Minute}, {Delay: time.Minute},
		} {
			if got := s.Report(o); !got.IsZero() || !p.Stats().PausedUntil.IsZero() {
				t.Errorf("Report(%+v): paused until %v", o, got)
			}
		}
		throttled := pacer.Outcome{Throttled: true, Failed: true, Delay: time.Minute}
		until := time.Now().Add(time.Minute)
		if got := s.Report(throttled); !got.Equal(until) || !p.Stats().PausedUntil.Equal(until) {
			t.Errorf("Report: paused until %v, want %v", got, until)
		}
		if got := other.Report(throttled); !got.IsZero() {
			t.Errorf("a report that changes nothing says: paused until %v", got)
		}
		throttled.Delay++
		s.Done()
		if got := s.Report(throttled); !got.Equal(until.Add(1)) {
			t.Errorf("a report that lengthens the pause, after Done: %v, want %v", got, until.Add(1))
		}
		other.Cancel()
		throttled.Delay = time.Hour
		if got := other.Report(throttled); !got.IsZero() {
			t.Errorf("a canceled slot says: paused until %v", got)
		}
	})
}

func TestSettleToLessMakesRoomInItsOwnPlaceAndWakesTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(100))
		began := time.Now()
		first := slotOf(t, p, costing(t, 60))
		time.Sleep(10 * time.Second)
		slotOf(t, p, costing(t, 40))
		head, _ := acquires(p, costing(t, 30))
		time.Sleep(10 * time.Second)
		if !first.Settle(tokens, 31) {
			t.Error("Settle: false")
		}
		synctest.Wait()
		if head() != nil {
			t.Fatal("started with 101 of 100 in the window")
		}
		first.Done()
		if !first.Settle(tokens, 30) {
			t.Error("Settle after Done: false")
		}
		synctest.Wait()
		if head() == nil {
			t.Fatal("waits on though there is room")
		}
		// What was settled leaves the window with its start, not with the settlement.
		next, _ := acquires(p, costing(t, 30))
		time.Sleep(time.Until(began.Add(time.Minute)))
		synctest.Wait()
		if next() == nil {
			t.Error("waits on though the first start left the window")
		}
	})
}

func TestSettleToMoreCountsFromNowAndTheNewestGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(100))
		used := func() int { return p.Stats().Limits[0].Used }
		s := slotOf(t, p, costing(t, 10))
		time.Sleep(10 * time.Second)
		s.Settle(tokens, 30)
		time.Sleep(10 * time.Second)
		s.Settle(tokens, 60)
		s.Settle(tokens, 25) // of the newest all, of the 20 before 5
		if got := used(); got != 25 {
			t.Errorf("%d used, want 25", got)
		}
		time.Sleep(40 * time.Second) // a minute after the start
		if got := used(); got != 15 {
			t.Errorf("%d used a minute after the start, want 15", got)
		}
		time.Sleep(10 * time.Second) // after the first excess
		if got := used(); got != 0 {
			t.Errorf("%d used a minute after the excess, want 0", got)
		}
	})
}

func TestSettleToMoreThanTheLimitHoldsOthersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(100), pacer.Limit{Cost: 100, Unit: tokens, Period: time.Minute, Bucket: 100})
		s := slotOf(t, p, costing(t, 50))
		time.Sleep(30 * time.Second)
		s.Settle(tokens, 350) // the bucket had its 50 back
		stats := p.Stats()
		for i, used := range []int{350, 300} {
			if l := stats.Limits[i]; l.Used != used || l.Left != 0 {
				t.Errorf("%v: used %d, left %d, want %d and 0", l.Limit, l.Used, l.Left, used)
			}
		}
		wantNotNow(t, p, costing(t, 1), 2*time.Minute+600*time.Millisecond)
		slotOf(t, p, costing(t, 0)) // costs nothing, and so waits for nothing
	})
}

func TestSettleSaysFalse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, tokenLimit(100), pacer.Limit{Cost: 100, Unit: "points", Period: time.Second, Bucket: 100})
		s := slotOf(t, p, costing(t, 50))
		if s.Settle("pints", 3) || s.Settle("", 0) || s.Settle(tokens, -1) {
			t.Error("Settle: true for a unit that no limit counts in, or a negative cost")
		}
		if got := p.Stats().Limits[0].Used; got != 50 {
			t.Errorf("%d used, want 50 as before", got)
		}
		time.Sleep(10 * time.Millisecond) // a point flows back
		if s.Settle("points", 0) {
			t.Error("Settle: true though all had flowed back")
		}
		time.Sleep(time.Minute)
		if s.Settle(tokens, 10) {
			t.Error("Settle: true for a start that has left the window")
		}
		if got := s.Costs()[tokens]; got != 50 || s.Settle(tokens, 30) || p.Stats().Limits[0].Used != 0 {
			t.Errorf("what came too late changed the cost of 50 to %d, and %+v", got, p.Stats().Limits[0])
		}
		if !s.Settle(tokens, 70) || p.Stats().Limits[0].Used != 20 {
			t.Errorf("the server counts more: %+v, want 20 used from now", p.Stats().Limits[0])
		}
	})
}

func TestSettleStartsCountsWhatTheServerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Calls: 5, Period: time.Second}, pacer.Limit{Calls: 5, Period: time.Second, Bucket: 5})
		free := slotOf(t, p, t.Context())
		if !free.Settle("", 0) || p.Stats().Limits[0].Used != 0 || p.Stats().Limits[1].Used != 0 {
			t.Errorf("%+v, want nothing used: an answer from the cache counted no start", p.Stats().Limits)
		}
		batch := slotOf(t, p, t.Context())
		batch.Settle("", 1000)
		if batch.Settle("", 900); p.Stats().Limits[0].Left != 0 {
			t.Errorf("%+v, want a full window", p.Stats().Limits[0])
		}
		batch.Settle("", 4)
		slotOf(t, p, t.Context())
		wantNotNow(t, p, t.Context(), time.Second)
	})
}
