package main

import (
	"net/http"
	"strconv"
	"time"
)

// A simServer answers requests in the order in which they reach it, at a time since it began.
type simServer struct {
	name   string
	quota  int // a second, that it really allows
	answer func() func(at time.Duration) simAnswer
	down   func(at time.Duration) bool // nil: never
}

type simAnswer struct {
	status int
	header http.Header
	late   time.Duration // how much later than usual
}

var fine = simAnswer{status: 200}

// strict counts in any second, and says how long to wait if told to.
func strict(quota int, says bool) func(time.Duration) simAnswer {
	var in []time.Duration
	return func(at time.Duration) simAnswer {
		if n := len(in); n >= quota && at-in[n-quota] < time.Second {
			a := simAnswer{status: 429}
			if says {
				a.header = http.Header{"Retry-After": {"1"}}
			}
			return a
		}
		in = append(in, at)
		return fine
	}
}

// leaky is a bucket of a size that so much a second flows back into.
func leaky(size, rate int) func(time.Duration) simAnswer {
	var used, last time.Duration // in what it takes to flow back
	each := time.Second / time.Duration(rate)
	return func(at time.Duration) simAnswer {
		used, last = max(0, used-(at-last)), at
		if used+each > time.Duration(size)*each {
			return simAnswer{status: 429}
		}
		used += each
		return fine
	}
}

func between(from, to time.Duration) func(time.Duration) bool {
	return func(at time.Duration) bool { return at >= from && at < to }
}

func plain(quota int) func() func(time.Duration) simAnswer {
	return func() func(time.Duration) simAnswer { return strict(quota, true) }
}

var simServers = []simServer{
	{name: "strict window", quota: 100, answer: plain(100)},
	{name: "bucket", quota: 100, answer: func() func(time.Duration) simAnswer { return leaky(100, 100) }},
	{name: "mute, 5/s", quota: 5, answer: func() func(time.Duration) simAnswer { return strict(5, false) }},
	{name: "mute, 10/s", quota: 10, answer: func() func(time.Duration) simAnswer { return strict(10, false) }},
	{name: "mute, 20/s", quota: 20, answer: func() func(time.Duration) simAnswer { return strict(20, false) }},
	{name: "flaps", quota: 100, answer: plain(100), down: func(at time.Duration) bool { return at%(2*time.Second) >= 1800*time.Millisecond }},
	{name: "lies", quota: 100, answer: func() func(time.Duration) simAnswer {
		honest := strict(100, true)
		n := 0
		return func(at time.Duration) simAnswer {
			a := honest(at)
			if n++; n%10 == 0 { // that it asks to come back in a past century, and has a billion left
				a.header = http.Header{"Retry-After": {"Fri, 31 Dec 1999 23:59:59 GMT"},
					"X-Ratelimit-Remaining": {strconv.Itoa(1_000_000_000)}, "X-Ratelimit-Reset": {"1"}}
			}
			return a
		}
	}},
	{name: "cries wolf", quota: 100, answer: func() func(time.Duration) simAnswer {
		honest := strict(100, true)
		n := 0
		return func(at time.Duration) simAnswer {
			a := honest(at)
			if n++; n%1000 == 0 { // that nothing is left, for 5 s
				a.header = http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"5"}}
			}
			return a
		}
	}},
	{name: "down 5 s", quota: 100, answer: plain(100), down: between(5*time.Second, 10*time.Second)},
	{name: "down 60 s", quota: 100, answer: plain(100), down: between(5*time.Second, 65*time.Second)},
	{name: "answers late", quota: 100, answer: func() func(time.Duration) simAnswer {
		quick := strict(100, true)
		return func(at time.Duration) simAnswer {
			a := quick(at)
			a.late = 2 * time.Second
			return a
		}
	}},
}
