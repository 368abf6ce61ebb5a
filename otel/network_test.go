package otelpacedhttp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/pacedhttp/pacedhttp"
)

func TestServerIsTheOneTheCallerMeans(t *testing.T) {
	for _, tt := range []struct {
		url, host, address string
		port               int64
	}{
		{"http://example.com/", "", "example.com", 80},
		{"https://example.com/", "", "example.com", 443},
		{"http://example.com:8080/", "", "example.com", 8080},
		{"http://10.0.0.1:8080/", "api.example.com", "api.example.com", 80},
		{"https://10.0.0.1/", "api.example.com:9443", "api.example.com", 9443},
		{"http://[::1]:8080/", "", "::1", 8080},
		{"https://[2001:db8::1]/", "", "2001:db8::1", 443},
		{"http://example.com:/", "", "example.com", 80},
		{"unix://socket/", "", "socket", 0},
	} {
		t.Run(tt.url+" "+tt.host, func(t *testing.T) {
			rec := record(t)
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			rt := pacedhttp.New(answering(200), rec.Call, rec.Attempt)
			// As http.Client makes redirect hops: Host is empty unless it differs.
			if _, err := rt.RoundTrip(&http.Request{Method: "GET", URL: u, Host: tt.host, Header: http.Header{}}); err != nil {
				t.Fatal(err)
			}
			for _, span := range []sdktrace.ReadOnlySpan{rec.calls(t, 1)[0], rec.attempts(t, 1)[0]} {
				if got := value(span, "server.address").AsString(); got != tt.address {
					t.Errorf("%s: server.address = %q, want %q", span.Name(), got, tt.address)
				}
				if got := value(span, "server.port").AsInt64(); got != tt.port {
					t.Errorf("%s: server.port = %d, want %d", span.Name(), got, tt.port)
				}
			}
		})
	}
}

func TestUpgradedConnectionStaysWritable(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = conn.Write([]byte(line))
	}))
	defer srv.Close()
	rec := record(t)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	req := newRequest(t, t.Context(), http.MethodGet, srv.URL)
	req.Header.Set("Connection", "upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := pacedhttp.New(tr, rec.Call, pacedhttp.Retry(nil), rec.Attempt).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w, ok := resp.Body.(io.Writer)
	if !ok {
		t.Fatal("body is no io.Writer")
	}
	if _, err := io.WriteString(w, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "hello\n" {
		t.Errorf("echo = %q, %v", line, err)
	}
	if got := rec.attempts(t, 1)[0].Status().Code; got != codes.Unset {
		t.Errorf("status = %v, want Unset", got)
	}
}

func TestCallersClientTraceStillSeesTheConnection(t *testing.T) {
	rec, srv := record(t), serve(t, 200)
	var conns int
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { conns++ }})
	getContext(t, ctx, pacedhttp.New(srv.base(t), rec.Call, rec.Attempt), srv.URL)
	if conns != 1 {
		t.Errorf("the caller's GotConn was called %d times, want 1", conns)
	}
}

// TestPeerThatSpeaksIPv4IsShownSo is for connections, other than those of package net,
// that tell the address of a dual-stack socket as it is.
func TestPeerThatSpeaksIPv4IsShownSo(t *testing.T) {
	rec := record(t)
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{Conn: mappedConn{}})
		return answering(200).RoundTrip(req)
	})
	get(t, rec.Attempt(base), "http://example.com/")
	span := rec.attempts(t, 1)[0]
	if got := value(span, "network.peer.address").AsString(); got != "192.0.2.1" {
		t.Errorf("peer = %q, want 192.0.2.1", got)
	}
	if got := value(span, "network.peer.port").AsInt64(); got != 443 {
		t.Errorf("port = %d, want 443", got)
	}
}

type mappedConn struct{ net.Conn }

func (mappedConn) RemoteAddr() net.Addr { return mappedAddr{} }

type mappedAddr struct{}

func (mappedAddr) Network() string { return "tcp" }
func (mappedAddr) String() string  { return "[::ffff:192.0.2.1]:443" }

func TestPeerOfUnixSocket(t *testing.T) {
	rec := record(t)
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	go srv.Serve(l)
	defer srv.Close()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", dir+"/s")
	}}
	defer tr.CloseIdleConnections()
	get(t, rec.Attempt(tr), "http://docker/")
	span := rec.attempts(t, 1)[0]
	if got := value(span, "network.peer.address").AsString(); got != dir+"/s" {
		t.Errorf("peer = %q, want the socket", got)
	}
	if value(span, "network.peer.port").AsInterface() != nil {
		t.Error("a socket has no port")
	}
}
