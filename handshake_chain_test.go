package pacedhttp_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// droppingListener hangs up on the first connections, during the handshake or after
// it when the request is there.
type droppingListener struct {
	net.Listener
	drop atomic.Int64
}

func (l *droppingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.drop.Add(-1) < 0 {
			return conn, err
		}
		// Read the ClientHello first: closing with unread bytes would be a reset.
		_, _ = conn.Read(make([]byte, 4096))
		_ = conn.Close()
	}
}

func TestPostIsRetriedAfterAnUnfinishedTLSHandshakeAndNotAfterALostAnswer(t *testing.T) {
	policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Millisecond)})
	serve := func(t *testing.T, handler http.HandlerFunc, drop int64) (*http.Client, string) {
		server := httptest.NewUnstartedServer(handler)
		listener := &droppingListener{Listener: server.Listener}
		listener.drop.Store(drop)
		server.Listener = listener
		server.StartTLS()
		t.Cleanup(server.Close)
		base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
		t.Cleanup(base.CloseIdleConnections)
		return pacedhttp.New(base, pacedhttp.Retry(policy)).Client(), server.URL
	}

	t.Run("handshake", func(t *testing.T) {
		var served atomic.Int64
		client, url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			served.Add(1)
			if body, err := io.ReadAll(r.Body); string(body) != "order" || err != nil {
				t.Errorf("server read %q, %v", body, err)
			}
		}, 2)
		resp, err := client.Post(url, "text/plain", strings.NewReader("order"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || served.Load() != 1 {
			t.Errorf("status %d after %d requests served, want 200 after 1", resp.StatusCode, served.Load())
		}
	})

	t.Run("answer", func(t *testing.T) {
		var served atomic.Int64
		client, url := serve(t, func(http.ResponseWriter, *http.Request) {
			served.Add(1)
			panic(http.ErrAbortHandler) // hangs up without an answer
		}, 0)
		_, err := client.Post(url, "text/plain", strings.NewReader("order"))
		if err == nil || isRetryError(err) || served.Load() != 1 {
			t.Errorf("%v after %d requests served, want an error after 1", err, served.Load())
		}
	})
}

// net/http may dial a connection for a request and then send it on another one that has
// become free.
func TestFailedHandshakeMattersOnlyToARequestWithoutAConnection(t *testing.T) {
	failed := func(trace *httptrace.ClientTrace) { trace.TLSHandshakeDone(tls.ConnectionState{}, io.EOF) }
	shook := func(trace *httptrace.ClientTrace) { trace.TLSHandshakeDone(tls.ConnectionState{}, nil) }
	connected := func(trace *httptrace.ClientTrace) { trace.GotConn(httptrace.GotConnInfo{}) }
	for name, tc := range map[string]struct {
		events []func(*httptrace.ClientTrace)
		sends  int
	}{
		"failed":                    {[]func(*httptrace.ClientTrace){failed}, 2},
		"failed, then connected":    {[]func(*httptrace.ClientTrace){failed, connected}, 1},
		"connected, another failed": {[]func(*httptrace.ClientTrace){connected, failed}, 1},
		"done, then connected":      {[]func(*httptrace.ClientTrace){shook, connected}, 1},
		"done":                      {[]func(*httptrace.ClientTrace){shook}, 1},
		"none":                      {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
				for _, event := range tc.events {
					event(httptrace.ContextClientTrace(req.Context()))
				}
				return nil, io.EOF
			}}, step{})
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{})))
			rt.RoundTrip(newRequestTo(t, "POST", "https://api.test/", nil))
			if n := base.calls(); n != tc.sends {
				t.Errorf("sent %d times, want %d", n, tc.sends)
			}
		})
	}
}
