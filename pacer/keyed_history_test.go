package pacer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A keyHistory is what happens to few keys of a Keyed with fewer pacers. It keeps a record of
// its own of every key and judges each start by that, whatever pacer it was made on.
type keyHistory struct {
	*rand.Rand
	keyed  *pacer.Keyed
	cfg    pacer.Config
	starts []*keyStart
}

type keyStart struct {
	slot    *pacer.Slot
	key     string
	at      time.Time
	over    bool // done or canceled
	charges []keyCharge
}

// A keyCharge is what a start cost from a moment on.
type keyCharge struct {
	at   time.Time
	cost int
}

func (s *keyStart) cost() (sum int) {
	for _, c := range s.charges {
		sum += c.cost
	}
	return sum
}

const (
	keyCalls, keyTokens, keyFlights = 3, 10, 2
	keyPeriod                       = 10 * time.Second
)

// start lets a key start if its pacer does, and says what is wrong with that.
func (h *keyHistory) start() (fault string) {
	key, cost := string(rune('a'+h.IntN(4))), h.IntN(keyTokens+1)
	slot, err := h.keyed.Get(key).TryAcquire(pacer.WithCost(context.Background(), tokens, cost))
	if err != nil {
		return ""
	}
	h.starts = append(h.starts, &keyStart{slot: slot, key: key, at: time.Now(), charges: []keyCharge{{time.Now(), cost}}})
	calls, spent, flying := 0, 0, 0
	for _, s := range h.starts {
		if s.key != key {
			continue
		}
		if len(s.charges) > 0 && time.Since(s.at) < keyPeriod {
			calls++
		}
		for _, c := range s.charges {
			if time.Since(c.at) < keyPeriod {
				spent += c.cost
			}
		}
		if !s.over {
			flying++
		}
	}
	switch {
	case calls > keyCalls:
		return fmt.Sprintf("%d starts of key %s in a window of %d", calls, key, keyCalls)
	case len(h.cfg.Limits) > 1 && cost > 0 && spent > keyTokens:
		return fmt.Sprintf("key %s spends %d in a window of %d", key, spent, keyTokens)
	case h.cfg.MaxInFlight > 0 && flying > keyFlights:
		return fmt.Sprintf("%d of key %s are in flight at once, at most %d may", flying, key, keyFlights)
	}
	return ""
}

func (h *keyHistory) settle(s *keyStart, to int) {
	was := s.cost()
	if !s.slot.Settle(tokens, to) {
		return
	}
	if to > was {
		s.charges = append(s.charges, keyCharge{time.Now(), to - was})
	}
	for i := len(s.charges) - 1; i >= 0 && to < was; i-- {
		part := min(was-to, s.charges[i].cost)
		s.charges[i].cost -= part
		was -= part
	}
}

func (h *keyHistory) end(s *keyStart) {
	if s.over {
		return
	}
	s.over = true
	if h.IntN(2) == 0 {
		s.slot.Cancel()
		s.charges = nil
	} else {
		s.slot.Done()
	}
}

// Whatever is forgotten and shared on the way: no key ever has more starts or costs in a
// window than its limits allow, as they are settled, nor more in flight.
func TestKeyedHoldsToTheLimitsOfEveryKey(t *testing.T) {
	calls := pacer.Limit{Calls: keyCalls, Period: keyPeriod}
	costs := pacer.Limit{Cost: keyTokens, Unit: tokens, Period: keyPeriod}
	for name, cfg := range map[string]pacer.Config{
		"windows": {Limits: []pacer.Limit{calls}},
		"costs":   {Limits: []pacer.Limit{calls, costs}},
		"flights": {Limits: []pacer.Limit{calls}, MaxInFlight: keyFlights},
		"all":     {Limits: []pacer.Limit{calls, costs}, MaxInFlight: keyFlights},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(1000) {
				synctest.Test(t, func(t *testing.T) {
					h := keyHistory{Rand: rand.New(rand.NewPCG(seed, 1)), cfg: cfg}
					h.keyed, _ = newKeyed(t, 2, func(string) *pacer.Pacer { return pacerWith(t, cfg) })
					for step := range 80 {
						fault, s := "", (*keyStart)(nil)
						if len(h.starts) > 0 {
							s = h.starts[h.IntN(len(h.starts))]
						}
						switch op := h.IntN(10); {
						case op < 5:
							fault = h.start()
						case op < 7 && s != nil:
							h.settle(s, h.IntN(keyTokens+5))
						case op < 8 && s != nil:
							h.end(s)
						default:
							time.Sleep(time.Duration(h.IntN(8)) * time.Second)
						}
						if fault != "" {
							t.Fatalf("seed %d, step %d: %s", seed, step, fault)
						}
					}
				})
				if t.Failed() {
					return
				}
			}
		})
	}
}
