package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// An answer is what a server says to one request.
type answer struct {
	status int
	after  time.Duration
	header http.Header
}

// A script is what a server answers, by path; once it has come to its end, and for other paths, requests succeed.
type script map[string][]answer

func primaryScript() script {
	unavailable := answer{status: http.StatusServiceUnavailable, after: 15 * time.Millisecond}
	throttled := answer{status: http.StatusTooManyRequests, header: http.Header{"Retry-After-Ms": {"250"}}}
	return script{
		"/flaky":     {unavailable, unavailable},
		"/throttled": {throttled},
		"/down":      {unavailable, unavailable, unavailable},
	}
}

// A server answers by its script, in spans that are children of the attempts: the trace context came with the request.
type server struct {
	tracer trace.Tracer
	mu     sync.Mutex
	script script
}

func startServer(tel *telemetry, name string, s script) *httptest.Server {
	return httptest.NewServer(&server{tracer: tel.tracers.Tracer(name), script: s})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	_, span := s.tracer.Start(ctx, "serve "+r.URL.Path, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()

	a := s.next(r.URL.Path)
	time.Sleep(a.after)
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, http.StatusText(a.status))
}

func (s *server) next(path string) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.script[path]; len(left) > 0 {
		s.script[path] = left[1:]
		return left[0]
	}
	return answer{status: http.StatusOK, after: 10 * time.Millisecond}
}
