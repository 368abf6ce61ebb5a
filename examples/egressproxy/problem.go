package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A problem is an answer of the proxy's own (RFC 9457): no upstream said it.
type problem struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail,omitempty"`
	Upstream   string `json:"upstream,omitempty"`
	RetryAfter int    `json:"retry_after,omitempty"` // seconds, as in the header; 0 = asking again is no use
}

// kinds are all problems by the last part of their type. README.md says more of each.
var kinds = map[string]problem{
	"no-upstream":       {Title: "No upstream is configured for this", Status: http.StatusNotFound},
	"no-tunnel":         {Title: "CONNECT is not allowed: this is no open proxy", Status: http.StatusMethodNotAllowed},
	"bad-request":       {Title: "The request cannot be forwarded", Status: http.StatusBadRequest},
	"slow-body":         {Title: "The request's body did not come in time", Status: http.StatusRequestTimeout},
	"too-costly":        {Title: "The request costs more than a limit ever allows", Status: http.StatusUnprocessableEntity},
	"queue-full":        {Title: "Too many requests wait already", Status: http.StatusTooManyRequests},
	"max-wait":          {Title: "The wait for a slot would be too long", Status: http.StatusTooManyRequests},
	"paused":            {Title: "The upstream asked for a pause", Status: http.StatusTooManyRequests},
	"unreachable":       {Title: "The upstream cannot be reached", Status: http.StatusBadGateway},
	"down":              {Title: "The upstream is down", Status: http.StatusServiceUnavailable},
	"quota-unavailable": {Title: "The shared quota cannot be asked", Status: http.StatusServiceUnavailable},
	"shutting-down":     {Title: "The proxy is shutting down", Status: http.StatusServiceUnavailable},
	"deadline":          {Title: "No slot comes before the request's deadline", Status: http.StatusGatewayTimeout},
	"upstream-timeout":  {Title: "The upstream did not answer in time", Status: http.StatusGatewayTimeout},
}

const problemTypes = "https://github.com/pacedhttp/pacedhttp/blob/main/examples/egressproxy/README.md#"

func newProblem(kind, detail string) problem {
	p := kinds[kind]
	p.Type, p.Detail = problemTypes+kind, detail
	return p
}

// failure returns the problem of a request that ended with err. A client that has gone hears
// nothing of it.
func failure(err error, client context.Context) problem {
	detail := retrypolicy.ErrorText(err) // no query, credentials or header values
	kind := "unreachable"
	switch {
	case client.Err() == context.Canceled: // by the end of the process, or nobody is left
		kind, detail = "shutting-down", ""
	case errors.Is(err, pacer.ErrQueueFull):
		kind = "queue-full"
	case errors.Is(err, pacer.ErrMaxWait):
		kind = "max-wait"
	case errors.Is(err, pacer.ErrPaused):
		kind = "paused"
	case errors.Is(err, pacer.ErrDown):
		kind = "down"
	case errors.Is(err, pacer.ErrTooCostly):
		kind = "too-costly"
	case errors.Is(err, pacer.ErrDeadline):
		kind = "deadline"
	case errors.Is(err, redispacer.ErrUnavailable):
		kind = "quota-unavailable"
	case timedOut(err):
		kind = "upstream-timeout"
	}
	return newProblem(kind, detail)
}

func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}

// after makes p say when to ask again: what the pacer that refused predicted or, where none did, the
// time until a request that came now would start.
func (p *problem) after(err error, predicted time.Time) {
	wait := time.Until(predicted)
	if refusal, ok := errors.AsType[interface {
		error
		Wait() time.Duration
	}](err); ok {
		wait = refusal.Wait()
	}
	p.RetryAfter = seconds(wait)
}

// seconds are those of a Retry-After: whole, not too few, and at least one (RFC 9110 §10.2.3).
func seconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// write answers with p.
func (p problem) write(w http.ResponseWriter) {
	body, _ := json.Marshal(p) // of texts and numbers alone
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // net/http leaves it out for HEAD
}
