package main

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// unlimited are limiters that never make a caller wait.
var unlimited = []limiter{
	{"pacedhttp, Wait", func(int) func(context.Context) error { return endless(pacer.Config{}).Wait }},
	{"pacedhttp, Acquire and Done", func(int) func(context.Context) error {
		p := endless(pacer.Config{})
		return func(ctx context.Context) error {
			slot, err := p.Acquire(ctx)
			slot.Done()
			return err
		}
	}},
	{"pacedhttp, through a Parent", func(int) func(context.Context) error {
		return endless(pacer.Config{Parent: endless(pacer.Config{})}).Wait
	}},
	{"x/time/rate", func(int) func(context.Context) error { return rate.NewLimiter(1e12, 1_000_000).Wait }},
}

// endless is a pacer that remembers as many starts as usual ones do, and lets everybody start.
func endless(cfg pacer.Config) *pacer.Pacer {
	cfg.Limits = []pacer.Limit{{Calls: 1_000, Period: time.Nanosecond}}
	return pacer.Must(cfg)
}

// contention is what a start costs that is free at once.
func contention(e effort) (table, error) {
	t := table{
		About:   "A start that is free at once, in nanoseconds of one core, by number of goroutines that ask all the time. uber/ratelimit and failsafe-go have no limit that high. x/time/rate remembers no single starts, which is cheaper where many fight for one.",
		Columns: []string{"1", "64", "1,000"},
		Unit:    "ns",
		Chart:   chart{Name: "contention", Title: "A free start with 64 goroutines (ns)", Column: 1},
	}
	rows := make([][]float64, len(unlimited))
	for _, goroutines := range []int{1, 64, 1_000} {
		took := make([][]float64, len(unlimited))
		for range 2 + e { // in turn
			for i, l := range unlimited {
				took[i] = append(took[i], perCall(l.make(0), goroutines))
			}
		}
		for i := range rows {
			rows[i] = append(rows[i], median(took[i]))
		}
	}
	for i, l := range unlimited {
		t.add(l.name, rows[i]...)
	}
	return t, nil
}

// perCall returns how many nanoseconds a call takes.
func perCall(wait func(context.Context) error, goroutines int) float64 {
	const calls = 200_000
	began := time.Now()
	record := make(chan struct{})
	for range goroutines {
		go func() {
			for range calls / goroutines {
				_ = wait(context.Background())
			}
			record <- struct{}{}
		}()
	}
	for range goroutines {
		<-record
	}
	return float64(time.Since(began)) / calls
}
