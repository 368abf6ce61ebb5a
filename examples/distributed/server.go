package main

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// callHeader carries the number of the call, so that the server's records can be told apart by call.
const callHeader = "X-Call"

// api is a server with a quota, strict as the strictest are: it looks back from every request. What it refuses does not use
// up the quota. It also has its weak moments: of every failEvery-th call, the first request it lets in is answered with 503.
//
// Processes can only be exact about when their requests start. They arrive a little later, and not all by as much: two that
// start one period apart may arrive less than that apart, the first having been delayed more. So the server looks back
// one period less a tolerance for that jitter.
type api struct {
	quota     int
	window    time.Duration // half-open: requests exactly a window apart do not share one
	failEvery int           // 0 = no call fails

	mu       sync.Mutex
	seen     []arrival
	admitted []time.Time
	failed   map[int]bool // calls
	busiest  int          // the most requests seen in any window, refused ones included
}

// An arrival is a request as the server saw it.
type arrival struct {
	call   int
	at     time.Time
	status int
}

func newAPI(cfg config) *api {
	return &api{quota: cfg.quota, window: cfg.period - cfg.tolerance, failEvery: cfg.failEvery, failed: make(map[int]bool)}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, _ := strconv.Atoi(r.Header.Get(callHeader))
	status, retryAfter := a.admit(call)
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(status)
}

// admit records a request and decides its status; retryAfter is in seconds, as in RFC 9110 §10.2.3.
func (a *api) admit(call int) (status, retryAfter int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now() // under the lock, so that the records are in order

	status = http.StatusOK
	if n := len(a.admitted); n >= a.quota && now.Sub(a.admitted[n-a.quota]) < a.window {
		status = http.StatusTooManyRequests
		free := a.window - now.Sub(a.admitted[n-a.quota])
		retryAfter = int((free + time.Second - 1) / time.Second)
	} else {
		a.admitted = append(a.admitted, now)
		if a.failEvery > 0 && call%a.failEvery == 0 && !a.failed[call] {
			a.failed[call] = true
			status = http.StatusServiceUnavailable
		}
	}
	a.seen = append(a.seen, arrival{call, now, status})

	inWindow := 0
	for i := len(a.seen) - 1; i >= 0 && now.Sub(a.seen[i].at) < a.window; i-- {
		inWindow++
	}
	a.busiest = max(a.busiest, inWindow)
	return status, retryAfter
}

// record is what the server counted so far.
type record struct {
	seen              []arrival
	admitted, busiest int
}

func (a *api) record() record {
	a.mu.Lock()
	defer a.mu.Unlock()
	return record{seen: a.seen[:len(a.seen):len(a.seen)], admitted: len(a.admitted), busiest: a.busiest}
}

// rejected counts the requests over the quota.
func (r record) rejected() int {
	n := 0
	for _, a := range r.seen {
		if a.status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}
