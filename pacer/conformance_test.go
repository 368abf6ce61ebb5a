package pacer_test

import (
	"testing"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/pacertest"
)

func TestConformance(t *testing.T) {
	pacertest.Run(t, pacertest.Subject{
		New: func(t *testing.T, limits ...pacertest.Limit) pacertest.Pacer {
			var cfg pacer.Config
			for _, l := range limits {
				cfg.Limits = append(cfg.Limits, pacer.Limit(l))
			}
			return pacerWith(t, cfg)
		},
		Zero:        new(pacer.Pacer),
		ErrDeadline: pacer.ErrDeadline,
	})
}
