package otelpacedhttp

import (
	"sync"
	"testing"
)

func TestCacheIsBoundedAndRight(t *testing.T) {
	c := cache[int, int]{make: func(key int) int { return -key }}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for key := range 3 * maxCached {
				if got := c.get(key); got != -key {
					t.Errorf("get(%d) = %d", key, got)
				}
			}
		})
	}
	wg.Wait()
	if len(c.known) > maxCached {
		t.Errorf("%d entries, want at most %d", len(c.known), maxCached)
	}
}
