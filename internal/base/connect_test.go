package base_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pacedhttp/pacedhttp/internal/base"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// proxy answers every CONNECT with a status line.
func proxy(t *testing.T, scheme, statusLine string) (*url.URL, *x509.CertPool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, roots := l.Addr().String(), x509.NewCertPool()
	if scheme == "https" {
		s := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(s.Close)
		roots.AddCert(s.Certificate())
		l = tls.NewListener(l, &tls.Config{Certificates: s.TLS.Certificates})
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err != nil || req.Method != "CONNECT" {
				t.Errorf("the proxy was sent %v, %v", req, err)
			}
			io.WriteString(conn, statusLine+"\r\n\r\n")
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); done.Wait() })
	return &url.URL{Scheme: scheme, Host: address}, roots
}

func TestRefusedConnect(t *testing.T) {
	long := strings.Repeat("ä", 40)
	for _, tc := range []struct {
		line   string
		text   string
		status int
		want   retrypolicy.Reason // empty: retried, whatever the method
	}{
		{"HTTP/1.1 407 Proxy Authentication Required", `407 "Proxy Authentication Required"`, 407, retrypolicy.ReasonNotRetryable},
		{"HTTP/1.1 407 who are you?", `407 "who are you?"`, 407, retrypolicy.ReasonNotRetryable},
		{"HTTP/1.1 407", `407 ""`, 407, retrypolicy.ReasonNotRetryable},
		{"HTTP/1.1 403 Forbidden", `403 "Forbidden"`, 403, retrypolicy.ReasonNotRetryable},
		{"HTTP/1.1 503 Service Unavailable", `503 "Service Unavailable"`, 503, ""},
		{"HTTP/1.1 503 Proxy Authentication Required", `503 "Proxy Authentication Required"`, 503, ""},
		{"HTTP/1.0 502 Bad\tGateway \"\x1b[31m\"", `502 "Bad\tGateway \"\x1b[31m\""`, 502, ""},
		{"HTTP/1.1 502 " + long, `502 "` + long[:64] + `"`, 502, ""},
		{"HTTP/1.1 502 x" + long, `502 "x` + long[:62] + `"`, 502, ""},
		{"HTTP/1.1 204 No Content", `204 "No Content"`, 204, ""},
		{"HTTP/1.1 302 Found", `302 "Found"`, 302, ""},
	} {
		for _, scheme := range []string{"http", "https"} {
			for _, method := range []string{"GET", "POST"} {
				t.Run(fmt.Sprintf("%s/%s/%q", scheme, method, tc.line), func(t *testing.T) {
					u, roots := proxy(t, scheme, tc.line)
					tr := base.New()
					tr.Proxy = http.ProxyURL(u)
					tr.TLSClientConfig = &tls.Config{RootCAs: roots}
					req, err := http.NewRequestWithContext(t.Context(), method, "https://service.test/", strings.NewReader("order"))
					if err != nil {
						t.Fatal(err)
					}
					resp, err := tr.RoundTrip(req)
					if err == nil {
						resp.Body.Close()
						t.Fatal("no error")
					}
					e, ok := errors.AsType[*base.ConnectError](err)
					if want := "pacedhttp: proxy refused CONNECT: " + tc.text; !ok || e.Status != tc.status || err.Error() != want {
						t.Errorf("%T of status %d, %v\nwant %s", err, e.Status, err, want)
					}
					d := retrypolicy.Must(retrypolicy.Config{}).Next(req.Context(), retrypolicy.Attempt{Number: 1, Request: req, Err: err, Replayable: true})
					if d.Reason != tc.want || d.Retry != (tc.want == "") {
						t.Errorf("decision %+v, want reason %q", d, tc.want)
					}
				})
			}
		}
	}
}

func TestAcceptedConnectIsNoRefusal(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		conn.Close() // in the handshake with the service
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := base.New()
	tr.Proxy = http.ProxyURL(u)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://service.test/", nil)
	_, err = tr.RoundTrip(req)
	if _, ok := errors.AsType[*base.ConnectError](err); ok || err == nil {
		t.Errorf("%v, want the handshake's error", err)
	}
}
