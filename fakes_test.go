package pacedhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A step is what a script does with one request. The zero step answers 200 with an
// empty body.
type step struct {
	status int           // 200 if zero
	header http.Header   // copied
	body   string        // with a ContentLength, unless stream is set
	stream io.ReadCloser // the body, of unknown length
	err    error         // instead of a response
	delay  time.Duration // before the answer; the request's context ends it
	unread bool          // the request's body is closed without a read

	// answer replaces all of the above, the duty to close the request's body included.
	answer func(*http.Request) (*http.Response, error)
}

// A sentRequest is what a script got.
type sentRequest struct {
	*http.Request
	at      time.Time
	body    string // what was read of it
	bodyErr error  // how reading it ended, nil for io.EOF
}

// A script is a base RoundTripper that answers each request with the next of its
// steps and, when they are used up, with the last. Like every RoundTripper it closes
// the request's body. It is safe for concurrent use.
type script struct {
	mu     sync.Mutex
	steps  []step
	sent   []sentRequest
	bodies []*trackedBody // of the responses
}

func newScript(steps ...step) *script {
	if len(steps) == 0 {
		steps = []step{{}}
	}
	return &script{steps: steps}
}

// calls returns how many requests were sent.
func (s *script) calls() int { return len(s.requests()) }

// requests returns what was sent so far.
func (s *script) requests() []sentRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sentRequest(nil), s.sent...)
}

// times returns when each request was sent, counted from began.
func (s *script) times(began time.Time) []time.Duration {
	var at []time.Duration
	for _, r := range s.requests() {
		at = append(at, r.at.Sub(began))
	}
	return at
}

// responseBodies returns the bodies of the responses so far.
func (s *script) responseBodies() []*trackedBody {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*trackedBody(nil), s.bodies...)
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	n := len(s.sent)
	do := s.steps[min(n, len(s.steps)-1)]
	s.sent = append(s.sent, sentRequest{Request: req, at: time.Now()})
	s.mu.Unlock()
	if do.answer != nil {
		return do.answer(req)
	}

	if req.Body != nil {
		var body []byte
		var err error
		if !do.unread {
			body, err = io.ReadAll(req.Body)
		}
		req.Body.Close()
		s.mu.Lock()
		s.sent[n].body, s.sent[n].bodyErr = string(body), err
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	if do.delay > 0 {
		timer := time.NewTimer(do.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
	}
	if do.err != nil {
		return nil, do.err
	}
	return s.respond(req, do), nil
}

func (s *script) respond(req *http.Request, do step) *http.Response {
	resp := &http.Response{
		StatusCode:    do.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        do.header.Clone(),
		ContentLength: int64(len(do.body)),
		Request:       req,
	}
	if resp.StatusCode == 0 {
		resp.StatusCode = http.StatusOK
	}
	resp.Status = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	body := track(io.NopCloser(strings.NewReader(do.body)))
	if do.stream != nil {
		body, resp.ContentLength = track(do.stream), -1
	}
	resp.Body = body
	s.mu.Lock()
	s.bodies = append(s.bodies, body)
	s.mu.Unlock()
	return resp
}

// A trackedBody is a body that knows how it was treated.
type trackedBody struct {
	body   io.ReadCloser
	reads  atomic.Int64
	closes atomic.Int64
	late   atomic.Int64 // reads begun after Close
}

func track(body io.ReadCloser) *trackedBody { return &trackedBody{body: body} }

// trackString returns a trackedBody over s that net/http knows nothing about: it has
// neither a known length nor a GetBody.
func trackString(s string) *trackedBody { return track(io.NopCloser(strings.NewReader(s))) }

func (b *trackedBody) Read(p []byte) (int, error) {
	b.reads.Add(1)
	if b.closes.Load() > 0 {
		b.late.Add(1)
		return 0, http.ErrBodyReadAfterClose
	}
	return b.body.Read(p)
}

func (b *trackedBody) Close() error {
	b.closes.Add(1)
	return b.body.Close()
}

// wantOneClose fails t unless b was closed exactly once. It is for HTTP/2, which
// closes a body without asking whether its sender is about to read it.
func (b *trackedBody) wantOneClose(t *testing.T) {
	t.Helper()
	if n := b.closes.Load(); n != 1 {
		t.Errorf("body was closed %d times, want once", n)
	}
}

// wantClosedOnce fails t unless b was closed exactly once and not read after that.
func (b *trackedBody) wantClosedOnce(t *testing.T) {
	t.Helper()
	b.wantOneClose(t)
	if n := b.late.Load(); n != 0 {
		t.Errorf("body was read %d times after Close", n)
	}
}

// newRequest returns a request to a host that no test reaches. A nil body is none.
func newRequest(t testing.TB, method string, body io.Reader) *http.Request {
	t.Helper()
	return newRequestTo(t, method, "http://api.test/", body)
}

func newRequestTo(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// readAll returns all of a response's body, which it closes.
func readAll(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("reading the response after %d bytes: %v", len(b), err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Errorf("closing the response: %v", err)
	}
	return string(b)
}

// quick returns the policy of cfg without any delay between attempts.
func quick(cfg retrypolicy.Config) *retrypolicy.Policy {
	cfg.Backoff, cfg.ThrottleBackoff = retrypolicy.Constant(0), retrypolicy.Constant(0)
	return retrypolicy.Must(cfg)
}
