package pacer_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// BenchmarkFreeSlot is the cost of a start for which nothing has to be waited for.
func BenchmarkFreeSlot(b *testing.B) {
	calls := pacer.Limit{Calls: 1_000_000, Period: time.Nanosecond}
	tokenWindow := pacer.Limit{Cost: 1_000_000, Unit: tokens, Period: time.Nanosecond}
	tokenBucket := pacer.Limit{Cost: 1_000_000, Unit: tokens, Period: time.Nanosecond, Bucket: 1_000_000}
	plain := context.Background()
	for _, bench := range []struct {
		name string
		cfg  pacer.Config
		ctx  context.Context
	}{
		{"calls", pacer.Config{Limits: []pacer.Limit{calls}}, plain},
		{"even", pacer.Config{Limits: []pacer.Limit{{Calls: 1_000_000, Period: time.Nanosecond, Even: true}}}, plain},
		{"bucket", pacer.Config{Limits: []pacer.Limit{{Calls: 1_000_000, Period: time.Nanosecond, Bucket: 1_000_000}}}, plain},
		{"cost", pacer.Config{Limits: []pacer.Limit{calls, tokenWindow}}, pacer.WithCost(plain, tokens, 7)},
		{"cost bucket", pacer.Config{Limits: []pacer.Limit{calls, tokenBucket}}, pacer.WithCost(plain, tokens, 7)},
		{"flight", pacer.Config{Limits: []pacer.Limit{calls}, MaxInFlight: 10}, plain},
		{"cost and flight", pacer.Config{Limits: []pacer.Limit{calls, tokenWindow}, MaxInFlight: 10}, pacer.WithCost(plain, tokens, 7)},
	} {
		p := pacer.Must(bench.cfg)
		if bench.cfg.MaxInFlight == 0 {
			b.Run("Wait/"+bench.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := p.Wait(bench.ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("Acquire+Done/"+bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := p.Acquire(bench.ctx)
				if err != nil {
					b.Fatal(err)
				}
				s.Done()
			}
		})
	}
}

// BenchmarkSettleStartsBack is the cost of settling so many starts and giving them back, beside
// an even limit.
func BenchmarkSettleStartsBack(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1 << 20, Period: time.Hour}, {Calls: 10, Period: time.Second, Even: true}}})
			s, err := p.TryAcquire(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s.Settle("", n)
				s.Settle("", 1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/start")
		})
	}
}

// BenchmarkReport is the cost of a start and of what its answer says of so many quotas, while
// so many other requests are in flight.
func BenchmarkReport(b *testing.B) {
	for _, quotas := range []int{1, 4} {
		for _, inFlight := range []int{0, 100} {
			b.Run(fmt.Sprintf("%d quotas, %d in flight", quotas, inFlight), func(b *testing.B) {
				p := pacer.Burst(1_000_000, time.Nanosecond)
				said := make([]quota.State, quotas)
				for i := range said {
					said[i] = quota.State{Name: strconv.Itoa(i), Remaining: 1_000_000, Limit: 1_000_000, Reset: time.Hour}
				}
				starts := make([]pacer.Admission, inFlight+1)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					var a pacer.Admission
					err := p.Admit(context.Background(), &a)
					if err != nil {
						b.Fatal(err)
					}
					starts[i%len(starts)] = a
					starts[(i+1)%len(starts)].Report(pacer.Outcome{Quotas: said})
				}
			})
		}
	}
}

// BenchmarkSettle is the cost of a Settle of the newest of so many starts, and of the oldest.
func BenchmarkSettle(b *testing.B) {
	for name, limit := range map[string]pacer.Limit{
		"window": {Cost: 1_000_000_000, Unit: tokens, Period: time.Hour},
		"bucket": {Cost: 1_000_000_000, Unit: tokens, Period: time.Hour, Bucket: 1_000_000_000},
	} {
		for _, n := range []int{1_000, 10_000} {
			p := pacer.Must(pacer.Config{Limits: []pacer.Limit{limit}})
			ctx := pacer.WithCost(context.Background(), tokens, 1000)
			slots := make([]*pacer.Slot, n)
			for i := range slots {
				slots[i], _ = p.Acquire(ctx)
			}
			for place, s := range map[string]*pacer.Slot{"newest": slots[n-1], "oldest": slots[0]} {
				b.Run(fmt.Sprintf("%s/%s of %d", name, place, n), func(b *testing.B) {
					for i := 0; b.Loop(); i++ {
						if i%2 == 0 {
							s.Settle(tokens, 999)
						} else {
							s.Settle(tokens, 1000) // the excess, from now
						}
					}
				})
			}
		}
	}
}

