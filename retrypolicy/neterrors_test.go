package retrypolicy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A provoked error is one that net/http really returned, and what it must mean.
type provoked struct {
	name string
	want Verdict
	err  func(t *testing.T) error
}

// checkProvoked judges each error as a transport returns it, as an http.Client
// does, and as a caller that adds a word of its own.
func checkProvoked(t *testing.T, cases []provoked) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.err(t)
			if err == nil {
				t.Fatal("no error was provoked")
			}
			for _, err := range []error{err, fmt.Errorf("fetching: %w", err), bare(err)} {
				if got := DefaultClassifier(Attempt{Number: 1, Err: err}); got != c.want {
					t.Errorf("verdict on %q is %v, want %v\n%s", err, got, c.want, tree(err))
				}
			}
		})
	}
}

// bare is err without http.Client's wrapper.
func bare(err error) error {
	if e, ok := err.(*url.Error); ok && e.Op != "parse" {
		return e.Err
	}
	return err
}

func tree(err error) string {
	var b strings.Builder
	contains(err, func(err error) bool {
		fmt.Fprintf(&b, "  %T %v\n", err, err)
		return false
	})
	return b.String()
}

// send makes one request through a client of its own and leaves nothing behind.
func send(t *testing.T, tr *http.Transport, method, url string, body io.Reader) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return sendRequest(t, tr, req)
}

func sendRequest(t *testing.T, tr *http.Transport, req *http.Request) error {
	t.Helper()
	if tr == nil {
		tr = &http.Transport{}
	}
	t.Cleanup(tr.CloseIdleConnections)
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if resp != nil {
		resp.Body.Close()
	}
	return err
}

// listen serves every connection with handle, on loopback, until the test ends.
func listen(t *testing.T, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handle(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// closedPort is an address where nobody listens, nor can as long as the test runs: it is the near end of a connection.
func closedPort(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("tcp", listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

func readRequest(conn net.Conn) error {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return err
}

// reset ends conn with a TCP RST.
func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func TestDialErrors(t *testing.T) {
	dialer := func(d net.Dialer) *http.Transport { return &http.Transport{DialContext: d.DialContext} }
	checkProvoked(t, []provoked{
		{"connection refused", Unprocessed, func(t *testing.T) error {
			return send(t, nil, "POST", "http://"+closedPort(t), strings.NewReader("order"))
		}},
		{"connection refused, https", Unprocessed, func(t *testing.T) error {
			return send(t, nil, "POST", "https://"+closedPort(t), strings.NewReader("order"))
		}},
		{"connection refused, bare number", Unprocessed, func(t *testing.T) error {
			_, err := net.Dial("tcp", closedPort(t))
			errno, ok := errors.AsType[syscall.Errno](err)
			if !ok || !errors.Is(errno, syscall.ECONNREFUSED) {
				t.Skip("this system wraps another number")
			}
			return errno
		}},
		{"dial timeout", Unprocessed, func(t *testing.T) error {
			return send(t, dialer(net.Dialer{Timeout: 1}), "POST", "http://127.0.0.1:1", nil)
		}},
		{"invalid port", Accept, func(t *testing.T) error {
			return send(t, nil, "GET", "http://127.0.0.1:99999", nil)
		}},
		{"host does not exist", Accept, func(t *testing.T) error {
			return send(t, dialer(net.Dialer{Resolver: dnsServer(3)}), "GET", "http://absent.example", nil)
		}},
		{"resolver misbehaves", Unprocessed, func(t *testing.T) error {
			return send(t, dialer(net.Dialer{Resolver: dnsServer(2)}), "POST", "http://some.example", nil)
		}},
		{"resolver is silent", Unprocessed, func(t *testing.T) error {
			return send(t, dialer(net.Dialer{Resolver: dnsServer(-1)}), "POST", "http://some.example", nil)
		}},
		{"HTTP proxy refuses the connection", Unprocessed, func(t *testing.T) error {
			return send(t, proxied("http://"+closedPort(t)), "POST", "http://some.example", nil)
		}},
		{"CONNECT proxy refuses the connection", Unprocessed, func(t *testing.T) error {
			return send(t, proxied("http://"+closedPort(t)), "POST", "https://some.example", nil)
		}},
		{"SOCKS proxy cannot connect", Unprocessed, func(t *testing.T) error {
			proxy := listen(t, func(conn net.Conn) {
				var greeting [3]byte
				io.ReadFull(conn, greeting[:])
				conn.Write([]byte{5, 0}) // version 5, no authentication
				io.ReadFull(conn, make([]byte, 4+1+len("some.example")+2))
				conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
			})
			return send(t, proxied("socks5://"+proxy), "POST", "http://some.example", nil)
		}},
		{"the dial is cancelled by someone", Accept, func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:1")
			return err
		}},
	})
}

func proxied(proxy string) *http.Transport {
	u, err := url.Parse(proxy)
	if err != nil {
		panic(err)
	}
	return &http.Transport{Proxy: http.ProxyURL(u)}
}

// dnsServer is a resolver whose server answers every question with rcode, or not
// at all if that is negative.
func dnsServer(rcode int) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return &dnsConn{rcode: rcode}, nil
	}}
}

