package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

const never = time.Duration(math.MaxInt64) // about 292 years

func TestExtremeLimits(t *testing.T) {
	for _, test := range []struct {
		calls  int
		period time.Duration
		even   bool
		free   int           // how many of ten start at once
		next   time.Duration // when the one after them does
	}{
		{1, 1, false, 1, 1},
		{1, 1, true, 1, 1},
		{1, never, false, 1, never},
		{1, never, true, 1, never},
		{3, never, false, 3, never},
		{3, never, true, 1, never / 3},
		{math.MaxInt, 1, false, 10, 0},
		{math.MaxInt, 1, true, 10, 0},
		{math.MaxInt, never, false, 10, 0},
		{math.MaxInt, never, true, 1, never / math.MaxInt},
		{1_000_000_000, time.Second, true, 1, 1},
		{2_000_000_000, time.Second, true, 10, 0},
		{7, 3, true, 7, 3},
	} {
		t.Run(fmt.Sprintf("%d per %v, even=%v", test.calls, test.period, test.even), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerOf(t, pacer.Limit{Calls: test.calls, Period: test.period, Even: test.even})
				free := 0
				for range 10 {
					if p.Allow() {
						free++
					}
				}
				if free != test.free {
					t.Errorf("%d of 10 may start at once, want %d", free, test.free)
				}
				if got := time.Until(p.Stats().Next); got != test.next {
					t.Errorf("next start in %v, want %v", got, test.next)
				}
				if test.next == 0 {
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), 1)
				defer cancel()
				var refusal *pacer.Error
				if err := p.Wait(ctx); !errors.As(err, &refusal) || refusal.Wait() != test.next {
					t.Errorf("Wait: %v, want a refusal that predicts %v", err, test.next)
				}
			})
		})
	}
}

// Sums of extremes are cut to the range of a time.Duration, not wrapped around.
func TestExtremesDoNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Calls: 1, Period: never}, pacer.Limit{Calls: 2, Period: never, Even: true})
		time.Sleep(time.Hour)
		if !p.Allow() {
			t.Fatal("Allow: false with a free slot")
		}
		if got, want := time.Until(p.Stats().Next), never-time.Hour; got != want {
			t.Errorf("next start in %v, want %v", got, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := newCallers(p)
		for range 3 {
			c.arriveWith(ctx)
		}
		wantRefused(t, c.arriveBefore(1000*time.Hour), 0, pacer.ErrDeadline, never-time.Hour)
		p.PauseUntil(time.Now().Add(never))
		p.PauseUntil(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
		wantRefused(t, c.arriveBefore(1000*time.Hour), 0, pacer.ErrDeadline, never-time.Hour)
		cancel()
		c.wantStarts(t, nil)
	})
}

func TestMillionCallsAnHour(t *testing.T) {
	const calls = 1_000_000
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(calls, time.Hour)
		begin := time.Now()
		used := allocated(func() {
			for range calls {
				if !p.Allow() {
					t.Fatal("Allow: false within the first million")
				}
			}
		})
		if used > 24<<20 {
			t.Errorf("a million starts allocate %d bytes, want at most 24 MiB", used)
		}
		if p.Allow() {
			t.Fatal("Allow: true for one more than a million")
		}
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begin); got != time.Hour {
			t.Errorf("one more than a million started after %v, want %v", got, time.Hour)
		}
	})
}

func TestMemoryGrowsOnlyAsStartsHappen(t *testing.T) {
	for _, limit := range []pacer.Limit{
		{Calls: 1_000_000, Period: time.Hour},
		{Calls: math.MaxInt, Period: time.Hour},
		{Calls: math.MaxInt, Period: never, Even: true},
	} {
		used := allocated(func() {
			p := pacerOf(t, limit)
			for range 10 {
				p.Allow()
			}
		})
		if used > 16<<10 {
			t.Errorf("%+v: ten starts allocate %d bytes, want at most 16 KiB", limit, used)
		}
	}
}

// Starts that left every window make room for new ones.
func TestMemoryIsReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(math.MaxInt, time.Second)
		used := allocated(func() {
			for range 100_000 {
				p.Allow()
				time.Sleep(10 * time.Millisecond)
			}
		})
		// A hundred starts fit in a window. What sleeping allocates is not
		// the pacer's, and is why this is not exact.
		if starts := uint64(100_000 * 8); used > starts/2 {
			t.Errorf("100,000 starts, a hundred in each window, allocate %d bytes", used)
		}
	})
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestFreeSlotDoesNotAllocate(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	defer cancel()
	deadline, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for name, ctx := range map[string]context.Context{
		"background": context.Background(), "cancelable": canceled, "deadline": deadline,
	} {
		// Many starts within the period, few of them in the ring: it is full of
		// starts that left the window and is not grown for them.
		p := pacer.Burst(1_000_000, time.Nanosecond)
		if got := testing.AllocsPerRun(10_000, func() {
			if err := p.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: Wait with a free slot allocates %v times, want 0", name, got)
		}
	}
}
