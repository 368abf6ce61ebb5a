package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// A model's API allows so many requests and so many tokens. What an answer cost stands in
// the answer, so each call reserves an estimate and settles it; what it did not need is
// there for the next one at once. (The periods are hours here, so that no clock decides
// what is printed; an API says "60/min, 90000 tokens/min".)
func ExampleSlot_Settle() {
	limits, err := pacer.ParseLimits("60/h, 90000 tokens/h")
	if err != nil {
		panic(err)
	}
	p := pacer.Must(pacer.Config{Limits: limits})

	// complete asks the model. The usage is in the answer, and of a streamed answer at its
	// end; the slot may be settled then, after Done too.
	complete := func(prompt string) (answer string, usage int) { return "blue", 12_000 }

	ask := func(ctx context.Context, prompt string, estimate int) (string, error) {
		slot, err := p.Acquire(pacer.WithCost(ctx, "tokens", estimate))
		defer slot.Done()
		if err != nil {
			return "", err
		}
		answer, usage := complete(prompt)
		slot.Settle("tokens", usage)
		return answer, nil
	}

	ctx := context.Background()
	for range 3 { // together 180,000 by estimate, 36,000 in truth
		fmt.Println(ask(ctx, "What colour is the sky?", 60_000))
	}
	_, err = ask(ctx, "Summarize this library.", 100_000)
	fmt.Println(err)
	for _, l := range p.Stats().Limits {
		fmt.Printf("%v: %d used, %d left\n", l.Limit, l.Used, l.Left)
	}
	// Output:
	// blue <nil>
	// blue <nil>
	// blue <nil>
	// pacer: too costly (100000 tokens where the limit is 90000)
	// 60/h: 3 used, 57 left
	// 90000 tokens/h: 36000 used, 54000 left
}

// At most 100 requests are in flight, however long each takes.
func ExampleSlot_Done() {
	p := pacer.Must(pacer.Config{MaxInFlight: 100})

	var now, most atomic.Int64
	request := func() {
		for n := now.Add(1); ; {
			if seen := most.Load(); n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		now.Add(-1)
	}

	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			slot, err := p.Acquire(context.Background())
			defer slot.Done() // may stand here: a nil Slot does nothing
			if err != nil {
				return
			}
			request()
		})
	}
	wg.Wait()
	stats := p.Stats()
	fmt.Println(stats.Granted, "granted, more than 100 at once:", most.Load() > 100, "- still in flight:", stats.InFlight)
	// Output: 1000 granted, more than 100 at once: false - still in flight: 0
}

// A vendor says: "a bucket of 40 requests, refilled at 2 per hour", and that of points a
// query may cost 1,000 at most.
func ExampleParseLimits() {
	limits, err := pacer.ParseLimits("2/h bucket 40, 50 points/h bucket 1000")
	if err != nil {
		panic(err)
	}
	fmt.Println(limits[1].Cost, limits[1].Unit, limits[1].Period, limits[1].Bucket)
	p := pacer.Must(pacer.Config{Limits: limits})
	started := 0
	for p.Allow() {
		started++
	}
	fmt.Println(started, "at once")

	_, err = pacer.ParseLimits("20/s, 5 a fortnight")
	fmt.Println(err)
	// Output:
	// 50 points 1h0m0s 1000
	// 40 at once
	// pacer: limit 2, "5 a fortnight": must be number [unit] "/" period ["even" | "bucket" number]
}

// An event loop must not block: it asks for a slot, and where there is none it learns
// when to ask again. No goroutine waits for a slot, however many jobs there are.
func ExamplePacer_TryAcquire() {
	p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 3, Period: time.Millisecond}}, MaxInFlight: 2})

	jobs := []string{"a", "b", "c", "d", "e", "f"}
	running := 0
	over := make(chan *pacer.Slot)
	for len(jobs) > 0 || running > 0 {
		var askAgain <-chan time.Time
		if len(jobs) > 0 {
			slot, err := p.TryAcquire(context.Background())
			refusal, refused := errors.AsType[*pacer.Error](err)
			switch {
			case err == nil:
				fmt.Println("start", jobs[0])
				jobs = jobs[1:]
				running++
				go func() { over <- slot }() // the job's work, and that it is over
				continue
			case refused && errors.Is(err, pacer.ErrNotNow):
				askAgain = time.After(refusal.Wait())
			default:
				panic(err)
			}
		}
		select { // here the loop would serve its other events as well
		case slot := <-over:
			slot.Done()
			running--
		case <-askAgain:
		}
	}
	fmt.Println("in flight:", p.Stats().InFlight)
	// Output:
	// start a
	// start b
	// start c
	// start d
	// start e
	// start f
	// in flight: 0
}