// BenchmarkContended is a start by many at once, without and with waiting.
func BenchmarkContended(b *testing.B) {
	free := func() *pacer.Pacer { return pacer.Burst(1_000_000, time.Nanosecond) }
	queued := func() *pacer.Pacer { return pacer.Burst(100, 100*time.Microsecond) }
	flight := func() *pacer.Pacer { return pacer.Must(pacer.Config{MaxInFlight: 10}) }
	run := func(name string, make func() *pacer.Pacer, start func(*pacer.Pacer)) {
		b.Run(name+"/parallel", func(b *testing.B) {
			p := make()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					start(p)
				}
			})
		})
		for _, goroutines := range []int{64, 1_000} {
			b.Run(name+"/"+strconv.Itoa(goroutines), func(b *testing.B) {
				p := make()
				var wg sync.WaitGroup
				for g := range goroutines {
					wg.Go(func() {
						for i := g; i < b.N; i += goroutines {
							start(p)
						}
					})
				}
				wg.Wait()
			})
		}
	}
	wait := func(p *pacer.Pacer) { _ = p.Wait(context.Background()) }
	hold := func(p *pacer.Pacer) {
		if s, err := p.Acquire(context.Background()); err == nil {
			s.Done()
		}
	}
	run("Wait free", free, wait)
	run("Acquire+Done free", free, hold)
	run("Wait at 1,000,000 a second", queued, wait)
	run("Acquire+Done, 10 in flight", flight, hold)
}

// BenchmarkWaiters joins so many waiters to a queue and takes them out again, by
// cancellation or refusal; per waiter.
func BenchmarkWaiters(b *testing.B) {
	limits := map[string][]pacer.Limit{
		"calls": {{Calls: 1, Period: time.Hour}},
		"cost":  {{Cost: 1, Unit: tokens, Period: time.Hour}},
	}
	for _, name := range []string{"calls", "cost"} {
		for _, n := range []int{10_000, 100_000} {
			bench := func(what string, f func(b *testing.B, p *pacer.Pacer)) {
				b.Run(fmt.Sprintf("%s/%s/%d", what, name, n), func(b *testing.B) {
					for b.Loop() {
						p := pacer.Must(pacer.Config{Limits: limits[name]})
						p.Allow()
						f(b, p)
					}
					b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(n), "ns/waiter")
					b.ReportMetric(0, "ns/op")
				})
			}
			join := func(p *pacer.Pacer, with func(i int) context.Context) *sync.WaitGroup {
				var wg sync.WaitGroup
				for i := range n {
					wg.Go(func() { _ = p.Wait(with(i)) })
				}
				for p.Stats().Waiting < n {
					runtime.Gosched()
				}
				return &wg
			}
			bench("cancel", func(b *testing.B, p *pacer.Pacer) {
				ctx, cancel := context.WithCancel(context.Background())
				wg := join(p, func(int) context.Context { return ctx })
				cancel()
				wg.Wait()
			})
			bench("cancel by place", func(b *testing.B, p *pacer.Pacer) {
				ctx, cancel := context.WithCancel(context.Background())
				now := time.Now()
				wg := join(p, func(i int) context.Context {
					return pacer.WithArrival(ctx, now.Add(-time.Duration(i*7919%n)))
				})
				cancel()
				wg.Wait()
			})
			bench("refuse by pause", func(b *testing.B, p *pacer.Pacer) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n+2)*time.Hour)
				defer cancel()
				wg := join(p, func(int) context.Context { return ctx })
				p.PauseUntil(time.Now().Add(time.Duration(n+2) * time.Hour))
				wg.Wait()
			})
			bench("refuse newcomers", func(b *testing.B, p *pacer.Pacer) {
				ctx, cancel := context.WithCancel(context.Background())
				wg := join(p, func(int) context.Context { return ctx })
				late, cancelLate := context.WithTimeout(ctx, time.Minute)
				defer cancelLate()
				for range n {
					_ = p.Wait(late)
				}
				cancel()
				wg.Wait()
			})
		}
	}
}

// BenchmarkWaiterMemory is what a waiter takes, its goroutine's stack aside.
func BenchmarkWaiterMemory(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		p := pacer.Burst(1, time.Hour)
		p.Allow()
		ctx, cancel := context.WithCancel(context.Background())
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { _ = p.Wait(ctx) })
		}
		for p.Stats().Waiting < n {
			runtime.Gosched()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heap-B/waiter")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/n, "stack-B/waiter")
		cancel()
		wg.Wait()
	}
}

// BenchmarkKeyedGetOfANewKey is a Get that has to make a pacer, with so many keys there.
func BenchmarkKeyedGetOfANewKey(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		for _, busy := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=%d/busy=%v", n, busy), func(b *testing.B) {
				k, err := pacer.NewKeyed(pacer.KeyedConfig{MaxKeys: n, New: func(string) *pacer.Pacer { return pacer.Burst(1, time.Hour) }})
				if err != nil {
					b.Fatal(err)
				}
				for i := range n {
					if p := k.Get(strconv.Itoa(i)); busy {
						p.Allow()
					}
				}
				for i := 0; b.Loop(); i++ {
					k.Get("new" + strconv.Itoa(i))
				}
			})
		}
	}
}