// dnsConn is a net.PacketConn too, so that the resolver speaks UDP's framing.
type dnsConn struct {
	net.Conn
	net.PacketConn
	rcode int
	query []byte
}

func (c *dnsConn) Write(b []byte) (int, error) {
	c.query = append([]byte(nil), b...)
	return len(b), nil
}

func (c *dnsConn) Read(b []byte) (int, error) {
	if c.rcode < 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.query)
	b[2], b[3] = 0x81, 0x80|byte(c.rcode) // a response; recursion available
	return n, nil
}

func (c *dnsConn) Close() error                     { return nil }
func (c *dnsConn) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (c *dnsConn) RemoteAddr() net.Addr             { return &net.UDPAddr{} }
func (c *dnsConn) SetDeadline(time.Time) error      { return nil }
func (c *dnsConn) SetReadDeadline(time.Time) error  { return nil }
func (c *dnsConn) SetWriteDeadline(time.Time) error { return nil }

func TestConnectionErrors(t *testing.T) {
	checkProvoked(t, []provoked{
		{"reset after the request was written", Transient, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { readRequest(conn); reset(conn) })
			return send(t, nil, "POST", "http://"+addr, strings.NewReader("order"))
		}},
		{"reset before the request was written", Unprocessed, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { conn.Read(make([]byte, 1)) })
			return send(t, &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				return writeFails{conn}, err
			}}, "POST", "http://"+addr, strings.NewReader("order"))
		}},
		{"EOF instead of a response", Transient, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { readRequest(conn) })
			return send(t, nil, "POST", "http://"+addr, strings.NewReader("order"))
		}},
		{"EOF on a reused connection", Transient, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) {
				readRequest(conn)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				readRequest(conn)
			})
			tr := &http.Transport{}
			if err := send(t, tr, "GET", "http://"+addr, nil); err != nil {
				t.Fatal(err)
			}
			return send(t, tr, "POST", "http://"+addr, strings.NewReader("order"))
		}},
		{"response headers take too long", Transient, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
			return send(t, &http.Transport{ResponseHeaderTimeout: time.Millisecond}, "GET", "http://"+addr, nil)
		}},
		{"http.Client's Timeout", Transient, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
			tr := &http.Transport{}
			t.Cleanup(tr.CloseIdleConnections)
			_, err := (&http.Client{Transport: tr, Timeout: time.Millisecond}).Get("http://" + addr)
			return err
		}},
		{"malformed response", Transient, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { readRequest(conn); io.WriteString(conn, "NONSENSE\r\n\r\n") })
			return send(t, nil, "GET", "http://"+addr, nil)
		}},
		{"request body shorter than declared", Accept, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
			req := httptest.NewRequest("PUT", "http://"+addr, strings.NewReader("abc"))
			req.RequestURI, req.ContentLength = "", 10
			return sendRequest(t, nil, req)
		}},
		{"request body longer than declared", Accept, func(t *testing.T) error {
			addr := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
			req := httptest.NewRequest("PUT", "http://"+addr, strings.NewReader("abcdefghij"))
			req.RequestURI, req.ContentLength = "", 3
			return sendRequest(t, nil, req)
		}},
		{"request cancelled by its Cancel channel", Accept, func(t *testing.T) error {
			cancel := make(chan struct{})
			addr := listen(t, func(conn net.Conn) { readRequest(conn); close(cancel); io.Copy(io.Discard, conn) })
			req, _ := http.NewRequest("GET", "http://"+addr, nil)
			//lint:ignore SA1019 it still works, and its error has no type
			req.Cancel = cancel
			return sendRequest(t, nil, req)
		}},
	})
}

