package pacer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	defaultMaxKeys = 10_000
	maxSharing     = 10 // times MaxKeys
)

// KeyedConfig says how a [Keyed] makes its pacers.
type KeyedConfig struct {
	// New makes the pacer for a key: one per host, per tenant, per token. It is
	// called once per new key, and again only for a key that was forgotten; then its
	// answer may be another, with other limits. It must not call the Keyed, nor a slot of
	// its pacers. If it returns nil, that key's callers are refused.
	New func(key string) *Pacer

	// MaxKeys is how many keys have a pacer of their own at once; 0 means 10,000.
	MaxKeys int

	_ struct{}
}

// A Keyed holds a [Pacer] per key. It is safe for concurrent use.
//
// It forgets pacers to make room for new keys, but only idle ones: nobody waits,
// nothing is in flight, no pause is pending, no start counts in any limit any more, and
// nothing that a server said of its quotas matters. So forgetting never admits a start that
// remembering would have refused. Whoever still holds a forgotten pacer is served by the
// key's current one, and by its limits.
//
// While MaxKeys pacers are busy, further keys share one overflow pacer, made for the
// key "". As soon as there is room again, a key gets a pacer of its own, which takes
// over the overflow's starts, its pause and what servers said there: they are a superset of
// what that key started and heard there. So its pacer holds to its limits over the starts it has made on either. Where
// they look back further than the overflow remembers, the pacer begins with a pause
// that is as long as if every forgotten start had been its own.
//
// Only a key whose callers may be waiting in the overflow's queue, or are between
// their Get and their Wait, or have a slot in flight there, stays: they and those on a
// pacer of its own could not know of each other. It moves as soon as as many calls have
// ended there as Get sent and nothing is in flight, at the latest when the overflow is
// idle; so let one call follow each Get. Keys
// that were not sent there in the meantime need not wait for that: the overflow
// gets no new keys and comes to an end. Of the keys sent there a Keyed remembers ten
// times MaxKeys; beyond, every other key counts as one of them.
//
// What a slot hears late follows its key. Where the pacer that granted it is forgotten,
// settling to more and a report of throttling, or that nothing is left, go to the key's current
// one; where it is the overflow, they go to all pacers as well that have taken its start over.
// Whatever else a server says is left means nothing there, since nobody knows what has started
// since. What is given back makes room on the pacer that granted the slot and on no other.
type Keyed struct {
	newPacer func(key string) *Pacer
	maxKeys  int

	mu       sync.Mutex
	pacers   map[string]*Pacer
	overflow *Pacer
	sharing  map[string]struct{} // keys sent to the overflow since it was vacant
	sent     uint64              // calls that the overflow has had if all came that were sent
	heirs    []heir              // keys whose pacers have taken over the overflow's starts, oldest first
	allBusy  time.Time           // until then no pacer can have become idle
}

// An heir is a key whose pacer has taken over the overflow's starts.
type heir struct {
	key string
	at  time.Duration // on the overflow's clock
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
	k := &Keyed{newPacer: cfg.New, maxKeys: cfg.MaxKeys, pacers: make(map[string]*Pacer), sharing: make(map[string]struct{})}
	if k.maxKeys == 0 {
		k.maxKeys = defaultMaxKeys
	}
	return k, nil
}

// Get returns the pacer for key, making it if need be; it is never nil. Call it
// for each start: a pacer that is kept may be the overflow one.
func (k *Keyed) Get(key string) *Pacer { return k.get(key, 1) }

// get is Get for so many calls.
func (k *Keyed) get(key string, calls uint64) *Pacer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.pacers[key]; ok {
		return p
	}
	if len(k.pacers) >= k.maxKeys {
		k.forgetIdle()
	}
	if k.overflow != nil {
		if ended, vacant := k.overflow.ended(k.sent); vacant {
			k.sent = ended
			clear(k.sharing)
		}
	}
	if len(k.pacers) >= k.maxKeys || k.mayWait(key) {
		return k.share(key, calls)
	}
	p := k.make(key)
	k.pacers[key] = p
	if k.overflow != nil && p != k.overflow {
		k.heirs = append(k.heirs, heir{key, p.takeOver(k.overflow)})
	}
	return p
}

// mayWait reports whether callers of key may be in the overflow, or on their way.
func (k *Keyed) mayWait(key string) bool {
	_, sent := k.sharing[key]
	return sent || len(k.sharing)/maxSharing >= k.maxKeys
}

