package retrypolicy

import (
	"net/http"
	"testing"
)

func TestOnlyIdempotentRequestsAreRetriedAfterATransientFailure(t *testing.T) {
	p := Must(Config{Backoff: Constant(0)})
	key := func(name string, values ...string) *http.Request {
		r := request("POST")
		r.Header[name] = values
		return r
	}
	for _, c := range []struct {
		req  *http.Request
		want bool
	}{
		{request("GET"), true}, {request("HEAD"), true}, {request("OPTIONS"), true}, {request("TRACE"), true},
		{request("PUT"), true}, {request("DELETE"), true}, {request("QUERY"), true},
		{&http.Request{}, true}, // net/http sends an empty method as GET
		{nil, true},             // under Do
		{request("POST"), false}, {request("PATCH"), false}, {request("CONNECT"), false}, {request("get"), false}, {request("LOCK"), false},
		{key("Idempotency-Key", "7f3a"), true}, {key("X-Idempotency-Key", "7f3a"), true},
		{key("Idempotency-Key"), true}, // not sent, but says so: net/http's convention
		{key("Idempotency", "7f3a"), false},
	} {
		d := p.Next(t.Context(), failed(func(a *Attempt) { a.Request = c.req }))
		if d.Retry != c.want {
			t.Errorf("%+v: %+v, want retry %v", c.req, d, c.want)
		}
	}
}

func TestVerdictDecidesWhichMethodsAreRetried(t *testing.T) {
	for _, c := range []struct {
		name      string
		verdict   Verdict
		status    int
		get, post bool
	}{
		{"transient error", Transient, 0, true, false},
		{"transient answer", Transient, 502, true, false},
		{"unprocessed error", Unprocessed, 0, true, true},
		{"unprocessed answer", Unprocessed, 503, true, true},
		{"throttled error", Throttled, 0, true, true},
		{"throttled 429", Throttled, 429, true, true},
		{"throttled 403", Throttled, 403, true, true},
		{"throttled 529", Throttled, 529, true, true},
		{"throttled 503", Throttled, 503, true, false},
		{"a verdict of the future", Verdict(9), 500, true, false},
	} {
		p := Must(Config{Backoff: Constant(0), Classify: func(Attempt) Verdict { return c.verdict }})
		for method, want := range map[string]bool{"GET": c.get, "POST": c.post} {
			a := Attempt{Number: 1, Request: request(method), Replayable: true}
			if c.status == 0 {
				a.Err = errBoom
			} else {
				a.Response = response(c.status)
			}
			if d := p.Next(t.Context(), a); d.Retry != want || d.Verdict != c.verdict {
				t.Errorf("%s, %s: %+v, want retry %v", c.name, method, d, want)
			}
		}
	}
}

// What a server has refused with 503 may have reached its backend, unless it says itself that
// the request is to be made again.
func TestShouldRetryMakesA503SafeForEveryMethod(t *testing.T) {
	p := Must(Config{Backoff: Constant(0)})
	for _, header := range [][]string{{"X-Should-Retry", "true"}, {"X-Should-Retry", "true", "Retry-After", "3"}} {
		if d := p.Next(t.Context(), answered("POST", 503, header...)); !d.Retry {
			t.Errorf("%v: %+v", header, d)
		}
	}
	if d := p.Next(t.Context(), answered("POST", 503, "Retry-After", "3")); d.Reason != ReasonMethodNotIdempotent {
		t.Errorf("without the header: %+v", d)
	}
}

func TestConditionalWriteIsNotSentAgainOnceItMayHaveBeenProcessed(t *testing.T) {
	p := Must(Config{Backoff: Constant(0), ThrottleBackoff: Constant(0)})
	reads := map[string]bool{"": true, "GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "QUERY": true}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"} {
		for _, method := range []string{"", "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PUT", "DELETE", "POST", "PATCH"} {
			req := request("GET", name, "*", "Idempotency-Key", "k") // a key does not help
			req.Method = method
			for attempt, c := range map[string]struct {
				a         Attempt
				processed bool
			}{
				"a lost connection":    {Attempt{Err: errBoom}, true},
				"502":                  {Attempt{Response: response(502)}, true},
				"503 that throttles":   {Attempt{Response: response(503, "Retry-After", "1")}, true},
				"a refused connection": {Attempt{Err: unprocessed{errBoom}}, false},
				"429":                  {Attempt{Response: response(429)}, false},
			} {
				c.a.Number, c.a.Request, c.a.Replayable = 1, req, true
				want := Reason("")
				if c.processed && !reads[method] {
					want = ReasonMethodNotIdempotent
				}
				if d := p.Next(t.Context(), c.a); d.Reason != want {
					t.Errorf("%s with %s, %s: %+v, want reason %q", method, name, attempt, d, want)
				}
			}
		}
	}
	unsent := request("PUT")
	unsent.Header["If-Match"] = nil
	if !Idempotent(unsent) {
		t.Error("a header without a value is not sent, so it is no precondition")
	}
}

type unprocessed struct{ error }

func (unprocessed) Unprocessed() bool { return true }
