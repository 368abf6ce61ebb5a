package pacedhttp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A countedConn counts its writes.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// countWrites returns a transport like base that counts what it writes.
func countWrites(base *http.Transport) (*http.Transport, *atomic.Int64) {
	counted, writes := base.Clone(), new(atomic.Int64)
	counted.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return countedConn{conn, writes}, err
	}
	return counted, writes
}

func TestHeadAndBodyFromMemoryLeaveInOneWrite(t *testing.T) {
	_, url := serveProto(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-Fail") != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	retrying := everyChain()
	retrying["Retry, with a buffer"] = []pacedhttp.Middleware{pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 3, ReplayBuffer: kib, AttemptTimeout: time.Minute}))}
	for kind, body := range map[string]func() io.Reader{
		"bytes.Reader":   func() io.Reader { return bytes.NewReader([]byte("order")) },
		"bytes.Buffer":   func() io.Reader { return bytes.NewBufferString("order") },
		"strings.Reader": func() io.Reader { return strings.NewReader("order") },
	} {
		for chain, mw := range retrying {
			for _, fails := range []string{"", "yes"} {
				t.Run(kind+"/"+chain+"/"+fails, func(t *testing.T) {
					base, writes := countWrites(&http.Transport{})
					defer base.CloseIdleConnections()
					req := newRequestTo(t, "PUT", url, body())
					if fails != "" {
						req.Header.Set("X-Fail", fails)
					}
					attempts := int64(1)
					if fails != "" && chain == "Retry, with a buffer" {
						attempts = 3
					}
					if _, _, err := send(t, pacedhttp.New(base, mw...), req); err != nil {
						t.Fatal(err)
					}
					if n := writes.Load(); n != attempts {
						t.Errorf("%d writes for %d attempts", n, attempts)
					}
				})
			}
		}
	}
}

// Whoever hands out the same reader again must not have it read by two attempts.
func TestBodyInMemoryIsWatchedWhereItsAttemptsWouldShareIt(t *testing.T) {
	for name, change := range map[string]func(*http.Request, *strings.Reader){
		"GetBody seeks back": func(req *http.Request, r *strings.Reader) {
			req.GetBody = func() (io.ReadCloser, error) {
				r.Seek(0, io.SeekStart)
				return io.NopCloser(r), nil
			}
		},
		"its length is another": func(req *http.Request, _ *strings.Reader) { req.ContentLength = 4 },
		"GetBody is missing":    func(req *http.Request, _ *strings.Reader) { req.GetBody = nil },
		"GetBody gives a file": func(req *http.Request, _ *strings.Reader) {
			req.GetBody = func() (io.ReadCloser, error) { return trackString("order"), nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := strings.NewReader("order")
			req := newRequest(t, "PUT", r)
			req.Body = io.NopCloser(r)
			change(req, r)
			var sent io.Reader
			base := newScript(step{answer: func(out *http.Request) (*http.Response, error) {
				sent = out.Body
				out.Body.Close()
				return &http.Response{StatusCode: 200}, nil
			}})
			if _, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(nil)), req); err != nil {
				t.Fatal(err)
			}
			if sent == io.Reader(req.Body) {
				t.Error("it passed through as it was")
			}
		})
	}
}

func TestBodyInMemoryPassesThroughAsItIs(t *testing.T) {
	req := newRequest(t, "PUT", strings.NewReader("order"))
	var sent []io.ReadCloser
	base := newScript(step{answer: func(out *http.Request) (*http.Response, error) {
		sent = append(sent, out.Body)
		if b, err := io.ReadAll(out.Body); string(b) != "order" || err != nil {
			t.Errorf("attempt %d sent %q, %v", len(sent), b, err)
		}
		return &http.Response{StatusCode: 503}, nil
	}})
	send(t, pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 3}))), req)
	if len(sent) != 3 || sent[0] != req.Body || sent[1] == req.Body || sent[2] == sent[1] {
		t.Errorf("the attempts sent %v", sent)
	}
}

func TestCopyOfTheWrongLengthIsNotSent(t *testing.T) {
	for _, stale := range []string{"an order", "or", ""} {
		req := newRequest(t, "PUT", strings.NewReader("order"))
		calls := 0
		req.GetBody = func() (io.ReadCloser, error) {
			if calls++; calls == 1 { // which New looks at
				return io.NopCloser(strings.NewReader("order")), nil
			}
			return io.NopCloser(strings.NewReader(stale)), nil
		}
		base := newScript(step{status: 503})
		_, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 5}))), req)
		if base.calls() != 2 || err == nil || !strings.Contains(err.Error(), "ContentLength") {
			t.Errorf("%q: %v after %d sends", stale, err, base.calls())
		}
	}
}

func TestDeliveredResponseKeepsNoReplayBuffer(t *testing.T) {
	const size, calls = 1 << 20, 32
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.(http.Flusher).Flush()
				<-r.Context().Done() // the response stays open
			})
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: size})))
			var open []*http.Response
			before := heap()
			for range calls {
				resp, err := rt.RoundTrip(newRequestTo(t, "PUT", url, io.LimitReader(zeros{}, size)))
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, resp)
			}
			if grown := heap() - before; grown > calls*size/4 {
				t.Errorf("%d open responses keep %d KiB each", calls, grown/calls/1024)
			}
			for _, resp := range open {
				resp.Body.Close()
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
