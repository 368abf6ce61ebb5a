package debug_test

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/debug"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// keyed is what a pacer.Keyed is to a handler.
type keyed struct {
	keys   []string
	pacers []*pacer.Pacer
	after  func(*pacer.Pacer) // called when the loop has had it; may be nil
}

func (k *keyed) All() iter.Seq2[string, *pacer.Pacer] {
	return func(yield func(string, *pacer.Pacer) bool) {
		for i, key := range k.keys {
			if !yield(key, k.pacers[i]) {
				return
			}
			if k.after != nil {
				k.after(k.pacers[i])
			}
		}
	}
}

// add adds a pacer of 10 an hour, of which some have started.
func (k *keyed) add(key string, starts int) *pacer.Pacer {
	p := pacer.Burst(10, time.Hour)
	for range starts {
		p.Allow()
	}
	k.keys, k.pacers = append(k.keys, key), append(k.pacers, p)
	return p
}

func TestKeysAreNotShown(t *testing.T) {
	var k keyed
	secrets := []string{"sk-live-4242", "alice@example.com", "aGVsbG8", ""}
	for i, key := range secrets {
		k.add(key, i)
	}
	h := debug.Handler(debug.Keyed("tenants", &k, nil))
	text := ask(t, h, "GET", "/", "text/html").Body.String() + ask(t, h, "GET", "/", "application/json").Body.String()
	for _, key := range secrets[:3] {
		if strings.Contains(text, key) {
			t.Errorf("%s is shown", key)
		}
	}
	first := shown(t, h)
	for _, name := range first {
		var number uint32
		if _, err := fmt.Sscanf(name, "#%08x", &number); err != nil || len(name) != 9 {
			t.Errorf("a key is shown as %q", name)
		}
	}
	if again := shown(t, h); !slices.Equal(first, again) {
		t.Errorf("keys are shown as %q, then as %q", first, again)
	}
	if different := slices.Compact(slices.Sorted(slices.Values(first))); len(different) != len(secrets) {
		t.Errorf("%d keys are shown as %q", len(secrets), different)
	}
	h = debug.Handler(debug.Keyed("tenants", &k, nil))
	for _, name := range shown(t, h) {
		if slices.Contains(first, name) {
			t.Errorf("another handler shows %s too: whoever guesses a key could see whether it is right", name)
		}
	}
}

func TestEquallyBusyKeysAreNotInTheOrderOfTheirBytes(t *testing.T) {
	var k keyed
	for i := range 40 {
		k.add(fmt.Sprintf("key%02d", i), 1)
	}
	h := debug.Handler(debug.Keyed("keys", &k, func(key string) string { return key }))
	order := shown(t, h)
	if len(order) != 40 || slices.IsSorted(order) { // by chance once in 40!
		t.Errorf("places tell how keys compare: %v", order)
	}
	if again := shown(t, h); !slices.Equal(order, again) {
		t.Errorf("keys change their places: %v, then %v", order, again)
	}
}

func TestProgramDecidesWhatIsSeenOfAKey(t *testing.T) {
	var k keyed
	k.add("https://user:password@api.example/", 2)
	k.add("token", 1)
	got := shown(t, debug.Handler(debug.Keyed("hosts", &k, func(key string) string {
		_, host, _ := strings.Cut(key, "@")
		return host
	})))
	if got[0] != "api.example/" || !strings.HasPrefix(got[1], "#") {
		t.Errorf("shown are %v", got)
	}
}

func TestBusiestKeysComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k keyed
		k.add("idle", 0)
		k.add("some starts", 3)
		k.keys = append(k.keys, "full", "in flight")
		k.pacers = append(k.pacers, pacer.Burst(1, time.Hour), pacer.Must(pacer.Config{MaxInFlight: 5}))
		k.pacers[2].Allow()
		slot, err := k.pacers[3].Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k.add("paused", 0).PauseUntil(time.Now().Add(time.Minute))
		for i, key := range []string{"one waits", "two wait"} {
			p := k.add(key, 10)
			for range i + 1 {
				go p.Wait(t.Context())
			}
		}
		synctest.Wait()

		want := []string{"two wait", "one waits", "paused", "in flight", "full", "some starts", "idle"}
		if got := shown(t, debug.Handler(debug.Keyed("k", &k, func(key string) string { return key }))); !slices.Equal(got, want) {
			t.Errorf("the order is %q, want %q", got, want)
		}
		slot.Done()
	})
}

func TestOfManyKeysTheBusiestAreShownAndAllCounted(t *testing.T) {
	var k keyed
	starts := 0
	for i := range 10_000 {
		k.add(fmt.Sprint(i), i%5)
		starts += i % 5
	}
	for range 10 - 1234%5 {
		k.pacers[1234].Allow()
		starts++
	}
	k.pacers[5000].PauseUntil(time.Now().Add(time.Hour))

	h := debug.Handler(debug.Keyed("tenants", &k, func(key string) string { return key }))
	v := askJSON(t, h).Keyed[0]
	if v.Keys != 10_000 || len(v.Busiest) != 100 || v.Granted != starts || v.States["flowing"] != 9_999 || v.States["paused"] != 1 {
		t.Errorf("%d keys, %d shown, %d starts, states %v; want 10000, 100, %d, all but one flowing", v.Keys, len(v.Busiest), v.Granted, v.States, starts)
	}
	if v.Busiest[0].Name != "5000" || v.Busiest[1].Name != "1234" {
		t.Errorf("busiest are %s and %s, want 5000, which is paused, and 1234, which is full", v.Busiest[0].Name, v.Busiest[1].Name)
	}
	for _, one := range v.Busiest[2:] {
		if one.Granted != 4 {
			t.Errorf("%s with %d starts is among the busiest", one.Name, one.Granted)
		}
	}
	page := ask(t, h, "GET", "/").Body.String()
	for _, want := range []string{"10,000 keys", "and 9,900 keys less busy"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page, "<tr "); n != 101 {
		t.Errorf("the page has %d rows, want the head and 100", n)
	}
}

// A Keyed may hold its lock while All goes on, and the Stats of a pacer that it has forgotten takes
// that lock.
func TestStatsAreAskedWhenAllHasEnded(t *testing.T) {
	k := keyed{after: func(p *pacer.Pacer) { p.Allow() }}
	k.add("a", 0)
	k.add("b", 0)
	if v := askJSON(t, debug.Handler(debug.Keyed("k", &k, nil))).Keyed[0]; v.Granted != 2 {
		t.Errorf("%d of 2 starts are seen: Stats was called in the loop", v.Granted)
	}
}

// shown returns the names of the keys that are shown.
func shown(t *testing.T, h http.Handler) (names []string) {
	t.Helper()
	for _, one := range askJSON(t, h).Keyed[0].Busiest {
		names = append(names, one.Name)
	}
	return names
}
