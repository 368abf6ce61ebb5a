package pacer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var recording sync.Mutex // of what several callers record

// many lets n callers wait at p, and has record told when one starts.
func many(t *testing.T, p *Pacer, n int, ctx context.Context, record func()) {
	t.Helper()
	for range n {
		go func() {
			if p.Wait(ctx) == nil {
				recording.Lock()
				defer recording.Unlock()
				record()
			}
		}()
	}
	synctest.Wait()
}

func child(t *testing.T, cfg Config) *Pacer {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWeightsShareAParentWithinOneStart(t *testing.T) {
	for _, parent := range []Limit{
		{Calls: 13, Period: 13 * time.Second, Even: true},
		{Calls: 13, Period: 13 * time.Second}, // its window opens at 13 places at one moment
		{Cost: 130, Unit: "tokens", Period: 13 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			root := Must(Config{Limits: []Limit{parent}})
			if parent.Even {
				root.Allow()
			} else {
				for range 13 {
					if s, err := root.TryAcquire(WithCost(t.Context(), "tokens", 10)); err != nil || s == nil {
						t.Fatal(err)
					}
				}
			}
			ctx, cancel := context.WithCancel(WithCost(t.Context(), "tokens", 10))
			var got [3]int
			weights := [3]int{1, 3, 9}
			for i, weight := range weights {
				many(t, child(t, Config{Parent: root, Weight: weight}), 200, ctx, func() {
					got[i]++
				})
			}
			for round := range 10 {
				time.Sleep(13 * time.Second)
				synctest.Wait()
				recording.Lock()
				for i, weight := range weights {
					if want := weight * (round + 1); got[i] < want-1 || got[i] > want+1 {
						t.Errorf("%v after %d rounds: %v starts, want %v each", parent, round+1, got, weights)
					}
				}
				recording.Unlock()
			}
			cancel()
			synctest.Wait()
		})
	}
}

func TestTenThousandWaitingInOneChildDelayAnotherByTheirShareOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := Drip(1, time.Second)
		busy, idle := child(t, Config{Parent: root}), child(t, Config{Parent: root})
		ctx, cancel := context.WithCancel(t.Context())
		many(t, busy, 10_000, ctx, func() {})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		began := time.Now()
		for i := range 3 {
			if err := idle.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			// At most one start of the other's goes before each.
			if waited, most := time.Since(began), time.Duration(2*(i+1))*time.Second; waited > most {
				t.Errorf("start %d of the idle child after %v, want at most %v", i, waited, most)
			}
		}
		cancel()
		synctest.Wait()
	})
}

func TestAChildIsNotOwedWhatItDidNotWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := Drip(1, time.Second)
		a, b := child(t, Config{Parent: root}), child(t, Config{Parent: root})
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		many(t, a, 100, ctx, func() { got = append(got, "a") })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		recording.Lock()
		got = nil
		recording.Unlock()
		many(t, b, 100, ctx, func() { got = append(got, "b") })
		time.Sleep(20 * time.Second)
		synctest.Wait()
		cancel()
		synctest.Wait()
		for i, name := range got[1:] {
			if name == got[i] {
				t.Fatalf("starts in the order %v, want one of each in turn", got)
			}
		}
	})
}

func TestAPausedOrSlowChildHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := Drip(1, time.Second)
		paused, slow := child(t, Config{Parent: root, MaxPause: time.Hour}), child(t, Config{Parent: root, Limits: []Limit{{Calls: 1, Period: time.Hour, Even: true}}})
		other := child(t, Config{Parent: root, PassUp: true})
		ctx, cancel := context.WithCancel(t.Context())
		if !slow.Allow() {
			t.Fatal("Allow: false")
		}
		paused.PauseUntil(time.Now().Add(20 * time.Minute))
		many(t, paused, 3, ctx, func() {})
		many(t, slow, 3, ctx, func() {})
		began := time.Now()
		for i := range 100 {
			if err := other.Wait(t.Context()); err != nil || time.Since(began) != time.Duration(i+1)*time.Second {
				t.Fatalf("start %d: %v after %v", i, err, time.Since(began))
			}
		}
		cancel()
		synctest.Wait()
	})
}

func TestAStartIsInAllPacersUpTheTreeOrInNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := Must(Config{Limits: []Limit{{Calls: 10, Period: time.Second}}})
		mid := child(t, Config{Parent: root, MaxInFlight: 50})
		leaf := child(t, Config{Parent: mid, Limits: []Limit{{Calls: 2, Period: time.Second}}})
		counts := func() (all []uint64) {
			for _, p := range []*Pacer{leaf, mid, root} {
				all = append(all, p.Stats().Granted)
			}
			return all
		}
		first, err := leaf.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.TryAcquire(t.Context()); !errors.Is(err, ErrNotNow) {
			t.Errorf("TryAcquire: %v, want ErrNotNow", err)
		}
		if got := counts(); !slices.Equal(got, []uint64{2, 2, 2}) {
			t.Errorf("%v starts, want 2 each", got)
		}
		if got := mid.Stats().InFlight; got != 2 {
			t.Errorf("%d in flight, want 2", got)
		}
		first.Cancel()
		if got := counts(); !slices.Equal(got, []uint64{1, 1, 1}) || root.Stats().Limits[0].Left != 9 || mid.Stats().InFlight != 1 {
			t.Errorf("%v starts, %+v, want 1 each", got, root.Stats())
		}
		if err := leaf.Wait(t.Context()); !errors.Is(err, errHolds) {
			t.Errorf("Wait: %v, want %v: flights are bounded above", err, errHolds)
		}
	})
}

// A caller whose time is up exactly when its slot comes is not refused while another child's, who
// goes first at that moment, has not looked yet.
func TestMaxWaitThatEndsWithTheSlotIsKeptBehindOtherChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := Must(Config{MaxInFlight: 2})
		first, last := child(t, Config{Parent: root}), child(t, Config{Parent: root, MaxWait: 10 * time.Second})
		flight, err := root.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*Pacer{first, last} {
			go p.Acquire(t.Context())
			synctest.Wait()
		}
		root.mu.Lock()
		if last.moves(last.clock.Now()) {
			t.Error("nobody can start, and moves says that somebody will")
		}
		flight.endHere(false) // who is told must wait for the lock
		if first.queue.len != 1 || !last.moves(last.clock.Now()) {
			t.Error("the first is about to start, and moves denies it")
		}
		root.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := [2]uint64{first.granted, last.rejected}; got != [2]uint64{1, 1} {
			t.Errorf("%v, want a start of the first and a refusal of the last", got)
		}
	})
}

// What costs nothing takes turns as what costs 1: or it would always be the next for a flight.
func TestCallsThatCostNothingStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := Must(Config{Limits: []Limit{{Cost: 1000, Unit: "tokens", Period: time.Minute}}, MaxInFlight: 1})
		ctx, cancel := context.WithCancel(t.Context())
		var got [2]int
		for cost := range got {
			p := child(t, Config{Parent: root})
			for range 60 {
				go func() {
					if s, err := p.Acquire(WithCost(ctx, "tokens", cost)); err == nil {
						time.Sleep(time.Second)
						s.Done()
						recording.Lock()
						defer recording.Unlock()
						got[cost]++
					}
				}()
			}
			synctest.Wait()
		}
		time.Sleep(101*time.Second + 1)
		synctest.Wait()
		recording.Lock()
		if got != [2]int{51, 50} { // the first came before all others
			t.Errorf("%v starts at costs of 0 and 1, want 51 and 50", got)
		}
		recording.Unlock()
		cancel()
		time.Sleep(2 * time.Second)
	})
}
