package otelpacedhttp

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

type callTransport struct {
	tel      *Instrumentation
	next     http.RoundTripper
	observed http.RoundTripper // next, its events told to the call in their context
}

func (t *callTransport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	// A call within another one, by a fallback say, is observed already: by events that
	// look for the innermost call. Observed again, it would count everything twice.
	next := t.observed
	if callFrom(req.Context()) != nil {
		next = t.next
	}
	c := t.tel.beginCall(req)
	defer func() { c.end(req, resp, err) }() // a panic below too
	out := req.WithContext(c)
	resp, err = next.RoundTrip(out)
	return withRequest(resp, out), err
}

func (t *callTransport) CloseIdleConnections() { closeIdle(t.next) }

// A call is one RoundTrip of a Call layer, and the context of what happens below.
type call struct {
	context.Context // with the call's span, if there is one
	tel             *Instrumentation
	span            trace.Span
	server          *server
	method          string
	hops            int                   // sends before the redirection that this call is
	above           pacedhttp.AttemptInfo // of the attempt that this call is part of, if it is
	began           time.Time

	// A fallback, or a layer that hedges, may use the context in several goroutines.
	mu         sync.Mutex
	sent       tally
	begun      tally
	underWay   []int         // attempts of Retry layers, by their numbers
	one        [1]int        // nearly always enough for them
	unsent     map[int]int   // how many retries have begun and not been sent, by the attempt's number
	waits      int           // for slots
	waited     time.Duration // in them
	fellBack   bool          // a shared pacer's fallback ended one of them
	slots      slots
	queued     int     // counted as queued, and not yet as gone
	queue      *server // that the last of them waited for
	refusal    string  // why the last slot was refused; "" once there was another
	backoffs   int
	delayed    time.Duration // in them
	backoffEnd time.Time     // of the last
	reason     string
	fallback   bool
}

// A tally counts sends, and how many of them began a retry.
type tally struct{ sends, retries int }

// counted returns what Attempt layers sent or, where none did, what Retry layers began:
// otherwise instrumented attempts show no better.
func (c *call) counted() tally {
	if c.sent.sends > 0 {
		return c.sent
	}
	return c.begun
}

type callKey struct{}

func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func (i *Instrumentation) beginCall(req *http.Request) *call {
	c := &call{
		Context: req.Context(),
		tel:     i,
		span:    noop.Span{},
		server:  i.servers.get(originOf(req)),
		hops:    hopsBefore(req),
		began:   time.Now(),
	}
	c.method, _ = i.methods.of(req)
	c.above, _ = pacedhttp.AttemptFromContext(req.Context())
	if !i.cfg.withoutCallSpan {
		c.Context, c.span = i.tracing.start(c.Context, "pacedhttp.call", c.server.span...)
	}
	return c
}

// end records what the caller gets.
func (c *call) end(req *http.Request, resp *http.Response, err error) {
	defer c.span.End()
	c.emptyQueue()
	m := &c.tel.metrics
	recording := c.span.IsRecording()
	if !recording && !m.callDuration.Enabled(c) && !m.callRetries.Enabled(c) && !m.callRetryDelay.Enabled(c) {
		return
	}
	now := time.Now()
	o := outcomeOf(req, resp, err)

	c.mu.Lock()
	defer c.mu.Unlock()
	if rest := c.backoffEnd.Sub(now); rest > 0 { // the call ended before its backoff
		c.delayed -= rest
	}
	if err != nil && o.errorType != "" {
		o.errorType = c.errorType(req, o.errorType)
	}
	about := labels{origin: c.server.origin, method: c.method}
	if n := c.counted().retries; n > 0 {
		m.count(c, m.callRetries, n, about)
	}
	if c.backoffs > 0 {
		m.seconds(c, m.callRetryDelay, c.delayed, about)
	}
	about.errorType, about.fallback = o.errorType, c.fallback
	m.seconds(c, m.callDuration, now.Sub(c.began), about)
	if recording {
		c.span.SetAttributes(c.attributes(o)...)
		o.mark(c.span, req)
	}
}

// errorType returns why a Retry layer gave the call up, where one did: the error of a single
// attempt, which the caller gets as it was, does not tell. It needs c.mu.
func (c *call) errorType(req *http.Request, of string) string {
	switch {
	case c.reason == "" || c.refusal != "":
		return of
	case expired(req.Context()):
		return string(retrypolicy.ReasonDeadline) // also where the policy looked just before
	default:
		return c.reason
	}
}

// emptyQueue counts as gone who never told so: a Waiter may panic.
func (c *call) emptyQueue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued > 0 {
		c.tel.metrics.queued.Add(c, -int64(c.queued), c.queue.queue.add...)
		c.queued = 0
	}
}

func (c *call) attributes(o outcome) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 3)
	if n := c.counted().sends; n > 0 {
		attrs = append(attrs, keyAttempts.Int(n))
	}
	if c.waits > 0 {
		attrs = append(attrs, keyPacingWait.Float64(c.waited.Seconds()))
	}
	if c.fellBack {
		attrs = append(attrs, keyPacingFallback.Bool(true))
	}
	if c.backoffs > 0 {
		attrs = append(attrs, keyRetryDelay.Float64(c.delayed.Seconds()))
	}
	if c.reason != "" {
		attrs = append(attrs, keyReason.String(c.reason))
	}
	if c.fallback {
		attrs = append(attrs, keyFallbackUsed.Bool(true))
	}
	if o.errorType != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(o.errorType))
	}
	return attrs
}

// send counts a send that an Attempt layer is about to make, for an attempt of a Retry
// layer if retried: a retry is counted once, however often it is sent, and only then. send
// returns the resend count and the slot.
func (c *call) send(info pacedhttp.AttemptInfo, retried bool) (resends int, used slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	resends = c.hops + c.sent.sends
	c.sent.sends++
	if c.unsent[info.Number] > 0 {
		c.unsent[info.Number]--
		c.sent.retries++
	}
	used = c.slots.take(info.Number)
	if retried && info != c.above { // then the attempt knows, whatever else was sent meanwhile
		used.paced, used.waited = c.waits > 0, info.PacedFor
	}
	return resends, used
}

// resends returns the resend count of the attempt under way if a Retry layer began it and
// no Attempt layer sent it, else of the next send.
func (c *call) resends(retried bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.hops + c.counted().sends
	if retried && c.sent.sends == 0 && c.begun.sends > 0 {
		n--
	}
	return n
}

// hopsAfter returns the sends before a redirection that came of the call. Where nothing
// counts them there was one, unless a fallback made the response up.
func (c *call) hopsAfter() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.counted().sends
	if n == 0 && !c.fallback {
		n = 1
	}
	return c.hops + n
}
