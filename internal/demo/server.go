package demo

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// callHeader carries the number of the call, so that the server's records can be told apart by call.
const callHeader = "X-Call"

// Call makes the call of that number and closes the response, which has no body to speak of.
func Call(ctx context.Context, client *http.Client, url string, number int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(callHeader, strconv.Itoa(number))
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return resp, nil
}

// API is a server with a quota, strict as the strictest are: it looks back from every request. What it refuses does not use
// up the quota. It also has its weak moments, in which what it lets in is answered with 503.
//
// Clients can only be exact about when their requests start. They arrive a little later, and not all by as much: two that
// start one period apart may arrive less than that apart, the first having been delayed more. So the server looks back
// one period less a tolerance for that jitter. A window of exactly one period would fault a client that did nothing wrong.
type API struct {
	quota  int
	window time.Duration // half-open: requests exactly a window apart do not share one
	fails  func(call, admitted int) bool

	mu  sync.Mutex
	got Record
	in  []time.Time // when the admitted came
}

// Record is what the server counted so far.
type Record struct {
	Seen     []Arrival
	Admitted int
	Busiest  int // the most requests seen in any window, refused ones included
}

// An Arrival is a request as the server saw it.
type Arrival struct {
	Call   int
	At     time.Time
	Status int
}

// NewAPI returns a server that asks fails, one at a time, of each request it lets in, unless none is to fail: which call it
// belongs to, and how many it has let in with this one.
func NewAPI(cfg Config, fails func(call, admitted int) bool) *API {
	if cfg.FailEvery == 0 {
		fails = func(int, int) bool { return false }
	}
	return &API{quota: cfg.Quota, window: cfg.Window(), fails: fails}
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, _ := strconv.Atoi(r.Header.Get(callHeader))
	status, retryAfter := a.admit(call)
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(status)
}

// admit records a request and decides its status; retryAfter is in seconds, as in RFC 9110 §10.2.3.
func (a *API) admit(call int) (status, retryAfter int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now() // under the lock, so that the records are in order

	status = http.StatusOK
	if n := len(a.in); n >= a.quota && now.Sub(a.in[n-a.quota]) < a.window {
		status = http.StatusTooManyRequests
		free := a.window - now.Sub(a.in[n-a.quota])
		retryAfter = int((free + time.Second - 1) / time.Second)
	} else {
		a.in = append(a.in, now)
		a.got.Admitted = len(a.in)
		if a.fails(call, a.got.Admitted) {
			status = http.StatusServiceUnavailable
		}
	}
	a.got.Seen = append(a.got.Seen, Arrival{call, now, status})

	inWindow := 0
	for i := len(a.got.Seen) - 1; i >= 0 && now.Sub(a.got.Seen[i].At) < a.window; i-- {
		inWindow++
	}
	a.got.Busiest = max(a.got.Busiest, inWindow)
	return status, retryAfter
}

// Record returns what the server counted so far.
func (a *API) Record() Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.got
	r.Seen = slices.Clip(r.Seen)
	return r
}

// Rejected counts the requests over the quota.
func (r Record) Rejected() int {
	n := 0
	for _, a := range r.Seen {
		if a.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}
