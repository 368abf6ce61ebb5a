package pacer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func inFlight(t *testing.T, n int, limits ...pacer.Limit) *pacer.Pacer {
	t.Helper()
	return pacerWith(t, pacer.Config{MaxInFlight: n, Limits: limits})
}

func TestNoMoreInFlightThanMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inFlight(t, 2)
		first := slotOf(t, p, t.Context())
		slotOf(t, p, t.Context())
		wantNotNow(t, p, t.Context(), time.Millisecond) // nobody knows: ask again soon, but do not spin
		third, _ := acquires(p, t.Context())
		fourth, _ := acquires(p, t.Context())
		time.Sleep(time.Hour)
		if third() != nil {
			t.Fatal("a third is in flight")
		}
		first.Done()
		synctest.Wait()
		if third() == nil || fourth() != nil {
			t.Fatalf("after one is done: third %v, fourth %v, want the third alone", third(), fourth())
		}
		third().Cancel()
		synctest.Wait()
		if fourth() == nil {
			t.Error("waits on though one was canceled")
		}
	})
}

// The head is due when the windows are open and there is room: no slot of a window is
// held by one who waits for room in flight, and no room by one who waits for a window.
func TestTheHeadWaitsForWindowsAndFlightsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inFlight(t, 1, pacer.Limit{Calls: 1, Period: 10 * time.Second})
		first := slotOf(t, p, t.Context())
		head, _ := acquires(p, t.Context())
		time.Sleep(15 * time.Second)
		if head() != nil || p.Stats().Limits[0].Used != 0 {
			t.Fatal("the window counts one who waits for room")
		}
		first.Done()
		synctest.Wait()
		if head() == nil {
			t.Fatal("waits on though the window is open and there is room")
		}
		next, _ := acquires(p, t.Context())
		head().Done()
		synctest.Wait()
		if next() != nil || p.Stats().InFlight != 0 {
			t.Fatal("one who waits for a window is in flight")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if next() == nil {
			t.Error("waits on though the window is open")
		}
		next().Done()
		if got := p.Stats().Late; got != 0 {
			t.Errorf("%d late, want none: the first waited for a flight", got)
		}
	})
}

func TestWaitAndAllowCannotSayWhenAFlightIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inFlight(t, 2)
		const want = "pacer: Wait cannot say when a request is over, which MaxInFlight needs to know: use Acquire"
		if err := p.Wait(t.Context()); err == nil || err.Error() != want {
			t.Errorf("Wait: %v, want %q", err, want)
		}
		if p.Allow() {
			t.Error("Allow: true")
		}
		if got := p.Stats(); got.InFlight != 0 || got.Granted != 0 {
			t.Errorf("Stats: %+v, want nothing in flight", got)
		}
	})
}

func TestOldestInFlightTellsOfASlotNeverDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inFlight(t, 3)
		if got := p.Stats().OldestInFlight; !got.IsZero() {
			t.Errorf("oldest of none is %v", got)
		}
		var slots []*pacer.Slot
		var began []time.Time
		for range 3 {
			slots, began = append(slots, slotOf(t, p, t.Context())), append(began, time.Now())
			time.Sleep(time.Minute)
		}
		for _, step := range []struct{ done, oldest int }{{1, 0}, {0, 2}} {
			slots[step.done].Done()
			if got := p.Stats(); !got.OldestInFlight.Equal(began[step.oldest]) {
				t.Errorf("oldest in flight since %v, want %v", got.OldestInFlight, began[step.oldest])
			}
		}
	})
}

// How long a flight takes nobody knows, so its end is not counted on and not ruled out.
func TestADeadlineIsWaitedForWhereAFlightIsInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inFlight(t, 1, pacer.Limit{Calls: 1, Period: 10 * time.Second})
		slotOf(t, p, t.Context())
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := p.Acquire(ctx); !errors.Is(err, pacer.ErrDeadline) || !time.Now().Equal(began) {
			t.Errorf("the window opens too late: %v at %v, want ErrDeadline at once", err, time.Since(began))
		}
		ctx, cancel = context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		if _, err := p.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pacer.ErrDeadline) || time.Since(began) != 11*time.Second {
			t.Errorf("nothing ended: %v at %v, want the context's error at 11s", err, time.Since(began))
		}
	})
}

// Where nothing bounds flights nobody need say Done, so nobody counts.
func TestFlightsAreNotCountedWithoutMaxInFlight(t *testing.T) {
	p := pacer.Burst(5, time.Hour)
	s := slotOf(t, p, t.Context())
	if got := p.Stats(); got.InFlight != 0 || !got.OldestInFlight.IsZero() {
		t.Errorf("Stats: %+v", got)
	}
	s.Done()
}

func TestKeyedKeepsPacersWithSlotsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 1, func(string) *pacer.Pacer { return inFlight(t, 1, pacer.Limit{Calls: 1, Period: time.Second}) })
		s := slotOf(t, k.Get("a"), t.Context())
		time.Sleep(time.Hour)
		k.Get("b")
		wantMade(t, made, "a", "")
		s.Done()
		time.Sleep(time.Second)
		k.Get("b")
		wantMade(t, made, "a", "", "b")
		s.Settle("", 5) // of a pacer that is forgotten
		s.Report(pacer.Outcome{Throttled: true, Delay: time.Hour})
		if k.Get("a").Stats().PausedUntil.IsZero() {
			t.Error("a report of a forgotten pacer's slot pauses nobody")
		}
	})
}
