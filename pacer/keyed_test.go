package pacer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// newKeyed returns a Keyed and the keys for which it made pacers so far.
func newKeyed(t *testing.T, maxKeys int, newPacer func(key string) *pacer.Pacer) (*pacer.Keyed, *[]string) {
	t.Helper()
	made := new([]string)
	k, err := pacer.NewKeyed(pacer.KeyedConfig{
		MaxKeys: maxKeys,
		New: func(key string) *pacer.Pacer {
			*made = append(*made, key) // a Keyed makes one pacer at a time
			return newPacer(key)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return k, made
}

func onePerSecond(string) *pacer.Pacer { return pacer.Burst(1, time.Second) }

func wantMade(t *testing.T, made *[]string, want ...string) {
	t.Helper()
	if !slices.Equal(*made, want) {
		t.Errorf("made pacers for %q, want for %q", *made, want)
	}
}

// start takes a slot that must be free.
func start(t *testing.T, p *pacer.Pacer) {
	t.Helper()
	if !p.Allow() {
		t.Error("Allow: false with a free slot")
	}
}

func TestNewKeyedReportsEveryInvalidField(t *testing.T) {
	k, err := pacer.NewKeyed(pacer.KeyedConfig{MaxKeys: -7})
	const want = "pacer: KeyedConfig.New is nil, must be a function\n" +
		"pacer: KeyedConfig.MaxKeys is -7, must be 0 (10000) or more"
	if k != nil || err == nil || err.Error() != want {
		t.Errorf("NewKeyed: %v, %v\nwant nil and\n%v", k, err, want)
	}
}

func TestKeyedCallsNewOncePerKey(t *testing.T) {
	k, made := newKeyed(t, 0, onePerSecond)
	const keys = 20
	var pacers [keys][8]*pacer.Pacer
	var wg sync.WaitGroup
	for key := range keys {
		for i := range pacers[key] {
			wg.Go(func() { pacers[key][i] = k.Get(fmt.Sprint(key)) })
		}
	}
	wg.Wait()
	if len(*made) != keys {
		t.Errorf("made pacers for %q, want one for each of %d keys", *made, keys)
	}
	all := map[*pacer.Pacer]bool{}
	for key := range pacers {
		for _, p := range pacers[key] {
			if p != pacers[key][0] {
				t.Errorf("key %d has several pacers", key)
			}
		}
		all[pacers[key][0]] = true
	}
	if len(all) != keys || all[nil] {
		t.Errorf("%d pacers for %d keys", len(all), keys)
	}
}

func TestKeyedNeverForgetsARecentStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 1, func(string) *pacer.Pacer {
			return pacerOf(t, pacer.Limit{Calls: 9, Period: time.Second}, pacer.Limit{Calls: 1, Period: time.Minute})
		})
		a := k.Get("a")
		start(t, a)
		time.Sleep(time.Minute - 1)
		k.Get("b")
		if k.Get("a") != a || a.Allow() {
			t.Error("forgot a start younger than the longest Period")
		}
		wantMade(t, made, "a", "")
		time.Sleep(time.Nanosecond)
		b := k.Get("b")
		wantMade(t, made, "a", "", "b")
		if b == a || k.Get("b") != b {
			t.Error("b has no pacer of its own though a was idle")
		}
	})
}

func TestKeyedKeepsPausedPacers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 1, onePerSecond)
		a := k.Get("a")
		a.PauseUntil(time.Now().Add(time.Hour))
		time.Sleep(time.Hour - 1)
		k.Get("b")
		if k.Get("a") != a {
			t.Error("forgot a paused pacer")
		}
		time.Sleep(time.Nanosecond)
		k.Get("b")
		wantMade(t, made, "a", "", "b")
	})
}

func TestKeyedKeepsPacersWithAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		a := k.Get("a")
		c := newCallers(a)
		c.arrive(5)
		for range 8 {
			time.Sleep(500 * time.Millisecond)
			k.Get("b")
			if k.Get("a") != a {
				t.Errorf("forgot a pacer with %d waiting", a.Stats().Waiting)
			}
		}
		c.wantStarts(t, seconds(0, 1, 2, 3, 4))
	})
}

func TestKeyedForgetsIdlePacersOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 2, onePerSecond)
		start(t, k.Get("a"))
		time.Sleep(500 * time.Millisecond)
		start(t, k.Get("b"))
		shared := k.Get("c")
		time.Sleep(500*time.Millisecond - 1)
		if k.Get("c") != shared {
			t.Error("c has a pacer of its own though a and b are busy")
		}
		time.Sleep(time.Nanosecond) // a is idle, b is not
		if k.Get("c") == shared {
			t.Error("c has no pacer of its own though a is idle")
		}
		wantMade(t, made, "a", "b", "", "c")
		if k.Get("b").Allow() {
			t.Error("forgot a start younger than the longest Period")
		}
	})
}

func TestKeyedOverflowIsSharedAndLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 2, onePerSecond)
		start(t, k.Get("a"))
		start(t, k.Get("b"))
		shared := k.Get("c")
		for i := range 100 {
			if k.Get(fmt.Sprint("further", i)) != shared {
				t.Fatal("a further key has another pacer")
			}
		}
		wantMade(t, made, "a", "b", "")
		start(t, shared)
		if k.Get("d").Allow() || k.Get("c").Allow() {
			t.Error("the overflow pacer has no limit")
		}
		// Those with a pacer keep it.
		if k.Get("a") == shared || k.Get("b") == shared {
			t.Error("an old key lost its pacer to the overflow")
		}
	})
}

// A key may have started on the overflow pacer before it got one of its own.
func TestKeyedCountsStartsOnTheOverflowForALongerPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(key string) *pacer.Pacer {
			if key == "" {
				return pacer.Burst(1, 10*time.Millisecond)
			}
			return pacer.Burst(1, time.Hour)
		})
		began := time.Now()
		start(t, k.Get("a"))
		time.Sleep(59 * time.Minute)
		start(t, k.Get("b")) // on the overflow
		time.Sleep(2 * time.Minute)
		b := k.Get("b")
		if b.Allow() {
			t.Error("b started twice within an hour")
		}
		if err := b.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if at, want := time.Since(began), 59*time.Minute+time.Hour; at != want {
			t.Errorf("b started again at %v, want %v", at, want)
		}
	})
}

func TestKeyedHasRoomForTenThousandByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 0, onePerSecond)
		for i := range 10_000 {
			start(t, k.Get(fmt.Sprint(i)))
		}
		if slices.Contains(*made, "") {
			t.Fatal("fewer than 10,000 keys have a pacer of their own")
		}
		k.Get("one more")
		if got := (*made)[len(*made)-1]; got != "" {
			t.Errorf("made a pacer for %q, want the overflow", got)
		}
	})
}

func TestKeyedForwardsAForgottenPacer(t *testing.T) {
	for _, test := range []struct {
		name string
		use  func(kept, current *pacer.Pacer) error
	}{
		{"Allow", func(kept, current *pacer.Pacer) error {
			if !kept.Allow() || current.Allow() || kept.Allow() {
				return errors.New("Allow has a quota of its own")
			}
			return nil
		}},
		{"Allow after current", func(kept, current *pacer.Pacer) error {
			if !current.Allow() || kept.Allow() {
				return errors.New("Allow does not see the start of the current one")
			}
			return nil
		}},
		{"Wait", func(kept, current *pacer.Pacer) error {
			c := newCallers(kept)
			c.arrive(1)
			c.pacer = current
			c.arrive(1)
			c.pacer = kept
			c.arrive(1)
			if got := c.starts(); !slices.Equal(got, seconds(0, 1, 2)) {
				return fmt.Errorf("starts at %v, want one per second", got)
			}
			return nil
		}},
		{"PauseUntil", func(kept, current *pacer.Pacer) error {
			kept.PauseUntil(time.Now().Add(time.Minute))
			if current.Allow() {
				return errors.New("PauseUntil does not pause the current one")
			}
			return nil
		}},
		{"Stats", func(kept, current *pacer.Pacer) error {
			current.Allow()
			current.Allow()
			if got, want := kept.Stats(), current.Stats(); !reflect.DeepEqual(got, want) || got.Granted != 1 || got.Rejected != 1 {
				return fmt.Errorf("Stats %+v, want those of the current one, %+v", got, want)
			}
			return nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, _ := newKeyed(t, 1, onePerSecond)
				kept := k.Get("a")
				k.Get("b") // a is idle
				current := k.Get("a")
				if kept == current {
					t.Fatal("a was not forgotten")
				}
				if err := test.use(kept, current); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The holder of a forgotten pacer needs a place like any other caller of its key.
func TestKeyedForwardsAForgottenPacerToTheOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 1, onePerSecond)
		kept := k.Get("a")
		start(t, k.Get("b")) // takes the place of a
		start(t, kept)
		wantMade(t, made, "a", "b", "")
		if k.Get("c").Allow() {
			t.Error("the forgotten pacer did not start on the overflow pacer")
		}
	})
}

