package retrypolicy

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

var errBoom = errors.New("boom")

// failed is a replayable attempt of a GET that failed with errBoom.
func failed(edit func(*Attempt)) Attempt {
	a := Attempt{Number: 1, Request: request("GET"), Err: errBoom, Replayable: true}
	if edit != nil {
		edit(&a)
	}
	return a
}

// answered is a replayable attempt that got a response; header comes in pairs.
func answered(method string, status int, header ...string) Attempt {
	return Attempt{Number: 1, Request: request(method), Response: response(status, header...), Replayable: true}
}

func request(method string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "http://service.test", nil)
	setPairs(r.Header, header)
	return r
}

func response(status int, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
	setPairs(r.Header, header)
	return r
}

func setPairs(h http.Header, pairs []string) {
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
}

func TestEachReason(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	second := Config{Backoff: Constant(time.Second)}
	with := func(edit func(*Config)) Config {
		c := second
		edit(&c)
		return c
	}
	for _, c := range []struct {
		name string
		ctx  context.Context
		cfg  Config
		a    Attempt
		want Reason // empty: retried after a second
	}{
		{"a success", nil, second, answered("GET", 200), ReasonAccepted},
		{"a client's mistake", nil, second, answered("GET", 404), ReasonAccepted},
		{"a success under a dead context", canceled, second, answered("GET", 200), ReasonAccepted},
		{"a failure", nil, second, failed(nil), ""},
		{"a bad gateway", nil, second, answered("GET", 502), ""},
		{"canceled", canceled, second, failed(nil), ReasonCanceled},
		{"canceled, with an answer", canceled, second, answered("GET", 503), ReasonCanceled},
		{"past the deadline", expired, second, failed(nil), ReasonDeadline},
		{"the cancellation itself", canceled, second, failed(func(a *Attempt) { a.Err = context.Canceled }), ReasonCanceled},
		{"an inner cancellation", nil, second, failed(func(a *Attempt) { a.Err = context.Canceled }), ReasonNotRetryable},
		{"the attempt's timeout", nil, second, failed(func(a *Attempt) { a.Err = context.DeadlineExceeded }), ""},
		{"the last attempt", nil, second, failed(func(a *Attempt) { a.Number = 4 }), ReasonMaxAttempts},
		{"the last but one", nil, second, failed(func(a *Attempt) { a.Number = 3 }), ""},
		{"one attempt only", nil, with(func(c *Config) { c.MaxAttempts = 1 }), failed(nil), ReasonMaxAttempts},
		{"without retry", WithoutRetry(t.Context()), second, failed(nil), ReasonMaxAttempts},
		{"without retry, final all the same", WithoutRetry(t.Context()), second, failed(func(a *Attempt) { a.Err = context.Canceled }), ReasonNotRetryable},
		{"a POST", nil, second, failed(func(a *Attempt) { a.Request = request("POST") }), ReasonMethodNotIdempotent},
		{"a body that is gone", nil, second, failed(func(a *Attempt) { a.Replayable = false }), ReasonBodyNotReplayable},
		{"a day to wait", nil, second, answered("GET", 503, "Retry-After", "86400"), ReasonRetryAfterTooLong},
		{"centuries to wait", nil, second, answered("GET", 503, "Retry-After", "10000000000"), ReasonRetryAfterTooLong},
		{"too late", nil, with(func(c *Config) { c.MaxElapsed = 10 * time.Second }), failed(func(a *Attempt) { a.Elapsed = 9*time.Second + 1 }), ReasonMaxElapsed},
		{"just in time", nil, with(func(c *Config) { c.MaxElapsed = 10 * time.Second }), failed(func(a *Attempt) { a.Elapsed = 9 * time.Second }), ""},
		{"no budget", nil, with(func(c *Config) { c.Budget = NewBudget(0, 0) }), failed(nil), ReasonBudgetExhausted},
		{"budget left", nil, with(func(c *Config) { c.Budget = NewBudget(0, 1) }), failed(nil), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			d := Must(c.cfg).Next(ctx, c.a)
			if d.Reason != c.want || d.Retry != (c.want == "") {
				t.Errorf("got %+v, want reason %q", d, c.want)
			}
			if d.Retry && d.Delay != time.Second || !d.Retry && d.Delay != 0 {
				t.Errorf("delay is %v", d.Delay)
			}
		})
	}
}

