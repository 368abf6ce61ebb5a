package pacer_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A Keyed of children under one Parent.

// children returns a Keyed whose pacers are children of parent.
func children(t *testing.T, parent *pacer.Pacer, keys int, cfg pacer.Config) *pacer.Keyed {
	t.Helper()
	cfg.Parent = parent
	k, err := pacer.NewKeyed(pacer.KeyedConfig{MaxKeys: keys, New: func(string) *pacer.Pacer { return pacer.Must(cfg) }})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Starts of keys are starts of their Parent, also of those that share the overflow, and whoever
// moves from there does not count twice.
func TestAKeyedOfChildrenKeepsItsParentsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := pacer.Burst(10, time.Minute)
		k := children(t, parent, 1, pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: time.Second}}})
		slotOf(t, k.Get("a"), t.Context())
		for range 2 {
			slotOf(t, k.Get("b"), t.Context()) // in the overflow
		}
		wantNotNow(t, k.Get("c"), t.Context(), time.Second)
		if got := []uint64{parent.Stats().Granted, k.Get("a").Stats().Granted}; !slices.Equal(got, []uint64{3, 1}) {
			t.Errorf("starts %v, want 3 of the parent, 1 of a", got)
		}
		time.Sleep(time.Second) // a is idle, and forgotten for b
		b := k.Get("b")
		slotOf(t, b, t.Context())
		if own, ok := k.Peek("b"); !ok || own != b {
			t.Error("b has no pacer of its own though there is room")
		}
		for range 3 {
			time.Sleep(time.Second)
			for range 2 {
				slotOf(t, k.Get("b"), t.Context())
			}
		}
		if got := parent.Stats().Limits[0]; got.Used != 10 || got.Left != 0 {
			t.Errorf("%+v, want all 10 used", got)
		}
		wantNotNow(t, k.Get("d"), t.Context(), 56*time.Second)
	})
}

// A pacer with children is never forgotten, and who has a forgotten one for Parent gets what is in
// its place: a quota exists once.
func TestAParentIsOnceThoughAKeyedForgetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts, err := pacer.NewKeyed(pacer.KeyedConfig{MaxKeys: 1, New: func(string) *pacer.Pacer { return pacer.Burst(1, time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		old := accounts.Get("a")
		accounts.Get("b") // a is idle: forgotten
		time.Sleep(time.Second)
		a := pacerWith(t, pacer.Config{Parent: old})
		if got := accounts.Get("a"); a.Parent() != got || got == old {
			t.Errorf("Parent is %p, want that which is in its place, %p", a.Parent(), got)
		}
		slotOf(t, a, t.Context())
		wantNotNow(t, accounts.Get("a"), t.Context(), time.Hour)
		time.Sleep(2 * time.Hour)
		parent := accounts.Get("a")
		accounts.Get("c")
		if got := accounts.Get("a"); got != parent {
			t.Error("a pacer with children was forgotten")
		}
	})
}

// Who holds a forgotten child is served by the key's current one, and its reports go where they
// belong.
func TestWhoHoldsAForgottenChildIsServedByTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := pacerOf(t, wide...)
		k := children(t, parent, 1, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}, PassUp: true})
		old := k.Get("a")
		slot := slotOf(t, old, t.Context())
		time.Sleep(time.Second)
		k.Get("b")
		time.Sleep(time.Second)
		slotOf(t, old, t.Context())
		if current := k.Get("a"); current == old || current.Stats().Granted != 1 {
			t.Error("the start is not of the key's current pacer")
		}
		if got := parent.Stats().Granted; got != 2 {
			t.Errorf("%d starts of the parent, want 2", got)
		}
		if until := slot.Report(throttledFor(time.Minute)); !until.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("Report: %v, want a pause of the parent", until)
		}
		wantStates(t, "paused paused", parent, k.Get("a"))
	})
}

// Keys in the overflow are one child of their Parent, and each that has a pacer of its own is one.
func TestTheOverflowIsOneChildOfTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := pacer.Drip(1, time.Second)
		k := children(t, parent, 1, pacer.Config{})
		slotOf(t, parent, t.Context())
		began := time.Now()
		own := newCallers(k.Get("a"))
		own.arrive(4)
		var shared []*callers
		for _, key := range []string{"b", "c"} {
			c := newCallers(k.Get(key))
			c.arrive(2)
			k.Get(key)
			shared = append(shared, c)
		}
		own.wantStarts(t, seconds(1, 3, 5, 7))
		shared[0].wantStarts(t, seconds(2, 4))
		shared[1].wantStarts(t, seconds(6, 8))
		if took := time.Since(began); took != 8*time.Second {
			t.Errorf("all took %v, want 8s", took)
		}
	})
}

// Limits of all children are changed in a loop, while they wait below a Parent.
func TestSetLimitsOfAParentAndOfAllChildrenWhileTheyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := pacer.Burst(3, time.Hour)
		k := children(t, parent, 0, pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Hour}}})
		var all []*callers
		for _, key := range []string{"a", "b", "c"} {
			k.Get(key).Allow()
			c := newCallers(k.Get(key))
			c.arrive(2)
			all = append(all, c)
		}
		if err := parent.SetLimits(pacer.Limit{Calls: 1, Period: time.Second, Even: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := parent.Stats().Granted; got != 3 {
			t.Errorf("%d starts, want that of each child at once", got)
		}
		for _, p := range k.All() {
			if err := p.SetLimits(pacer.Limit{Calls: 4, Period: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		var starts []time.Duration
		for _, c := range all {
			own := c.starts()
			if round := own[1] - own[0]; round != 3*time.Second {
				t.Errorf("starts of a child at %v, want them in turn", own)
			}
			starts = append(starts, own...)
		}
		slices.Sort(starts)
		if want := seconds(10, 11, 12, 13, 14, 15); !slices.Equal(starts, want) {
			t.Errorf("starts at %v, want %v", starts, want)
		}
	})
}
