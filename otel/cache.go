package otelpacedhttp

import "sync"

// maxCached bounds a cache. Programs that talk to more servers than this build some
// things again.
const maxCached = 1000

// A cache keeps what make made of a key.
type cache[K comparable, V any] struct {
	make  func(K) V
	mu    sync.RWMutex
	known map[K]V
}

func (c *cache[K, V]) get(key K) V {
	c.mu.RLock()
	v, ok := c.known[key]
	c.mu.RUnlock()
	if ok {
		return v
	}
	v = c.make(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxCached {
		c.known = make(map[K]V)
	}
	c.known[key] = v
	return v
}
