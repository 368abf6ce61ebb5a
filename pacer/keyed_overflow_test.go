package pacer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestKeyedComesBackFromItsOverflowAsSoonAsThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, made := newKeyed(t, 1, onePerSecond)
		start(t, k.Get("a"))
		time.Sleep(900 * time.Millisecond)
		start(t, k.Get("b"))
		time.Sleep(100*time.Millisecond - 1)
		if k.Get("b").Allow() {
			t.Error("b started twice within a second")
		}
		wantMade(t, made, "a", "")
		time.Sleep(time.Nanosecond) // a is idle, the overflow is not
		b := k.Get("b")
		wantMade(t, made, "a", "", "b")
		if k.Get("b") != b {
			t.Error("b has several pacers")
		}
		c := newCallers(b)
		c.arrive(2)
		c.wantStarts(t, []time.Duration{900 * time.Millisecond, 1900 * time.Millisecond}) // after the start on the overflow
	})
}

// A spike fills the table; then new keys come for ever, each before the overflow is idle.
func TestKeyedOverflowIsNotKeptBusyByNewKeys(t *testing.T) {
	for _, waiting := range []int{0, 1000} { // callers of a key of the spike
		synctest.Test(t, func(t *testing.T) {
			k, _ := newKeyed(t, 2, func(string) *pacer.Pacer { return pacer.Burst(10, time.Hour) })
			for _, key := range []string{"a", "b", "c"} {
				start(t, k.Get(key))
			}
			shared := k.Get("c")
			c := newCallers(shared)
			c.arrive(waiting)
			time.Sleep(50 * time.Minute)
			if k.Get("d") != shared {
				t.Error("d has a pacer of its own though a and b are busy")
			}
			for i := range 100 {
				time.Sleep(50 * time.Minute)
				if k.Get(fmt.Sprint("new ", i)) == shared {
					t.Fatalf("with %d waiting, new key %d is sent to the overflow", waiting, i)
				}
			}
			for _, one := range c.calls {
				one.cancel()
			}
			c.wg.Wait()
		})
	}
}

// Whoever waits in the overflow's queue starts there, and knows of no other pacer.
func TestKeyedKeepsAKeyInTheOverflowWhileItsCallersMayWaitThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 2, onePerSecond)
		start(t, k.Get("a"))
		start(t, k.Get("b"))
		var c callers
		c.begin = time.Now()
		for range 3 { // at 0 1 2 s
			c.pacer = k.Get("c")
			c.arrive(1)
		}
		shared := c.pacer
		time.Sleep(2*time.Second - 1)
		if p := k.Get("c"); p != shared || p.Allow() {
			t.Error("c has a pacer of its own while a caller of it waits in the overflow")
		}
		if k.Get("d") == shared {
			t.Error("d, of which nobody can wait in the overflow, is sent there")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		own := k.Get("c")
		if own == shared || own.Allow() {
			t.Errorf("c has a pacer of its own: %t; it starts twice at once", own != shared)
		}
		time.Sleep(time.Second)
		start(t, own)
		c.wantStarts(t, seconds(0, 1, 2))
	})
}

// A caller that has got its pacer may be about to call it.
func TestKeyedKeepsAKeyInTheOverflowWhileItsCallersMayBeOnTheirWay(t *testing.T) {
	for name, call := range map[string]func(*pacer.Pacer){
		"Allow":    func(p *pacer.Pacer) { p.Allow() },
		"Wait":     func(p *pacer.Pacer) { newCallers(p).arrive(1)[0].cancel(); synctest.Wait() },
		"deadline": func(p *pacer.Pacer) { newCallers(p).arriveBefore(1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, _ := newKeyed(t, 2, onePerSecond)
				start(t, k.Get("a"))
				start(t, k.Get("b"))
				time.Sleep(500 * time.Millisecond)
				start(t, k.Get("d")) // so that the overflow is not idle
				onTheWay := k.Get("c")
				time.Sleep(500 * time.Millisecond)
				if k.Get("e") == onTheWay {
					t.Error("e, of which nobody is on the way to the overflow, is sent there")
				}
				again := k.Get("c")
				if again != onTheWay {
					t.Error("c has a pacer of its own while a caller of it is on the way to the overflow")
				}
				call(onTheWay)
				call(again)
				if k.Get("c") == onTheWay {
					t.Error("c has no pacer of its own though all its calls have ended")
				}
			})
		})
	}
}

