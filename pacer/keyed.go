package pacer

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const defaultMaxKeys = 10_000

// KeyedConfig says how a [Keyed] makes its pacers.
type KeyedConfig struct {
	// New makes the pacer for a key: one per host, per tenant, per token. It is
	// called once per new key, and again only for a key that was forgotten. It
	// must not call the Keyed. If it returns nil, that key's callers are refused.
	New func(key string) *Pacer

	// MaxKeys is how many keys have a pacer of their own at once; 0 means 10,000.
	MaxKeys int

	_ struct{}
}

// A Keyed holds a [Pacer] per key. It is safe for concurrent use.
//
// It forgets pacers to make room for new keys, but only idle ones: nobody waits,
// nothing is in flight, no pause is pending, and no start counts in any limit any more. So
// forgetting never admits a start that remembering would have refused. Whoever
// still holds a forgotten pacer is served by the key's current one.
//
// While MaxKeys pacers are busy, further keys share one overflow pacer, made for the
// key "". As long as it is busy, new keys stay on it, even when there is room again:
// what they started there counts. It counts for a pacer with a longer Period than
// the overflow pacer's too, which begins with a pause then.
type Keyed struct {
	newPacer func(key string) *Pacer
	maxKeys  int

	mu       sync.Mutex
	pacers   map[string]*Pacer
	overflow *Pacer
	allBusy  time.Time // until then no pacer can have become idle
}

// NewKeyed returns an empty Keyed. The error names every invalid field, its value
// and what is allowed.
func NewKeyed(cfg KeyedConfig) (*Keyed, error) {
	var errs []error
	if cfg.New == nil {
		errs = append(errs, errors.New("pacer: KeyedConfig.New is nil, must be a function"))
	}
	if cfg.MaxKeys < 0 {
		errs = append(errs, fmt.Errorf("pacer: KeyedConfig.MaxKeys is %d, must be 0 (%d) or more", cfg.MaxKeys, defaultMaxKeys))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	k := &Keyed{newPacer: cfg.New, maxKeys: cfg.MaxKeys, pacers: make(map[string]*Pacer)}
	if k.maxKeys == 0 {
		k.maxKeys = defaultMaxKeys
	}
	return k, nil
}

// Get returns the pacer for key, making it if need be; it is never nil. Call it
// for each start: a pacer that is kept may be the overflow one.
func (k *Keyed) Get(key string) *Pacer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.pacers[key]; ok {
		return p
	}
	if len(k.pacers) >= k.maxKeys {
		k.forgetIdle()
	}
	if len(k.pacers) >= k.maxKeys || k.overflow != nil && k.overflow.busy() > 0 {
		if k.overflow == nil {
			k.overflow = k.make("")
		}
		return k.overflow
	}
	p := k.make(key)
	k.pacers[key] = p
	if k.overflow != nil {
		p.countAsOwn(k.overflow)
	}
	return p
}

func (k *Keyed) make(key string) *Pacer {
	p := k.newPacer(key)
	if p == nil {
		return new(Pacer)
	}
	p.succeed(nil) // New may hand out again a pacer that was forgotten
	return p
}

// forgetIdle forgets every idle pacer. When there was none, it does not look
// again before the first can have become idle.
func (k *Keyed) forgetIdle() {
	now := time.Now()
	if now.Before(k.allBusy) {
		return
	}
	soonest := forever
	for key, p := range k.pacers {
		if busy := p.forget(func() *Pacer { return k.Get(key) }); busy > 0 {
			soonest = min(soonest, busy)
		} else {
			delete(k.pacers, key)
		}
	}
	if k.overflow != nil {
		k.overflow.succeed(nil) // New may have handed it out for a key as well; it must not send its callers back to Get
	}
	if len(k.pacers) >= k.maxKeys {
		k.allBusy = now.Add(soonest)
	}
}

// busy returns for how long at least the pacer must be remembered.
func (p *Pacer) busy() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busyFor()
}

// forget makes an idle pacer send its callers to successor from now on. If the
// pacer is busy it stays as it is, and forget returns for how long at least.
func (p *Pacer) forget(successor func() *Pacer) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := p.busyFor()
	if busy == 0 {
		p.successor = successor
	}
	return busy
}

func (p *Pacer) succeed(successor func() *Pacer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.successor = successor
}

// countAsOwn pauses p until the last start of an idle other is older than p's Period.
func (p *Pacer) countAsOwn(other *Pacer) {
	other.mu.Lock()
	age := forever
	if other.schedule.last != longAgo {
		age = other.clock.Now() - other.schedule.last
	}
	other.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	if left := p.schedule.memory() - age; left > 0 {
		p.schedule.Pause(add(p.clock.Now(), left))
	}
}

// busyFor needs p.mu. Someone who waits may give up at any time and a flight may end, so
// with either a pacer is busy for an instant at least, and no longer for sure.
func (p *Pacer) busyFor() time.Duration {
	now := p.clock.Now()
	if until := p.schedule.busyUntil(); until > now {
		return until - now
	}
	if p.queue.len > 0 || p.flights.len > 0 {
		return 1
	}
	return 0
}
