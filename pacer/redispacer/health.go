package redispacer

import (
	"math/rand/v2"
	"time"
)

const (
	firstProbe = 100 * time.Millisecond
	maxProbe   = 500 * time.Millisecond
)

// health knows whether Redis can be used. After a failure it is left alone but for
// probes: one caller's own round trip, after 100 ms at first, then twice as long each
// time up to 500 ms, shortened by up to a fifth at random so that processes which failed
// together do not come back together. It is guarded by Pacer.mu.
type health struct {
	cause    error         // why Redis is not used; nil while it is
	probing  bool          // a probe is on its way
	since    time.Duration // when it first failed
	interval time.Duration
	probeAt  time.Duration
}

// avoids reports whether callers should do without Redis for now.
func (h *health) avoids(now time.Duration) bool {
	return h.cause != nil && (h.probing || now < h.probeAt)
}

func (h *health) failed(cause error, now time.Duration) {
	if h.cause == nil {
		h.since, h.interval = now, firstProbe
	} else {
		h.interval = min(2*h.interval, maxProbe)
	}
	h.cause = cause
	h.probing = false
	h.probeAt = now + h.interval - rand.N(h.interval/5)
}

func (h *health) succeeded() { *h = health{} }
