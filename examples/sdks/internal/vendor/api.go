// Package vendor is what the fakes of all vendors have in common: the server, how it counts,
// and the troubles that it has.
package vendor

import (
	"bytes"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// An API is a vendor's service. It judges each request at the moment at which it has read it,
// and holds it to limits that look back from there, which is the strictest way to read any
// vendor's documentation.
type API struct {
	Limits   []pacer.Limit
	InFlight int // requests at once; 0 means unbounded

	Cost   func(*Request) map[string]int       // in the units of Limits; nil where they count requests
	Refuse func(http.ResponseWriter, Refusal)  // says that a limit is exceeded, in the vendor's words
	Fail   func(http.ResponseWriter, *Request) // says that the service is unavailable
	Answer func(http.ResponseWriter, *Request) // serves a request that was let in
	Tell   func(http.Header, []Left)           // writes what is left into the headers; nil where the vendor does not
	Trouble

	mu     sync.Mutex
	meters []*meter
	began  time.Time
	flying int
	seen   map[uint64]bool // requests that have been here
	tally  Tally
}

// A Request has been read to its end.
type Request struct {
	*http.Request
	Body []byte // its beginning, at most a megabyte
	Size int64
}

// A Refusal says which limit a request exceeds, and for how long it would. The zero Limit is
// that of requests in flight.
type Refusal struct {
	pacer.Limit
	Wait time.Duration
}

// A Trouble is what goes wrong at a vendor's besides its limits.
type Trouble struct {
	Name   string
	Flaps  int           // one in so many is answered "unavailable" when it comes for the first time
	Outage time.Duration // from the first request on, everything is answered "unavailable"
}

// Troubles are those that every SDK meets with.
var Troubles = []Trouble{{Name: "throttling"}, {Name: "flaps", Flaps: 3}, {Name: "outage", Outage: 5 * time.Second}}

// A Tally is what a vendor has counted.
type Tally struct {
	Requests int
	Refused  int // for a limit: 429s, in most vendors' words
	Failed   int // "unavailable"
}

// Tally returns what was counted so far.
func (a *API) Tally() Tally {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tally
}

// Charge counts what a request turned out to cost beyond what it did when it was let in.
func (a *API) Charge(unit string, cost int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, m := range a.meters {
		if m.Unit == unit {
			m.flow(now)
			m.charge(cost)
		}
	}
}

var seed = maphash.MakeSeed() // of all, so that a request is known again

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r := &Request{Request: req}
	var id maphash.Hash
	id.SetSeed(seed)
	id.WriteString(req.Method + req.URL.String())
	var begin bytes.Buffer
	n, err := io.Copy(io.MultiWriter(&id, &firstMegabyte{&begin}), req.Body)
	if err != nil {
		return // given up
	}
	r.Body, r.Size = begin.Bytes(), n
	refusal, failed := a.judge(r, id.Sum64(), w.Header())
	switch {
	case refusal != nil:
		a.Refuse(w, *refusal)
		return
	case failed:
		a.Fail(w, r)
	default:
		a.Answer(w, r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flying--
}

// judge counts a request and says what becomes of it.
func (a *API) judge(r *Request, id uint64, h http.Header) (refusal *Refusal, failed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.began.IsZero() {
		a.began, a.seen = now, map[uint64]bool{}
		for _, l := range a.Limits {
			a.meters = append(a.meters, newMeter(l, now))
		}
	}
	a.tally.Requests++
	var costs map[string]int
	if a.Cost != nil {
		costs = a.Cost(r)
	}
	for _, m := range a.meters {
		m.flow(now)
		if wait := m.wait(costOf(costs, m.Unit)); wait > 0 && (refusal == nil || wait > refusal.Wait) {
			refusal = &Refusal{m.Limit, wait}
		}
	}
	if refusal == nil && a.InFlight > 0 && a.flying == a.InFlight {
		refusal = new(Refusal)
	}
	if refusal == nil {
		a.flying++
		for _, m := range a.meters {
			m.charge(costOf(costs, m.Unit))
		}
		flap := a.Flaps > 0 && !a.seen[id] && len(a.seen)%a.Flaps == 0
		a.seen[id] = true
		failed = flap || now.Sub(a.began) < a.Outage
	}
	if refusal != nil {
		a.tally.Refused++
	}
	if failed {
		a.tally.Failed++
	}
	if a.Tell != nil {
		left := make([]Left, len(a.meters))
		for i, m := range a.meters {
			left[i] = m.left()
		}
		a.Tell(h, left)
	}
	return refusal, failed
}

// costOf returns what a request costs in a unit; every request is one request.
func costOf(costs map[string]int, unit string) int {
	if unit == "" {
		return 1
	}
	return costs[unit]
}

// firstMegabyte keeps the beginning of what is written to it.
type firstMegabyte struct{ *bytes.Buffer }

func (w *firstMegabyte) Write(p []byte) (int, error) {
	w.Buffer.Write(p[:min(len(p), 1<<20-w.Len())])
	return len(p), nil
}
