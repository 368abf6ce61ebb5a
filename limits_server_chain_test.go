package pacedhttp_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// An api is a server that holds each key to limits, and counts with code of its own what of
// them is used at the moment at which it reads a request. It is the base of a chain.
type api struct {
	apiUser
	seed    uint64
	limits  []pacer.Limit
	way     time.Duration // a request is under way for up to this long, and so is its answer
	fails   bool          // at random
	exceeds bool          // a request may cost more than was estimated

	mu     sync.Mutex
	sent   map[string]*inquiry  // by the header Inquiry of its answer
	keys   map[string]*readings // of each key
	faults []string             // limits that were exceeded
	met    map[string]int       // what callers met with
}

// readings are what a server remembers of a key.
type readings struct {
	read   []*inquiry // in order
	newest time.Time  // when the last of them was sent
	flying int        // those that are not over
}

// An inquiry is a request that was sent.
type inquiry struct {
	key            string
	sent, read     time.Time
	estimate, used int       // tokens
	settled        time.Time // when the caller knew what was used; zero before
	over           bool      // answered to the end, or given up: the caller has let go of it
}

// usage begins the last event of an answer, which tells what was used.
const usage = `{"usage":`

// usageOf returns what an answer tells of its cost.
func usageOf(answer string) (tokens int, told bool) {
	_, text, found := strings.Cut(answer, usage)
	tokens, err := strconv.Atoi(strings.TrimRight(text, "}\n"))
	return tokens, found && err == nil
}

// number returns that in a header of req.
func number(req *http.Request, header string) int {
	n, _ := strconv.Atoi(req.Header.Get(header))
	return n
}

// What becomes of a request.
const (
	unreached = iota
	lost
	failed
	throttled
	torn
	answered
)

var fates = slices.Concat([]string{"unreached", "lost", "failed", "throttled", "torn"}, slices.Repeat([]string{"answered"}, 15))

// longestWork is how long an answer takes at most, and exactly where nothing fails.
const longestWork = 2 * time.Second

func (s *api) RoundTrip(req *http.Request) (*http.Response, error) {
	attempt, _ := pacedhttp.AttemptFromContext(req.Context())
	r := rand.New(rand.NewPCG(s.seed, uint64(number(req, "Call")*100+attempt.Number)))
	upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d) + 1)) }
	ctx := req.Context()
	q := &inquiry{key: req.Header.Get("Authorization"), sent: time.Now(), estimate: number(req, "Estimate")}
	out, work, back, fate := upTo(s.way), longestWork, upTo(s.way), answered
	if q.used = s.used; s.fails {
		work, fate = time.Millisecond+upTo(longestWork), r.IntN(len(fates))
		if q.used = r.IntN(q.estimate + 1); s.exceeds {
			q.used = r.IntN(2*q.estimate + 1)
		}
	}
	s.mu.Lock()
	name := strconv.Itoa(len(s.sent))
	s.sent[name] = q
	s.met[fates[fate]]++
	s.mu.Unlock()
	if fate == unreached {
		if err := rest(ctx, out); err != nil {
			return nil, err
		}
		return nil, unprocessedError{}
	}
	go func() { // no AfterFunc: so many crash a race-enabled bubble now and then (go1.26)
		time.Sleep(out)
		s.reads(q)
	}()
	if err := rest(ctx, out+work+back); err != nil {
		s.ends(q)
		return nil, err
	}
	body := &eventBody{ends: func() { s.ends(q) }, ctx: ctx, closed: make(chan struct{}), err: io.EOF}
	resp := &http.Response{StatusCode: 200, Header: header("Inquiry", name), Body: body, Request: req, ContentLength: -1}
	switch fate {
	case lost:
		s.ends(q)
		return nil, io.ErrUnexpectedEOF
	case failed:
		resp.StatusCode = 500 + r.IntN(4)
		return resp, nil
	case throttled:
		resp.StatusCode = 429
		resp.Header.Set("Retry-After", strconv.Itoa(1+r.IntN(3)))
		return resp, nil
	case torn:
		body.err = io.ErrUnexpectedEOF
	}
	pause := func() time.Duration { return 0 }
	if s.fails {
		pause = func() time.Duration { return upTo(longestWork / 4) }
	}
	if s.streams {
		for range 4 {
			body.events = append(body.events, event{pause(), "data: a word\n\n"})
		}
	}
	body.events = append(body.events, event{pause(), fmt.Sprint(usage, q.used, "}\n\n")})
	return resp, nil
}