func TestKeyedLeavesAnIdleOverflowThoughACallNeverCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		start(t, k.Get("a"))
		shared := k.Get("b")
		start(t, k.Get("c"))
		time.Sleep(time.Second)
		if k.Get("b") == shared {
			t.Error("b has no pacer of its own though the overflow is idle")
		}
	})
}

// Of the keys sent to the overflow ten times MaxKeys are remembered.
func TestKeyedTakesEveryKeyForOneOfTooManyInTheOverflow(t *testing.T) {
	for keys, wantOwn := range map[int]bool{9: true, 10: false, 11: false} {
		synctest.Test(t, func(t *testing.T) {
			k, _ := newKeyed(t, 1, onePerSecond)
			start(t, k.Get("a"))
			start(t, k.Get("served"))
			var c callers
			c.begin = time.Now()
			for i := range keys {
				c.pacer = k.Get(fmt.Sprint(i))
				c.arrive(1)
			}
			time.Sleep(time.Second)
			p := k.Get("new")
			if got := p != c.pacer; got != wantOwn {
				t.Errorf("after %d keys a new one has a pacer of its own: %t, want %t", keys, got, wantOwn)
			}
			p.Allow()
			c.wg.Wait()
			time.Sleep(time.Second)
			if k.Get(fmt.Sprint(keys-1)) == c.pacer {
				t.Error("a key has no pacer of its own though the overflow is idle")
			}
		})
	}
}

func TestKeyedTakesOverThePauseOfTheOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		start(t, k.Get("a"))
		k.Get("b").PauseUntil(time.Now().Add(time.Minute))
		time.Sleep(time.Second)
		c := newCallers(k.Get("b"))
		c.arrive(1)
		c.wantStarts(t, seconds(59))
	})
}

// What a key's own pacer makes of the overflow's starts, by its own limits. Times count
// from the last start on the overflow, at which the key moves.
func TestKeyedCountsTheStartsOnTheOverflowByEachLimit(t *testing.T) {
	burst := func(calls int, period time.Duration) pacer.Limit {
		return pacer.Limit{Calls: calls, Period: period}
	}
	drip := func(calls int, period time.Duration) pacer.Limit {
		return pacer.Limit{Calls: calls, Period: period, Even: true}
	}
	type limits = []pacer.Limit
	for _, tc := range []struct {
		name          string
		overflow, own limits
		at            []time.Duration // the starts on the overflow
		want          []time.Duration // of callers who wait for the key's own pacer
	}{
		{"the same limit", limits{burst(2, 10*time.Second)}, limits{burst(2, 10*time.Second)}, seconds(0, 4), seconds(6, 10, 16)},
		{"the same limit, not used up", limits{burst(3, 10*time.Second)}, limits{burst(3, 10*time.Second)}, seconds(0, 4), seconds(0, 6, 10)},
		{"more calls, all known", limits{burst(3, 10*time.Second)}, limits{burst(4, 10*time.Second)}, seconds(0, 2, 4), seconds(0, 6, 8)},
		{"more calls, not all known", limits{burst(2, time.Second)}, limits{burst(4, 10*time.Second)}, seconds(0, 1, 2, 3, 4), seconds(9, 9, 9, 10)},
		{"fewer calls", limits{burst(4, 10*time.Second)}, limits{burst(2, 10*time.Second)}, seconds(0, 1, 2, 4), seconds(8, 10, 18)},
		{"fewer calls than in one moment", limits{burst(4, 10*time.Second)}, limits{burst(2, 10*time.Second)}, seconds(0, 0, 0, 0), seconds(10, 10, 20)},
		{"a shorter period", limits{burst(2, 10*time.Second)}, limits{burst(2, 3*time.Second)}, seconds(0, 4), seconds(0, 3, 3)},
		{"a longer period", limits{burst(1, time.Second)}, limits{burst(1, 10*time.Second)}, seconds(0, 4), seconds(10, 20)},
		{"a longer period and more calls", limits{burst(1, time.Second)}, limits{burst(2, 10*time.Second)}, seconds(0, 4), seconds(10, 10, 20)},
		{"the same grid", limits{drip(5, 10*time.Second)}, limits{drip(5, 10*time.Second)}, seconds(0, 2, 4), seconds(2, 4, 6, 8)},
		{"a grid after a burst", limits{burst(3, 10*time.Second)}, limits{drip(5, 10*time.Second)}, seconds(0, 0, 0), seconds(2, 4, 10, 12)},
		{"a burst after a grid", limits{drip(5, 10*time.Second)}, limits{burst(3, 10*time.Second)}, seconds(0, 2, 4), seconds(6, 8, 10)},
		{"two limits", limits{burst(2, time.Second)}, limits{burst(2, 2*time.Second), burst(3, 10*time.Second)}, seconds(0, 0), seconds(2, 10, 10, 12)},
		{"two limits, one of which does not know all", limits{burst(2, time.Second)}, limits{burst(2, 2*time.Second), burst(3, 10*time.Second)}, seconds(0, 0, 4), seconds(6, 6, 10)},
		{"long ago", limits{burst(2, 10*time.Second)}, limits{burst(2, time.Second)}, seconds(0, 0, 10), seconds(0, 1, 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, _ := newKeyed(t, 1, func(key string) *pacer.Pacer {
					switch key {
					case "":
						return pacerOf(t, tc.overflow...)
					case "b":
						return pacerOf(t, tc.own...)
					}
					return pacer.Burst(1, time.Hour)
				})
				start(t, k.Get("a"))
				shared := k.Get("b") // kept, as the overflow, until a becomes idle at its last start
				time.Sleep(time.Hour - tc.at[len(tc.at)-1])
				begin := time.Now()
				for _, at := range tc.at {
					time.Sleep(time.Until(begin.Add(at)))
					start(t, shared)
				}
				c := newCallers(k.Get("b"))
				if c.pacer == shared {
					t.Fatal("b has no pacer of its own")
				}
				c.arrive(len(tc.want))
				c.wantStarts(t, tc.want)
			})
		})
	}
}

