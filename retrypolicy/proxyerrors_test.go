package retrypolicy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// connectProxy answers every CONNECT with a status line.
func connectProxy(t *testing.T, scheme, statusLine string) *http.Transport {
	t.Helper()
	var cfg *tls.Config
	tr := &http.Transport{}
	if scheme == "https" {
		s := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(s.Close)
		cfg, tr.TLSClientConfig = s.TLS, s.Client().Transport.(*http.Transport).TLSClientConfig
	}
	tr.Proxy = http.ProxyURL(&url.URL{Scheme: scheme, Host: listen(t, func(conn net.Conn) {
		if cfg != nil {
			conn = tls.Server(conn, cfg)
		}
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, statusLine+"\r\n\r\n")
		conn.Close()
	})})
	return tr
}

// askProxy makes one request that tr's proxy refuses.
func askProxy(t *testing.T, tr *http.Transport, method, url string) (*http.Request, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("order"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
		t.Fatal("the proxy did not refuse")
	}
	return req, err
}

func TestRefusedConnectIsToldByTheStandardWords(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for line, want := range map[string]Verdict{
			"HTTP/1.1 407 Proxy Authentication Required":                  Accept,
			"HTTP/1.1 403 Forbidden":                                      Accept,
			"HTTP/1.0 403 Forbidden":                                      Accept,
			"HTTP/1.1 503 Service Unavailable":                            Unprocessed,
			"HTTP/1.1 502 Bad Gateway":                                    Unprocessed,
			"HTTP/1.1 504 Gateway Timeout":                                Unprocessed,
			"HTTP/1.1 429 Too Many Requests":                              Unprocessed,
			"HTTP/1.1 302 Found":                                          Unprocessed,
			"HTTP/1.1 511 Network Authentication Required":                Unprocessed,
			"HTTP/1.1 100 Continue":                                       Unprocessed,
			"HTTP/1.1 503":                                                Unprocessed,
			"HTTP/1.1 204 No Content":                                     Transient,
			"HTTP/1.1 599 ":                                               Transient,
			"HTTP/1.1 407 proxy authentication required":                  Transient,
			"HTTP/1.1 407 Proxy Authentication Required, and some coffee": Transient,
			"HTTP/1.1 503 who are you?":                                   Transient,
			"NONSENSE":                                                    Transient,
		} {
			for _, method := range []string{"GET", "POST"} {
				t.Run(scheme+"/"+method+"/"+line, func(t *testing.T) {
					req, err := askProxy(t, connectProxy(t, scheme, line), method, "https://service.test/")
					for _, err := range []error{err, &url.Error{Op: "Get", Err: err}, fmt.Errorf("fetching: %w", err)} {
						if got := DefaultClassifier(Attempt{Number: 1, Request: req, Err: err}); got != want {
							t.Errorf("verdict on %q is %v, want %v\n%s", err, got, want, tree(err))
						}
					}
				})
			}
		}
	}
}

func TestAProxysWordsMeanNothingWhereNoneWasAskedToConnect(t *testing.T) {
	plainRequest := httptest.NewRequest("POST", "http://service.test/", nil)
	https := httptest.NewRequest("POST", "https://service.test/", nil)
	for _, text := range []string{"Forbidden", "Proxy Authentication Required", "Service Unavailable", "unknown status code"} {
		for _, a := range []Attempt{
			{Err: errors.New(text)},
			{Err: errors.New(text), Request: plainRequest},
			{Err: errors.New(text), Request: &http.Request{}},
			{Err: typed(text), Request: https},
			{Err: &net.OpError{Op: "read", Err: errors.New("username/password authentication failed")}, Request: https},
			{Err: fmt.Errorf("%s", text+"!"), Request: https},
		} {
			if got := DefaultClassifier(a); got != Transient {
				t.Errorf("verdict on %T %q is %v, want transient", a.Err, text, got)
			}
		}
	}
}

type typed string

func (t typed) Error() string { return string(t) }

func TestHTTPSProxyThatCannotBeReached(t *testing.T) {
	for _, tc := range []struct {
		name string
		want Verdict
		tr   func(t *testing.T) *http.Transport
	}{
		{"unknown authority", Accept, func(t *testing.T) *http.Transport {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return proxied(s.URL)
		}},
		{"plain HTTP", Accept, func(t *testing.T) *http.Transport {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return proxied(strings.Replace(s.URL, "http:", "https:", 1))
		}},
		{"hangs up in the handshake", Unprocessed, func(t *testing.T) *http.Transport {
			return proxied("https://" + listen(t, func(conn net.Conn) { conn.Read(make([]byte, 1<<14)) }))
		}},
		{"hangs up at the CONNECT, so that only a trace tells", Transient, func(t *testing.T) *http.Transport {
			return proxied("http://" + listen(t, func(conn net.Conn) { conn.Read(make([]byte, 1<<14)) }))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := askProxy(t, tc.tr(t), "POST", "https://service.test/")
			if got := DefaultClassifier(Attempt{Number: 1, Request: req, Err: err}); got != tc.want {
				t.Errorf("verdict on %q is %v, want %v\n%s", err, got, tc.want, tree(err))
			}
		})
	}
}

func TestSOCKSRefusals(t *testing.T) {
	method := func(m byte) func(net.Conn) {
		return func(conn net.Conn) {
			var head [2]byte
			io.ReadFull(conn, head[:])
			io.ReadFull(conn, make([]byte, head[1]))
			conn.Write([]byte{5, m})
		}
	}
	password := func(status byte) func(net.Conn) {
		return func(conn net.Conn) {
			method(2)(conn)
			io.ReadFull(conn, make([]byte, 1+1+len("user")+1+len("secret")))
			conn.Write([]byte{1, status})
		}
	}
	reply := func(code byte) func(net.Conn) {
		return func(conn net.Conn) {
			method(0)(conn)
			io.ReadFull(conn, make([]byte, 4+1+len("service.test")+2))
			conn.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
		}
	}
	for _, tc := range []struct {
		name   string
		want   Verdict
		answer func(net.Conn)
		host   string
	}{
		{"no acceptable method", Accept, method(0xff), ""},
		{"a method that nobody asked for", Accept, method(1), ""},
		{"wrong password", Accept, password(1), ""},
		{"not allowed by ruleset", Accept, reply(2), ""},
		{"command not supported", Accept, reply(7), ""},
		{"address type not supported", Accept, reply(8), ""},
		{"name too long", Accept, method(0), strings.Repeat("a", 256)},
		{"port out of range", Accept, method(0), "service.test:99999"},
		{"general failure", Unprocessed, reply(1), ""},
		{"network unreachable", Unprocessed, reply(3), ""},
		{"host unreachable", Unprocessed, reply(4), ""},
		{"connection refused", Unprocessed, reply(5), ""},
		{"TTL expired", Unprocessed, reply(6), ""},
		{"unknown reply", Unprocessed, reply(9), ""},
		{"hangs up", Unprocessed, func(net.Conn) {}, ""},
		{"another protocol", Unprocessed, func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }, ""},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+"/"+tc.name, func(t *testing.T) {
				host := tc.host
				if host == "" {
					host = "service.test"
				}
				proxy := proxied("socks5h://user:secret@" + listen(t, tc.answer))
				req, err := askProxy(t, proxy, "POST", scheme+"://"+host+"/")
				for _, a := range []Attempt{{Err: err, Request: req}, {Err: err}} {
					if got := DefaultClassifier(a); got != tc.want {
						t.Errorf("verdict on %q is %v, want %v\n%s", err, got, tc.want, tree(err))
					}
				}
			})
		}
	}
}
