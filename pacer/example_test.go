package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// Several workers share one quota: 20 calls in any second, 5000 in any hour.
func Example() {
	limits, err := pacer.ParseLimits("20/s, 5000/h")
	if err != nil {
		panic(err)
	}
	p := pacer.Must(pacer.Config{Limits: limits})

	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for range 5 {
				if err := p.Wait(context.Background()); err != nil {
					fmt.Println(err)
					return
				}
				// … and here the call
			}
		})
	}
	workers.Wait()
	for _, l := range p.Stats().Limits {
		fmt.Println(l.Limit, "left:", l.Left)
	}
	// Output:
	// 20/s left: 5
	// 5000/h left: 4985
}

// Five calls start at once, the sixth a period later.
func ExampleBurst() {
	p := pacer.Burst(5, 20*time.Millisecond)
	began := time.Now()
	for range 5 {
		_ = p.Wait(context.Background())
	}
	fmt.Println("sixth waits:", p.Wait(context.Background()) == nil && time.Since(began) >= 20*time.Millisecond)
	// Output: sixth waits: true
}

// Calls start evenly: with 5 per 20 ms, one every 4 ms.
func ExampleDrip() {
	p := pacer.Drip(5, 20*time.Millisecond)
	began := time.Now()
	for range 3 {
		_ = p.Wait(context.Background())
	}
	fmt.Println("third after 8 ms:", time.Since(began) >= 8*time.Millisecond)
	// Output: third after 8 ms: true
}

// All limits hold at once: here a burst limit and a daily quota.
func ExampleNew() {
	p, err := pacer.New(pacer.Config{
		Limits: []pacer.Limit{
			{Calls: 10, Period: time.Second},
			{Calls: 2, Period: 24 * time.Hour},
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Allow(), p.Allow(), p.Allow())

	_, err = pacer.New(pacer.Config{Limits: []pacer.Limit{{Calls: 10, Period: -time.Second}}, MaxWaiting: -1})
	fmt.Println(err)
	// Output:
	// true true false
	// pacer: Config.Limits[0].Period is -1s, must be more than 0
	// pacer: Config.MaxWaiting is -1, must be 0 (unbounded) or more
}

// A caller whose slot cannot come before its deadline is told at once.
func ExamplePacer_Wait() {
	p := pacer.Burst(1, time.Hour)
	_ = p.Wait(context.Background())

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := p.Wait(ctx)
	fmt.Println(errors.Is(err, pacer.ErrDeadline), errors.Is(err, context.DeadlineExceeded))
	if refusal, ok := errors.AsType[*pacer.Error](err); ok {
		fmt.Println(refusal.Wait().Round(time.Minute))
	}
	// Output:
	// true true
	// 1h0m0s
}

// Allow takes a slot if one is free and never waits.
func ExamplePacer_Allow() {
	p := pacer.Burst(2, time.Hour)
	fmt.Println(p.Allow(), p.Allow(), p.Allow())
	// Output: true true false
}

// A server that asks for a pause is obeyed by all callers of the pacer.
func ExamplePacer_PauseUntil() {
	p := pacer.Burst(100, time.Second)
	p.PauseUntil(time.Now().Add(time.Hour))
	fmt.Println(p.Allow())
	// Output: false
}

// Stats says what a pacer did so far.
func ExamplePacer_Stats() {
	p := pacer.Burst(1, time.Hour)
	p.Allow()
	p.Allow()
	stats := p.Stats()
	fmt.Println(stats.Granted, stats.Rejected, stats.Waiting)
	// Output: 1 1 0
}

// One pacer per host; nobody's quota is touched by others.
func ExampleNewKeyed() {
	perHost, err := pacer.NewKeyed(pacer.KeyedConfig{
		New: func(host string) *pacer.Pacer { return pacer.Burst(1, time.Hour) },
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(perHost.Get("a.example").Allow(), perHost.Get("a.example").Allow(), perHost.Get("b.example").Allow())
	// Output: true false true
}
