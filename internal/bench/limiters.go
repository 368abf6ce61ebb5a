package main

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"go.uber.org/ratelimit"
	"golang.org/x/time/rate"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A limiter lets so many calls through each second: what it returns waits until the caller may start.
type limiter struct {
	name string
	make func(perSecond int) func(context.Context) error
}

// evenly are the limiters that let one call through every interval.
var evenly = []limiter{
	{"pacedhttp, Drip", func(n int) func(context.Context) error {
		return pacer.Drip(n, time.Second).Wait
	}},
	{"x/time/rate, burst 1", func(n int) func(context.Context) error {
		return rate.NewLimiter(rate.Limit(n), 1).Wait
	}},
	{"uber/ratelimit, without slack", func(n int) func(context.Context) error {
		limiter := ratelimit.New(n, ratelimit.WithoutSlack)
		return func(context.Context) error { limiter.Take(); return nil }
	}},
	{"failsafe-go, smooth", func(n int) func(context.Context) error {
		return ratelimiter.NewSmoothBuilder[any](uint(n), time.Second).WithMaxWaitTime(time.Hour).Build().AcquirePermit
	}},
}

// inBursts are those that let a second's calls through as fast as they come.
var inBursts = []limiter{
	{"pacedhttp, Burst", func(n int) func(context.Context) error {
		return pacer.Burst(n, time.Second).Wait
	}},
	{"pacedhttp, Burst with a Margin of 20 ms", func(n int) func(context.Context) error {
		return pacer.Must(pacer.Config{
			Limits: []pacer.Limit{{Calls: n, Period: time.Second}},
			Margin: 20 * time.Millisecond,
		}).Wait
	}},
	{"x/time/rate, burst of a second's calls", func(n int) func(context.Context) error {
		return rate.NewLimiter(rate.Limit(n), n).Wait
	}},
	{"uber/ratelimit", func(n int) func(context.Context) error {
		limiter := ratelimit.New(n)
		return func(context.Context) error { limiter.Take(); return nil }
	}},
	{"failsafe-go, bursty", func(n int) func(context.Context) error {
		return ratelimiter.NewBurstyBuilder[any](uint(n), time.Second).WithMaxWaitTime(time.Hour).Build().AcquirePermit
	}},
}