// Of several tokens, each with a quota of its own, whichever is free first serves a call.
func ExamplePacer_TryAcquire_tokens() {
	tokens := []string{"gold", "silver"}
	quotas := map[string]*pacer.Pacer{
		"gold":   pacer.Burst(2, time.Hour),
		"silver": pacer.Burst(1, 2*time.Hour),
	}
	// free returns a token that may be used now and its slot, or how long it takes until
	// the first is free.
	free := func(ctx context.Context) (token string, slot *pacer.Slot, wait time.Duration, err error) {
		var soonest *pacer.Error
		for _, token := range tokens {
			slot, err := quotas[token].TryAcquire(ctx)
			refusal, refused := errors.AsType[*pacer.Error](err)
			switch {
			case err == nil:
				return token, slot, 0, nil
			case !refused:
				return "", nil, 0, err
			case soonest == nil || refusal.Wait() < soonest.Wait():
				soonest = refusal
			}
		}
		return "", nil, soonest.Wait(), nil
	}

	for range 4 {
		token, slot, wait, err := free(context.Background())
		if err != nil {
			panic(err)
		}
		fmt.Printf("%q, else in %v\n", token, wait.Round(time.Hour))
		slot.Done()
	}
	// Output:
	// "gold", else in 0s
	// "gold", else in 0s
	// "silver", else in 0s
	// "", else in 1h0m0s
}

// A request that was throttled pauses all callers, and one that was never sent gives its
// start back.
func ExampleSlot_Report() {
	p := pacer.Burst(10, time.Hour)
	ctx := context.Background()

	slot, err := p.Acquire(ctx)
	if err != nil {
		panic(err)
	}
	until := slot.Report(pacer.Outcome{Throttled: true, Delay: time.Hour})
	fmt.Println("paused:", !until.IsZero())
	slot.Done()

	_, err = p.TryAcquire(ctx)
	fmt.Println(errors.Is(err, pacer.ErrNotNow))
	// Output:
	// paused: true
	// true
}

// A server's headers say that its quota is smaller than the program thinks, since others use
// it too. Here what they said is written down; package quota reads it from a response.
func ExampleSlot_Report_quotas() {
	p := pacer.Burst(5000, time.Hour)

	slot, err := p.Acquire(context.Background())
	if err != nil {
		panic(err)
	}
	slot.Report(pacer.Outcome{Quotas: []quota.State{
		{Name: "core", Remaining: 2, Limit: 5000, Reset: 20 * time.Minute},
	}})
	slot.Done()

	for range 3 {
		_, err = p.TryAcquire(context.Background())
		if refusal, refused := errors.AsType[*pacer.Error](err); refused {
			fmt.Println("ask again in", refusal.Wait().Round(time.Minute))
		}
	}
	for _, q := range p.Stats().Quotas {
		fmt.Printf("%s: %d of %d left\n", q.Name, q.Remaining, q.Limit)
	}
	// Output:
	// ask again in 20m0s
	// core: 0 of 5000 left
}

// What was never sent does not count.
func ExampleSlot_Cancel() {
	p := pacer.Burst(1, time.Hour)
	slot, err := p.Acquire(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Allow())
	slot.Cancel()
	fmt.Println(p.Allow())
	// Output:
	// false
	// true
}

// A retry goes back to the place in the queue that its call had.
func ExampleWithArrival() {
	p := pacer.Must(pacer.Config{MaxInFlight: 1})
	came := time.Now()
	slot, err := p.Acquire(context.Background())
	if err != nil {
		panic(err)
	}

	var wg sync.WaitGroup
	call := func(name string, ctx context.Context, waiting int) {
		wg.Go(func() {
			slot, err := p.Acquire(ctx)
			defer slot.Done()
			fmt.Println(name, err)
		})
		for p.Stats().Waiting < waiting {
			time.Sleep(time.Millisecond)
		}
	}
	call("newcomer", context.Background(), 1)
	call("retry", pacer.WithArrival(context.Background(), came), 2)
	slot.Done()
	wg.Wait()
	// Output:
	// retry <nil>
	// newcomer <nil>
}

// Costs in several units are several WithCost. A call that costs more than a limit ever
// allows is refused at once.
func ExampleWithCost() {
	p := pacer.Must(pacer.Config{Limits: []pacer.Limit{
		{Cost: 1000, Unit: "tokens", Period: time.Hour},
		{Cost: 10, Unit: "points", Period: time.Hour},
	}})
	ctx := pacer.WithCost(pacer.WithCost(context.Background(), "tokens", 900), "points", 3)
	fmt.Println(p.Wait(ctx))
	for _, l := range p.Stats().Limits {
		fmt.Println(l.Left, "of", l.Limit)
	}
	err := p.Wait(pacer.WithCost(ctx, "points", 11))
	fmt.Println(errors.Is(err, pacer.ErrTooCostly), err)
	// Output:
	// <nil>
	// 100 of 1000 tokens/h
	// 7 of 10 points/h
	// true pacer: too costly (11 points where the limit is 10)
}

// Must is for a Config that is known to be valid.
func ExampleMust() {
	p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: time.Hour, Even: true}}})
	fmt.Println(p.Allow(), p.Allow())
	// Output: true false
}

// Acquire returns the slot of a start. Here the request is over when the function is.
func ExamplePacer_Acquire() {
	p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 10, Period: time.Hour}}, MaxInFlight: 1})
	get := func(ctx context.Context) error {
		slot, err := p.Acquire(ctx)
		defer slot.Done()
		if err != nil {
			return err
		}
		fmt.Println("in flight:", p.Stats().InFlight)
		return nil
	}
	fmt.Println(get(context.Background()), p.Stats().InFlight)
	// Output:
	// in flight: 1
	// <nil> 0
}
