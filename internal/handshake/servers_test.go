package handshake_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pacedhttp/pacedhttp/internal/handshake"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// serve starts a TLS server on loopback.
func serve(t *testing.T, cfg *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.TLS = cfg
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// pool is what trusts every server of net/http/httptest.
func pool(s *httptest.Server) *x509.CertPool {
	return s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}

// tunnel is a proxy that connects.
func tunnel(t *testing.T, scheme string) *url.URL {
	t.Helper()
	var cfg *tls.Config
	if scheme == "https" {
		cfg = serve(t, nil, http.NotFound).TLS
	}
	return parse(t, scheme+"://"+listen(t, func(conn net.Conn) {
		if cfg != nil {
			conn = tls.Server(conn, cfg)
		}
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return // the client refused the proxy
		}
		there, err := net.Dial("tcp", req.Host)
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		var back sync.WaitGroup
		back.Go(func() {
			io.Copy(conn, there)
			conn.Close()
		})
		io.Copy(there, conn)
		there.Close()
		back.Wait()
	}))
}

// refusing is a proxy that answers CONNECT with a status line of its own.
func refusing(t *testing.T, statusLine string) *url.URL {
	t.Helper()
	return parse(t, "http://"+listen(t, func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		io.WriteString(conn, statusLine+"\r\n\r\n")
	}))
}

// listen serves every connection with handle, each in a goroutine of its own.
func listen(t *testing.T, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); done.Wait() })
	return l.Addr().String()
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// send makes one watched request that must fail, and returns its error as it was
// and as it was explained.
func send(t *testing.T, rt http.RoundTripper, req *http.Request) (err, explained error) {
	t.Helper()
	if tr, ok := rt.(*http.Transport); ok {
		t.Cleanup(tr.CloseIdleConnections)
	}
	ctx, watch := handshake.New(req.Context(), req)
	resp, err := rt.RoundTrip(req.WithContext(ctx))
	if err == nil {
		resp.Body.Close()
		t.Fatalf("%s %s: %s, want an error", req.Method, req.URL, resp.Status)
	}
	return err, watch.Explain(err)
}

func request(t *testing.T, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("order"))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// outcome is what the default policy makes of err: "unprocessed", the name of any
// other verdict, or "final" where a layer said so.
func outcome(req *http.Request, err error) string {
	a := retrypolicy.Attempt{Number: 1, Request: req, Err: err, Replayable: true}
	if e, ok := err.(interface{ Retryable() bool }); ok && !e.Retryable() {
		if d := retrypolicy.Must(retrypolicy.Config{}).Next(req.Context(), a); d.Retry || d.Reason != retrypolicy.ReasonNotRetryable {
			return "declared final, but not heeded"
		}
		return "final"
	}
	return retrypolicy.DefaultClassifier(a).String()
}
