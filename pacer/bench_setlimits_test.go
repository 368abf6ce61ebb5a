package pacer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// BenchmarkSetLimits is the cost of a change of limits: to equal ones, and of one of them, with
// so many starts that count and so many callers who wait.
func BenchmarkSetLimits(b *testing.B) {
	second, minute := pacer.Limit{Calls: 10, Period: time.Second}, pacer.Limit{Cost: 1_000, Unit: tokens, Period: time.Minute}
	for _, bench := range []struct{ starts, waiting int }{{0, 0}, {1_000, 0}, {100_000, 0}, {100, 1_000}} {
		long := pacer.Limit{Calls: max(1, bench.starts), Period: 24 * time.Hour}
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{long}})
		for range bench.starts {
			if !p.Allow() {
				b.Fatal("no slot")
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		for range bench.waiting {
			go p.Wait(ctx)
		}
		for p.Stats().Waiting < bench.waiting {
			time.Sleep(time.Millisecond)
		}
		name := fmt.Sprintf("starts=%d/waiting=%d", bench.starts, bench.waiting)
		b.Run("equal/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p.SetLimits(long); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("change/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				other := second
				if i%2 == 0 {
					other = minute
				}
				if err := p.SetLimits(long, other); err != nil {
					b.Fatal(err)
				}
			}
		})
		cancel()
	}
}
