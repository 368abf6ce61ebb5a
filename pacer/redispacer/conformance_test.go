package redispacer

import (
	"fmt"
	"testing"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/pacertest"
)

// TestConformance checks what every pacer guarantees, with the real script on virtual time.
func TestConformance(t *testing.T) {
	for _, lease := range []int{1, 2, 100} {
		t.Run(fmt.Sprintf("lease %d", lease), func(t *testing.T) {
			pacertest.Run(t, pacertest.Subject{
				New: func(t *testing.T, limits ...pacertest.Limit) pacertest.Pacer {
					cfg := Config{Lease: lease}
					for _, l := range limits {
						cfg.Limits = append(cfg.Limits, pacer.Limit(l))
					}
					return mustNew(t, newFakeRedis(t), cfg)
				},
				Zero:        new(Pacer),
				ErrDeadline: pacer.ErrDeadline,
				AtLeast:     lease > 1,
			})
		})
	}
}
