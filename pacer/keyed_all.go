package pacer

import (
	"iter"
	"time"
)

// Peek returns the pacer that key has of its own. It reports false, and makes none, where
// there is none, also for a key whose callers share the overflow. It does not count as the
// [Keyed.Get] before a call.
func (k *Keyed) Peek(key string) (*Pacer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.pacers[key]
	return p, ok
}

// Len returns how many keys have a pacer of their own. The overflow is none of them.
func (k *Keyed) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.pacers)
}

// All returns every key that has a pacer of its own, with that, in no order, and at last ""
// with the overflow pacer, if one was made: also where "" is a key as well. It is how things
// were when the loop began, whatever happens while it runs; its body may call the Keyed.
//
// So limits are changed for all keys: first what KeyedConfig.New reads, then by SetLimits in a
// loop over All. No key is missed.
func (k *Keyed) All() iter.Seq2[string, *Pacer] {
	return func(yield func(string, *Pacer) bool) {
		// Where the body has set limits, pacers may be idle sooner than was known.
		defer k.lookAgain()
		for _, one := range k.all() {
			if !yield(one.key, one.pacer) {
				return
			}
		}
	}
}

type keyAndPacer struct {
	key   string
	pacer *Pacer
}

func (k *Keyed) all() []keyAndPacer {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]keyAndPacer, 0, len(k.pacers)+1)
	for key, p := range k.pacers {
		all = append(all, keyAndPacer{key, p})
	}
	if k.overflow != nil {
		all = append(all, keyAndPacer{"", k.overflow})
	}
	return all
}

func (k *Keyed) lookAgain() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.allBusy = time.Time{}
}
