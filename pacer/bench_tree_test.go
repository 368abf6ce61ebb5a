package pacer

import (
	"testing"
	"time"
)

// BenchmarkWaitInATree is the cost of a start with a free slot, through so many parents.
func BenchmarkWaitInATree(b *testing.B) {
	free := Limit{Calls: 1 << 20, Period: time.Nanosecond}
	for name, parents := range map[string]int{"0": 0, "1": 1, "2": 2} {
		b.Run("parents="+name, func(b *testing.B) {
			p := Must(Config{Limits: []Limit{free}, Coarse: true})
			for range parents {
				p = Must(Config{Parent: p, Limits: []Limit{free}, Coarse: true})
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