// New may have handed out, for other keys, the pacer that a key gets. It has starts of
// its own, and those of the overflow cannot be put between them.
func TestKeyedPausesASharedPacerThatTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := pacer.Burst(3, time.Second)
		k, _ := newKeyed(t, 2, func(key string) *pacer.Pacer {
			switch key {
			case "a", "b":
				return group
			}
			return pacer.Burst(2, time.Second)
		})
		start(t, k.Get("a"))
		start(t, k.Get("other"))
		time.Sleep(100 * time.Millisecond)
		start(t, k.Get("b"))
		time.Sleep(900 * time.Millisecond)
		start(t, k.Get("a")) // its own pacer, that b gets too in the place of other
		c := newCallers(k.Get("b"))
		if c.pacer != group {
			t.Fatal("b is not in its group")
		}
		c.arrive(1)
		c.wantStarts(t, []time.Duration{100 * time.Millisecond})
	})
}

// Whatever moves between the overflow, with callers waiting in it, and pacers of its
// own, with other limits: a key that starts on its own pacer never has more starts in a
// window than its limit allows, those on the overflow included.
func TestStrictWindowOfEveryKeyThatLeavesTheOverflow(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 2))
				limit := func() pacer.Limit {
					return pacer.Limit{Calls: 1 + random.IntN(4), Period: time.Duration(1+random.IntN(8)) * 500 * time.Millisecond, Even: random.IntN(3) == 0}
				}
				limits := map[string]pacer.Limit{"": limit()}
				const keys = 6
				for i := range keys {
					limits[fmt.Sprint(i)] = limit()
				}
				var mu sync.Mutex
				var overflow *pacer.Pacer
				k, _ := newKeyed(t, 1+random.IntN(3), func(key string) *pacer.Pacer {
					p := pacerOf(t, limits[key])
					if key == "" {
						mu.Lock()
						defer mu.Unlock()
						overflow = p
					}
					return p
				})
				var callers sync.WaitGroup
				starts, shared := map[string][]time.Time{}, map[string]bool{} // shared: the last start was on the overflow
				for range 300 {
					time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
					key := fmt.Sprint(random.IntN(keys))
					callers.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(5000))*time.Millisecond)
						defer cancel()
						p := k.Get(key)
						if p.Wait(ctx) != nil {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						now, own, l := time.Now(), starts[key], limits[key]
						starts[key] = append(own, now)
						moved := shared[key]
						shared[key] = p == overflow
						if p == overflow {
							return
						}
						if n := len(own); n >= l.Calls && now.Sub(own[n-l.Calls]) < l.Period {
							t.Errorf("key %s, limit %v: %d starts within %v", key, l, l.Calls+1, now.Sub(own[n-l.Calls]))
						}
						if n := len(own); l.Even && moved && now.Sub(own[n-1]) < l.Period/time.Duration(l.Calls) {
							t.Errorf("key %s, limit %v: two starts within %v", key, l, now.Sub(own[n-1]))
						}
					})
					synctest.Wait()
				}
				callers.Wait()
			})
		})
	}
}
