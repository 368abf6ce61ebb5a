package redispacer

import (
	"testing"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/pacertest"
)

// TestConformance checks what every pacer guarantees, with the real script on virtual time.
func TestConformance(t *testing.T) {
	pacertest.Run(t, pacertest.Subject{
		New: func(t *testing.T, limits ...pacertest.Limit) pacertest.Pacer {
			var cfg Config
			for _, l := range limits {
				cfg.Limits = append(cfg.Limits, pacer.Limit(l))
			}
			return mustNew(t, newFakeRedis(t), cfg)
		},
		Zero:        new(Pacer),
		ErrDeadline: pacer.ErrDeadline,
		AtLeast:     true, // of what others reserve nobody knows
	})
}
