package pacer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// unlimited is a limit that holds nobody back.
var unlimited = []Limit{{Calls: 1 << 20, Period: time.Nanosecond}}

// underParents returns a pacer with so many above it, each with a limit that holds nobody back.
func underParents(parents int) *Pacer {
	p := Must(Config{Limits: unlimited, Coarse: true})
	for range parents {
		p = Must(Config{Parent: p, Limits: unlimited, Coarse: true})
	}
	return p
}

// BenchmarkTree is the cost of a start with a free slot, through so many parents, for one
// goroutine and for a thousand.
func BenchmarkTree(b *testing.B) {
	for parents := range 3 {
		for _, op := range []struct {
			name string
			do   func(p *Pacer) error
		}{
			{"Wait", func(p *Pacer) error { return p.Wait(b.Context()) }},
			{"AcquireDone", func(p *Pacer) error {
				s, err := p.Acquire(b.Context())
				s.Done()
				return err
			}},
		} {
			for _, goroutines := range []int{1, 1000} {
				b.Run(fmt.Sprintf("parents=%d/%s/goroutines=%d", parents, op.name, goroutines), func(b *testing.B) {
					p := underParents(parents)
					b.ReportAllocs()
					if goroutines == 1 {
						for b.Loop() {
							if err := op.do(p); err != nil {
								b.Fatal(err)
							}
						}
						return
					}
					b.SetParallelism(goroutines / 2)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if err := op.do(p); err != nil {
								b.Error(err)
							}
						}
					})
				})
			}
		}
	}
}

// BenchmarkTreeOfWaiting is the cost of a start that another's end lets go, where in each of so
// many children one waits. Without children all wait at the parent itself.
func BenchmarkTreeOfWaiting(b *testing.B) {
	for _, mode := range []string{"flat", "tree"} {
		for _, n := range []int{10, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", mode, n), func(b *testing.B) {
				root := Must(Config{MaxInFlight: 1, Coarse: true})
				pacers := make([]*Pacer, n)
				for i := range pacers {
					if pacers[i] = root; mode == "tree" {
						pacers[i] = Must(Config{Parent: root, Coarse: true})
					}
				}
				ready, all := make(chan struct{}), sync.WaitGroup{}
				var left atomic.Int64
				for _, p := range pacers {
					all.Go(func() {
						for <-ready; left.Add(-1) >= 0; {
							s, err := p.Acquire(b.Context())
							if err != nil {
								b.Error(err)
							}
							s.Done()
						}
					})
				}
				left.Store(int64(b.N))
				b.ReportAllocs()
				b.ResetTimer()
				close(ready)
				all.Wait()
			})
		}
	}
}

// BenchmarkTreeSettle is the cost of settling to more where in each of so many children one
// waits, who must hear at once if that is too much for its deadline.
func BenchmarkTreeSettle(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := Must(Config{Limits: []Limit{{Cost: 1 << 40, Unit: "tokens", Period: time.Hour}}, MaxInFlight: 1, Coarse: true})
			s, err := root.Acquire(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for range n {
				p := Must(Config{Parent: root, Coarse: true})
				go func() {
					s, _ := p.Acquire(b.Context())
					s.Done()
				}()
			}
			for waitingAt(root) < n {
				time.Sleep(time.Millisecond)
			}
			cost := 1
			b.ReportAllocs()
			for b.Loop() {
				cost++
				s.Settle("tokens", cost)
			}
			s.Done()
			for waitingAt(root) > 0 {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// waitingAt returns how many wait for p and below it.
func waitingAt(p *Pacer) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tree.kinds[0] + p.tree.kinds[1]
}

// BenchmarkTreeChild is what a child costs in memory, beside a pacer without a Parent.
func BenchmarkTreeChild(b *testing.B) {
	limit := []Limit{{Calls: 10, Period: time.Second}}
	for name, cfg := range map[string]Config{
		"flat": {Limits: limit}, "child": {Limits: limit, Parent: Must(Config{Limits: limit})}, "child without limits": {Parent: Must(Config{Limits: limit})},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := New(cfg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