// writeFails is a connection that was reset after it was made.
type writeFails struct{ net.Conn }

func (c writeFails) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.ECONNRESET)}
}

func TestRequestErrors(t *testing.T) {
	request := func(edit func(*http.Request)) func(*testing.T) error {
		return func(t *testing.T) error {
			req, err := http.NewRequest("GET", "http://127.0.0.1", nil)
			if err != nil {
				t.Fatal(err)
			}
			edit(req)
			return sendRequest(t, nil, req)
		}
	}
	redirect := func(location string) func(*testing.T) error {
		return func(t *testing.T) error {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusFound)
			}))
			t.Cleanup(s.Close)
			return send(t, nil, "GET", s.URL, nil)
		}
	}
	checkProvoked(t, []provoked{
		{"unsupported scheme", Accept, request(func(r *http.Request) { r.URL.Scheme = "gopher" })},
		{"no host", Accept, request(func(r *http.Request) { r.URL.Host = "" })},
		{"no URL", Accept, request(func(r *http.Request) { r.URL = nil })},
		{"invalid header name", Accept, request(func(r *http.Request) { r.Header["a b"] = []string{"c"} })},
		{"invalid header value", Accept, request(func(r *http.Request) { r.Header.Set("A", "b\n") })},
		{"invalid trailer", Accept, request(func(r *http.Request) { r.Trailer = http.Header{"a b": nil} })},
		{"invalid method", Accept, request(func(r *http.Request) { r.Method = "G T" })},
		{"server's RequestURI", Accept, request(func(r *http.Request) { r.RequestURI = "/" })},
		{"invalid URL", Accept, func(*testing.T) error {
			_, err := http.NewRequest("GET", "http://[::1/", nil)
			return err
		}},
		{"endless redirects", Accept, redirect("/")},
		{"redirect to nowhere", Accept, redirect("http://[::1/")},
	})
}

func TestUnknownErrorIsTransient(t *testing.T) {
	checkProvoked(t, []provoked{
		{"plain", Transient, func(*testing.T) error { return errors.New("boom") }},
		{"timeout", Transient, func(*testing.T) error { return os.ErrDeadlineExceeded }},
		{"attempt's deadline", Transient, func(*testing.T) error { return context.DeadlineExceeded }},
		{"joined", Transient, func(*testing.T) error { return errors.Join(errors.New("boom"), io.ErrUnexpectedEOF) }},
	})
}

func TestInnerCancellationIsNotRetried(t *testing.T) {
	checkProvoked(t, []provoked{
		{"canceled", Accept, func(*testing.T) error { return context.Canceled }},
		{"joined", Accept, func(*testing.T) error { return errors.Join(io.EOF, context.Canceled) }},
	})
}

func TestCallersContextEndsTheAttempt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := DefaultClassifier(Attempt{Request: req, Err: errors.New("connection torn down")}); got != Accept {
		t.Errorf("verdict under a dead context is %v, want accept", got)
	}
}
