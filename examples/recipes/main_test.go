package recipes_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(hedger)) }

// hedger is a goroutine of hedgedhttp that waits ten seconds for more work.
const hedger = "github.com/cristalhq/hedgedhttp.runInPool.func1"

// A service is a base transport that answers from within the test: so a test runs in virtual time.
type service struct {
	answer func(n int, req *http.Request) *http.Response // n counts from 1

	mu    sync.Mutex
	began time.Time
	seen  []time.Duration // when requests came, since the first
}

func (s *service) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	if s.seen == nil {
		s.began = time.Now()
	}
	s.seen = append(s.seen, time.Since(s.began))
	n := len(s.seen)
	s.mu.Unlock()
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	resp := s.answer(n, req)
	resp.Request = req
	return resp, nil
}

// respond makes a response with headers, given as names and values in turn.
func respond(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: h,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// get fails the test unless the answer has a status.
func get(t *testing.T, client *http.Client, url string, status int) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, resp, status)
}

func read(t *testing.T, resp *http.Response, status int) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != status {
		t.Fatalf("status %d, %v, want %d", resp.StatusCode, err, status)
	}
	return string(body)
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