// One attempt that every check would stop: each is lifted in turn, and the next
// must show.
func TestReasonsAreLookedForInTheDocumentedOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{
			MaxAttempts:   1,
			Backoff:       Constant(time.Minute),
			MaxElapsed:    time.Second,
			MaxRetryAfter: time.Second,
			Budget:        NewBudget(0, 0),
			Classify:      func(Attempt) Verdict { return Transient },
		}
		a := answered("POST", 503, "Retry-After", "2")
		a.Replayable = false
		a.Err = final{errBoom}
		root := t.Context()
		dead, cancel := context.WithTimeout(root, -1)
		defer cancel()
		short, cancel := context.WithTimeout(root, time.Second)
		defer cancel()
		ctx := dead
		for _, step := range []struct {
			want Reason
			lift func()
		}{
			{ReasonDeadline, func() { ctx = short }},
			{ReasonNotRetryable, func() { a.Err = errBoom }},
			{ReasonMaxAttempts, func() { cfg.MaxAttempts = 9 }},
			{ReasonMethodNotIdempotent, func() { a.Request = request("GET") }},
			{ReasonBodyNotReplayable, func() { a.Replayable = true }},
			{ReasonRetryAfterTooLong, func() { cfg.MaxRetryAfter = time.Hour }},
			{ReasonMaxElapsed, func() { cfg.MaxElapsed = 0 }},
			{ReasonDeadline, func() { ctx = root }},
			{ReasonBudgetExhausted, func() { cfg.Budget = nil }},
			{"", func() {}},
		} {
			if d := Must(cfg).Next(ctx, a); d.Reason != step.want {
				t.Fatalf("got %q, want %q", d.Reason, step.want)
			}
			step.lift()
		}
	})
}

// final is how another layer declares its error final.
type final struct{ error }

func (final) Retryable() bool { return false }

func (e final) Unwrap() error { return e.error }

func TestAnErrorThatDeclaresItselfFinalIsNeverRetried(t *testing.T) {
	always := Must(Config{Classify: func(Attempt) Verdict { return Unprocessed }})
	for _, err := range []error{
		final{errBoom},
		errors.Join(io.EOF, final{errBoom}),
		&Error{Err: final{errBoom}},
	} {
		d := always.Next(t.Context(), failed(func(a *Attempt) { a.Err = err }))
		if d.Retry || d.Reason != ReasonNotRetryable || d.Verdict != Accept {
			t.Errorf("%v: %+v", err, d)
		}
	}
}

func TestNextAsksTheBackoffForTheRetryThatFollows(t *testing.T) {
	var retry int
	var previous time.Duration
	p := Must(Config{Backoff: BackoffFunc(func(r int, prev time.Duration) time.Duration {
		retry, previous = r, prev
		return time.Second
	})})
	p.Next(t.Context(), failed(func(a *Attempt) { a.Number, a.Previous = 3, 7*time.Second }))
	if retry != 3 || previous != 7*time.Second {
		t.Errorf("asked for retry %d after %v, want 3 after 7s", retry, previous)
	}
}

func TestNegativeBackoffIsNoDelay(t *testing.T) {
	p := Must(Config{Backoff: BackoffFunc(func(int, time.Duration) time.Duration { return math.MinInt64 })})
	if d := p.Next(t.Context(), failed(nil)); !d.Retry || d.Delay != 0 {
		t.Errorf("got %+v", d)
	}
}

func TestMaxRetryAfterIsInclusive(t *testing.T) {
	p := Must(Config{MaxRetryAfter: 30 * time.Second})
	if d := p.Next(t.Context(), answered("POST", 429, "Retry-After", "30")); !d.Retry {
		t.Errorf("30 s of 30 s: %+v", d)
	}
	if d := p.Next(t.Context(), answered("POST", 429, "Retry-After", "31")); d.Reason != ReasonRetryAfterTooLong {
		t.Errorf("31 s of 30 s: %+v", d)
	}
}

func TestDelayThatOutlivesTheDeadlineEndsTheCallAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for _, c := range []struct {
			delay time.Duration
			want  Reason
		}{
			{10*time.Second - 1, ""},
			{10 * time.Second, ReasonDeadline},
			{math.MaxInt64, ReasonDeadline},
		} {
			if d := Must(Config{Backoff: Constant(c.delay)}).Next(ctx, failed(nil)); d.Reason != c.want {
				t.Errorf("%v of 10s: %+v, want %q", c.delay, d, c.want)
			}
		}
	})
}

func TestDelayPastMaxElapsedDoesNotOverflow(t *testing.T) {
	p := Must(Config{Backoff: Constant(math.MaxInt64), MaxElapsed: math.MaxInt64})
	d := p.Next(t.Context(), failed(func(a *Attempt) { a.Elapsed = time.Second }))
	if d.Reason != ReasonMaxElapsed {
		t.Errorf("got %+v", d)
	}
}

func TestWaitSleepsForTheDelayUnlessTheContextEnds(t *testing.T) {
	for _, c := range []struct{ delay, end, took time.Duration }{
		{0, time.Second, 0},
		{time.Second, time.Minute, time.Second},
		{time.Minute, time.Second, time.Second},
		{time.Minute, 0, 0},
		{0, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), c.end)
			defer cancel()
			alive := Decision{Delay: c.delay}.Wait(ctx)
			if took := time.Since(began); took != c.took || alive != (c.took < c.end) {
				t.Errorf("%v under %v: alive %v after %v", c.delay, c.end, alive, took)
			}
		})
	}
}

func TestAcceptedAttemptCostsNoAllocation(t *testing.T) {
	p := Must(Config{Budget: NewBudget(0.1, 1)})
	ctx, a := t.Context(), answered("GET", 200)
	if n := testing.AllocsPerRun(1000, func() { p.For(ctx).Next(ctx, a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNextAccepted(b *testing.B) {
	p, ctx, a := Default(), b.Context(), answered("GET", 200)
	b.ReportAllocs()
	for b.Loop() {
		p.Next(ctx, a)
	}
}