// share sends so many calls of key to the overflow.
func (k *Keyed) share(key string, calls uint64) *Pacer {
	if k.overflow == nil {
		k.overflow = k.make("")
		k.sent, _ = k.overflow.ended(0)
		k.overflow.bequeath(k.heirsSince)
	}
	k.sent += calls
	if len(k.sharing)/maxSharing < k.maxKeys {
		k.sharing[key] = struct{}{}
	}
	return k.overflow
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
		if busy := p.forget(func(calls uint64) *Pacer { return k.get(key, calls) }); busy > 0 {
			soonest = min(soonest, busy)
		} else {
			delete(k.pacers, key)
		}
	}
	k.heirs = slices.DeleteFunc(k.heirs, func(h heir) bool { return k.pacers[h.key] == nil })
	if k.overflow != nil {
		k.overflow.succeed(nil) // New may have handed it out for a key as well; it must not send its callers back to Get
	}
	if len(k.pacers) >= k.maxKeys {
		k.allBusy = now.Add(soonest)
	}
}

// heirsSince returns the pacers that took over the overflow's starts at a time or later.
func (k *Keyed) heirsSince(at time.Duration) []*Pacer {
	k.mu.Lock()
	defer k.mu.Unlock()
	var heirs []*Pacer
	for _, h := range slices.Backward(k.heirs) {
		if h.at < at {
			break
		}
		heirs = append(heirs, k.pacers[h.key])
	}
	return heirs
}

// ended returns how many calls have ended, and whether no other can be under way or in
// flight if sent were to come.
func (p *Pacer) ended(sent uint64) (calls uint64, vacant bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls = p.granted + p.rejected + p.canceled
	return calls, p.queue.len == 0 && p.flights.len == 0 && calls >= sent || p.busyFor() == 0
}

// forget makes an idle pacer send its callers to successor from now on. If the
// pacer is busy it stays as it is, and forget returns for how long at least.
func (p *Pacer) forget(successor func(calls uint64) *Pacer) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := p.busyFor()
	if busy == 0 {
		p.successor = successor
	}
	return busy
}

func (p *Pacer) succeed(successor func(calls uint64) *Pacer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.successor = successor
}

func (p *Pacer) bequeath(heirs func(at time.Duration) []*Pacer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heirs = heirs
}

// takeOver makes p count the starts of other and hold to its pause. The clock is read
// for p after other's, so that no start looks older than it is; it returns other's reading.
func (p *Pacer) takeOver(other *Pacer) (at time.Duration) {
	p.mu.Lock()
	calls, period := p.schedule.calls, p.schedule.period
	p.mu.Unlock()

	other.mu.Lock()
	now, all := other.clock.Now(), &other.schedule.starts
	first := all.len // that p's limits look back to
	for first > 0 && all.len-first < calls && now-all.at(first-1) < period {
		first--
	}
	var starts []time.Duration
	for i := first; i < all.len; i++ {
		starts = append(starts, all.at(i)-now)
	}
	complete := first > 0 || other.schedule.calls > 0 && !other.schedule.forgot
	newest, debt, holds := other.schedule.last, other.schedule.debt(), other.schedule.holds
	other.pass(now)
	paused, until, told := other.states.state == StatePaused, other.states.until, other.states.told
	said := other.learned.known(now, 0)
	other.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	ownNow := p.clock.Now()
	p.adopt(said, ownNow)
	for i := range starts {
		starts[i] += ownNow
	}
	if newest != longAgo {
		p.schedule.takeOver(starts, complete, newest-now+ownNow, debt)
	}
	if holds > now {
		p.schedule.holds = max(p.schedule.holds, add(ownNow, holds-now))
	}
	if paused {
		p.turn(ownNow, func() { p.states.pause(ownNow, add(ownNow, until-now), told) })
	}
	return now
}

// busyFor needs p.mu. Someone who waits may give up at any time and a flight may end, so
// with either a pacer is busy for an instant at least, and no longer for sure.
func (p *Pacer) busyFor() time.Duration {
	if p.tree != nil && p.tree.children {
		return forever
	}
	now := p.clock.Now()
	p.pass(now)
	if until := max(p.schedule.busyUntil(), p.states.busyUntil(p.maxPause), p.learned.busyUntil()); until > now {
		return until - now
	}
	if p.queue.len > 0 || p.flights.len > 0 {
		return 1
	}
	return 0
}