// reads judges the request that has reached the server.
func (s *api) reads(q *inquiry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[q.key]
	if k == nil {
		k = new(readings)
		s.keys[q.key] = k
	}
	q.read = time.Now()
	k.read = append(k.read, q)
	if k.newest.Before(q.sent) {
		k.newest = q.sent
	}
	if !q.over {
		k.flying++
	}
	if s.flights > 0 && k.flying > s.flights {
		s.faults = append(s.faults, fmt.Sprintf("%d in flight", k.flying))
	}
	for _, l := range s.limits {
		count := windowed
		if l.Bucket > 0 {
			count = drawn
		}
		if s.exceeds && l.Unit != "" && count(k.read, l, func(q *inquiry) int { return q.used }) > 0 {
			s.met["more used than was known"]++
		}
		if over := count(k.read, l, func(q *inquiry) int { return s.cost(q, l.Unit, k.newest) }); over > 0 {
			s.faults = append(s.faults, fmt.Sprintf("%v: %g too many at %v", l, over, q.read))
		}
	}
}

// windowed returns by how much a limit is exceeded in the window that ends with the last read.
func windowed(read []*inquiry, l pacer.Limit, cost func(*inquiry) int) (over float64) {
	now, used := read[len(read)-1].read, 0
	for _, q := range slices.Backward(read) {
		if now.Sub(q.read) >= l.Period {
			break
		}
		used += cost(q)
	}
	return float64(used - max(l.Calls, l.Cost))
}

// drawn returns by how much a bucket is overdrawn after the last read. It counts in parts of
// which a nanosecond brings back as many as the limit's rate.
func drawn(read []*inquiry, l pacer.Limit, cost func(*inquiry) int) (over float64) {
	rate, part := max(l.Calls, l.Cost), int(l.Period)
	last, used := read[0].read, 0
	for _, q := range read {
		used = max(0, used-int(q.read.Sub(last))*rate) + cost(q)*part
		last = q.read
	}
	return float64(used-l.Bucket*part) / float64(part)
}

// cost is what q counts as: what it costs in truth or, where that may be more than anybody
// knew before, what was known when the newest request was sent.
func (s *api) cost(q *inquiry, unit string, newest time.Time) int {
	switch {
	case unit == "":
		return 1
	case !s.exceeds || !q.settled.IsZero() && q.settled.Before(newest):
		return q.used
	case q.settled.Equal(newest):
		return min(q.estimate, q.used) // at one moment: nobody can tell
	default:
		return q.estimate
	}
}

// meets notes that a caller met with something.
func (s *api) meets(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.met[what]++
}

// ends notes that the caller has heard all of the answer, or has given it up. A server hears
// of the latter by its connection.
func (s *api) ends(q *inquiry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case q.over:
	case q.read.IsZero():
		s.met["given up on its way"]++
	default:
		s.keys[q.key].flying--
	}
	q.over = true
}

// settles notes that the caller of resp tells its pacer what was used.
func (s *api) settles(resp *http.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[resp.Header.Get("Inquiry")].settled = time.Now()
}

// readBefore returns how many requests of all keys were read before a moment.
func (s *api) readBefore(t time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		for _, q := range k.read {
			if q.read.Before(t) {
				n++
			}
		}
	}
	return n
}

// rest waits for d, or returns why ctx ended before.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// An eventBody is a body that comes event by event.
type eventBody struct {
	events []event
	err    error // after the last of them
	ends   func()
	ctx    context.Context
	once   sync.Once
	closed chan struct{}
}

type event struct {
	after time.Duration
	text  string
}

func (b *eventBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.events) == 0 {
		b.ends()
		return 0, b.err
	}
	e := &b.events[0]
	timer := time.NewTimer(e.after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.closed:
		return 0, http.ErrBodyReadAfterClose
	case <-b.ctx.Done():
		b.ends()
		return 0, context.Cause(b.ctx)
	}
	n := copy(p, e.text)
	if e.after, e.text = 0, e.text[n:]; e.text == "" {
		b.events = b.events[1:]
	}
	return n, nil
}

func (b *eventBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	b.ends()
	return nil
}
