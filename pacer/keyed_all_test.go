package pacer_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestPeekMakesNothingAndSendsNobodyToTheOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 1, onePerSecond)
		if p, ok := k.Peek("a"); p != nil || ok || k.Len() != 0 {
			t.Errorf("Peek: %v, %t with %d keys", p, ok, k.Len())
		}
		a := k.Get("a")
		start(t, a)
		k.Get("b") // shares the overflow
		if p, ok := k.Peek("b"); p != nil || ok {
			t.Errorf("Peek: %v, %t of a key without a pacer of its own", p, ok)
		}
		if p, ok := k.Peek("a"); p != a || !ok || k.Len() != 1 {
			t.Errorf("Peek: %v, %t with %d keys, want that of Get", p, ok, k.Len())
		}
		wantMade(t, made, "a", "")
		time.Sleep(time.Second)
		k.Peek("a")
		k.Get("c") // a was idle all the same
		if _, ok := k.Peek("a"); ok {
			t.Error("Peek keeps a pacer from being forgotten")
		}
	})
}

func TestAllIsHowThingsWereWhenTheLoopBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 2, onePerSecond)
		want := map[string]*pacer.Pacer{"a": k.Get("a"), "b": k.Get("b")}
		start(t, want["a"])
		start(t, want["b"])
		all := k.All()
		got := maps.Collect(all)
		if !maps.Equal(got, want) {
			t.Errorf("All: %v, want %v", got, want)
		}
		want[""] = k.Get("c") // the overflow
		got = map[string]*pacer.Pacer{}
		for key, p := range all {
			k.Get("d") // from within
			time.Sleep(time.Second)
			k.Get("e") // forgets a and b
			got[key] = p
		}
		if !maps.Equal(got, want) {
			t.Errorf("All: %v, want %v", got, want)
		}
		for range k.All() {
			break
		}
	})
}

// The limits of all keys, present and to come, are changed, and who waits in the overflow is
// served by the new ones.
func TestLimitsOfAKeyedAreChangedByALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limitsOf(t, "1/h")
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacerOf(t, limits...) })
		start(t, k.Get("a"))
		start(t, k.Get("b"))
		c := newCallers(k.Get("c"))
		waits := c.arriveWith(t.Context())
		k.Get("d") // all are busy for an hour, it notes
		limits = limitsOf(t, "2/s")
		for _, p := range k.All() {
			if err := p.SetLimits(limits...); err != nil {
				t.Error(err)
			}
		}
		c.wantStarts(t, seconds(0))
		if waits.err != nil {
			t.Error(waits.err)
		}
		time.Sleep(time.Second)
		if p := k.Get("e"); p.Stats().Limits[0].Limit != limits[0] || k.Len() != 1 {
			t.Errorf("%+v", p.Stats())
		}
		if _, ok := k.Peek("e"); !ok {
			t.Error("a key gets none of its own though the others are idle by their new limits")
		}
	})
}