func TestKeyedRefusesKeysWithoutAPacer(t *testing.T) {
	k, made := newKeyed(t, 0, func(string) *pacer.Pacer { return nil })
	for range 3 {
		p := k.Get("a")
		if p == nil {
			t.Fatal("Get returned nil")
		}
		if err := p.Wait(t.Context()); err == nil || p.Allow() {
			t.Error("a key without a pacer was let through")
		}
	}
	wantMade(t, made, "a")
}

// New may share one pacer among keys, the overflow included.
func TestKeyedServesSharedPacers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := pacer.Burst(1, time.Second)
		k, _ := newKeyed(t, 2, func(key string) *pacer.Pacer {
			switch key {
			case "own":
				return pacer.Burst(1, time.Hour)
			case "own too":
				return pacer.Burst(1, time.Second)
			}
			return shared
		})
		start(t, k.Get("own"))
		start(t, k.Get("a"))
		if k.Get("b") != shared { // as the overflow
			t.Error("the overflow is not the pacer that New handed out")
		}
		time.Sleep(time.Second)
		start(t, k.Get("own too")) // takes the place of a
		k.Get("own too").PauseUntil(time.Now().Add(time.Hour))
		for _, key := range []string{"a", "b", "c"} {
			start(t, k.Get(key))
			for _, sibling := range []string{"a", "b", "c"} {
				if k.Get(sibling).Allow() {
					t.Errorf("%s and %s started at once on one pacer", key, sibling)
				}
			}
			time.Sleep(time.Second)
		}
		start(t, shared)
	})
}

func TestKeyedServesSharedPacersAfterForgettingThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := pacer.Burst(1, time.Second)
		k, _ := newKeyed(t, 2, func(key string) *pacer.Pacer {
			if key == "own" {
				return pacer.Burst(1, time.Second)
			}
			return shared
		})
		start(t, k.Get("a"))
		k.Get("b")
		time.Sleep(time.Second)
		k.Get("own") // forgets a and b, and so the shared one
		start(t, shared)
		if k.Get("a").Allow() || k.Get("b").Allow() {
			t.Error("the shared pacer started twice within a second")
		}
	})
}

// Whatever is forgotten and shared on the way: no key ever has more starts than
// its limit allows, through current pacers and kept ones.
func TestStrictWindowOfEveryKey(t *testing.T) {
	limit := pacer.Limit{Calls: 2, Period: time.Second}
	for seed := range uint64(50) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				k, _ := newKeyed(t, 1+random.IntN(3), func(string) *pacer.Pacer { return pacerOf(t, limit) })
				begin := time.Now()
				starts := map[string][]time.Duration{}
				for range 400 {
					time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
					key := fmt.Sprint(random.IntN(5))
					if !k.Get(key).Allow() {
						continue
					}
					now, own := time.Since(begin), starts[key]
					if n := len(own); n >= limit.Calls && now-own[n-limit.Calls] < limit.Period {
						t.Errorf("key %s: %d starts from %v to %v", key, limit.Calls+1, own[n-limit.Calls], now)
					}
					starts[key] = append(own, now)
				}
			})
		})
	}
}

func TestKeyedIsSafeForConcurrentUse(t *testing.T) {
	k, _ := newKeyed(t, 4, func(string) *pacer.Pacer { return pacer.Burst(1, 10*time.Microsecond) })
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 100 {
				p := k.Get(fmt.Sprint((g + i) % 7))
				if err := p.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				p.Allow()
				if s, err := p.TryAcquire(t.Context()); err == nil {
					s.Settle("", 2)
					s.Report(pacer.Outcome{Throttled: true, Delay: time.Microsecond})
					s.Cancel()
				}
				p.PauseUntil(time.Now().Add(time.Microsecond))
				p.Stats()
			}
		})
	}
	wg.Wait()
}
