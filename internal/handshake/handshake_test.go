package handshake_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/handshake"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestARequestWithoutAConnectionIsUnprocessed(t *testing.T) {
	hangsUp := func(conn net.Conn) { conn.Read(make([]byte, 1<<14)) } // all of the ClientHello: the rest would be a reset
	for _, tc := range []struct {
		name string
		want string
		tr   func(t *testing.T) (*http.Transport, string)
	}{
		{"the dial fails in words of its own", "unprocessed", func(*testing.T) (*http.Transport, string) {
			return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no route in this mesh")
			}}, "https://some.test"
		}},
		{"the server hangs up in the handshake", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{}, "https://" + listen(t, hangsUp)
		}},
		{"the server hangs up in the handshake behind a proxy", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{Proxy: http.ProxyURL(tunnel(t, "http"))}, "https://" + listen(t, hangsUp)
		}},
		{"the server breaks down in the handshake", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			s := serve(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return nil, errors.New("no configuration")
			}}, http.NotFound)
			return &http.Transport{}, s.URL
		}},
		{"the handshake takes too long", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{TLSHandshakeTimeout: time.Millisecond}, "https://" + listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
		}},
		{"the program's own TLS dialer fails", "unprocessed", func(*testing.T) (*http.Transport, string) {
			return &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, io.EOF
			}}, "https://some.test"
		}},
		{"a proxy refuses in words of its own", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{Proxy: http.ProxyURL(refusing(t, "HTTP/1.1 503 come back tomorrow"))}, "https://some.test"
		}},
		{"a proxy refuses without a word", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{Proxy: http.ProxyURL(refusing(t, "HTTP/1.1 503"))}, "https://some.test"
		}},
		{"a proxy answers nonsense", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{Proxy: http.ProxyURL(refusing(t, "NONSENSE"))}, "https://some.test"
		}},
		{"a proxy hangs up", "unprocessed", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{Proxy: http.ProxyURL(parse(t, "http://"+listen(t, hangsUp)))}, "https://some.test"
		}},
		{"unknown authority", "accept", func(t *testing.T) (*http.Transport, string) {
			return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}, serve(t, nil, http.NotFound).URL
		}},
		{"encrypted client hello rejected", "accept", func(t *testing.T) (*http.Transport, string) {
			s := serve(t, nil, http.NotFound)
			return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s), MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfigList(t)}}, s.URL
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr, target := tc.tr(t)
			for _, method := range []string{"GET", "POST"} {
				req := request(t, method, target)
				err, explained := send(t, tr, req)
				if got := outcome(req, explained); got != tc.want {
					t.Errorf("%s: %T %v is %s, want %s", method, err, err, got, tc.want)
				}
				if !errors.Is(explained, err) || explained.Error() != err.Error() {
					t.Errorf("%s: %v became %v", method, err, explained)
				}
			}
		})
	}
}

func TestARequestThatGotAConnectionIsNotExplained(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s := serve(t, nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s)}, ForceAttemptHTTP2: http2}
		if err, explained := send(t, tr, request(t, "POST", s.URL)); explained != err {
			t.Errorf("HTTP/2 %t: %v became %#v", http2, err, explained)
		}
	}
}

// net/http sends a request on whichever is there first, its own new connection or
// one that another request gave back. The dial goes on.
func TestAFailedDialSaysNothingOfARequestOnAnotherConnection(t *testing.T) {
	mismatch := errors.New("pin mismatch")
	dialing, judge, judged := make(chan bool), make(chan bool), make(chan bool)
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			<-dialing // so that the other request needs a connection of its own
			return
		}
		close(judge)
		<-judged
		panic(http.ErrAbortHandler)
	})
	got := make(chan bool)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s), VerifyConnection: func(tls.ConnectionState) error {
		select {
		case <-got:
		default:
			return nil // the first connection
		}
		close(dialing)
		<-judge
		return mismatch
	}}}
	first := request(t, "GET", s.URL)
	first = first.WithContext(httptrace.WithClientTrace(first.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { close(got) }}))
	var wg sync.WaitGroup
	wg.Go(func() {
		resp, err := tr.RoundTrip(first)
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	})
	<-got
	req := request(t, "POST", s.URL)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(tls.ConnectionState, error) { close(judged) }, // after the Watch's
	}))
	err, explained := send(t, tr, req)
	if explained != err || errors.Is(err, mismatch) {
		t.Errorf("%v became %#v", err, explained)
	}
	wg.Wait()
}

// Whatever a transport reports: only one that looked for a connection and got none
// has not sent.
func TestOnlyATransportThatSaysSoHasNotSent(t *testing.T) {
	mismatch := errors.New("pin mismatch")
	asks := func(trace *httptrace.ClientTrace) { trace.GetConn("api.test:443") }
	got := func(trace *httptrace.ClientTrace) { trace.GotConn(httptrace.GotConnInfo{}) }
	dialed := func(trace *httptrace.ClientTrace) { trace.ConnectDone("tcp", "127.0.0.1:443", nil) }
	notDialed := func(trace *httptrace.ClientTrace) { trace.ConnectDone("tcp", "127.0.0.1:443", io.EOF) }
	shook := func(trace *httptrace.ClientTrace) { trace.TLSHandshakeDone(tls.ConnectionState{}, nil) }
	lost := func(trace *httptrace.ClientTrace) { trace.TLSHandshakeDone(tls.ConnectionState{}, io.EOF) }
	refused := func(trace *httptrace.ClientTrace) { trace.TLSHandshakeDone(tls.ConnectionState{}, mismatch) }
	type events = []func(*httptrace.ClientTrace)
	for _, tc := range []struct {
		name   string
		events events
		err    error
		want   string
	}{
		{"none", nil, io.EOF, "transient"},
		{"dials with the request's context, no more", events{dialed}, io.EOF, "transient"},
		{"fails to dial with the request's context, no more", events{notDialed}, io.EOF, "transient"},
		{"handshake alone", events{dialed, refused}, mismatch, "final"},
		{"asks", events{asks}, io.EOF, "unprocessed"},
		{"asks, gets", events{asks, got}, io.EOF, "transient"},
		{"asks, gets, asks again", events{asks, got, asks, lost}, io.EOF, "transient"},
		{"lost", events{asks, dialed, lost}, io.EOF, "unprocessed"},
		{"lost, gets", events{asks, dialed, lost, got}, io.EOF, "transient"},
		{"refused", events{asks, dialed, refused}, mismatch, "final"},
		{"refused, gets", events{asks, dialed, refused, got}, mismatch, "transient"},
		{"gets, refused", events{asks, got, dialed, refused}, mismatch, "transient"},
		{"refused, then another error", events{asks, dialed, refused}, io.EOF, "unprocessed"},
		{"refused, but not over a connection of net", events{asks, notDialed, refused}, mismatch, "unprocessed"},
		{"refused, while another handshake succeeds", events{asks, dialed, refused, shook}, mismatch, "final"},
		{"refused, among others", events{asks, dialed, refused}, errors.Join(io.EOF, mismatch), "final"},
		{"refused after a proxy's handshake", events{asks, dialed, shook, refused}, mismatch, "final"},
		{"refused after one dial of two", events{asks, notDialed, dialed, refused}, mismatch, "final"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := request(t, "POST", "https://api.test/")
			_, explained := send(t, roundTripper(func(req *http.Request) (*http.Response, error) {
				for _, event := range tc.events {
					event(httptrace.ContextClientTrace(req.Context()))
				}
				return nil, tc.err
			}), req)
			if got := outcome(req, explained); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if tc.want == "transient" && explained != tc.err {
				t.Errorf("%v was marked", explained)
			}
		})
	}
}

// A request that gives up leaves its dial behind.
func TestADialMayOutliveItsRequest(t *testing.T) {
	mismatch := errors.New("pin mismatch")
	handshaking, judge, judged := make(chan bool), make(chan bool), make(chan bool)
	s := serve(t, nil, http.NotFound)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s), VerifyConnection: func(tls.ConnectionState) error {
		close(handshaking)
		<-judge
		return mismatch
	}}}
	t.Cleanup(tr.CloseIdleConnections)
	ctx, cancel := context.WithCancelCause(t.Context())
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeDone: func(tls.ConnectionState, error) { close(judged) }})
	req := request(t, "POST", s.URL).WithContext(ctx)
	ctx, watch := handshake.New(ctx, req)
	gaveUp := errors.New("too slow")
	go func() { <-handshaking; cancel(gaveUp) }()
	_, err := tr.RoundTrip(req.WithContext(ctx))
	close(judge) // from here on the dial and Explain run at once
	explained := watch.Explain(err)
	if !errors.Is(err, gaveUp) || outcome(request(t, "POST", s.URL), explained) != "unprocessed" {
		t.Errorf("%v is %s, want too slow, unprocessed", err, outcome(req, explained))
	}
	<-judged
	if got := outcome(request(t, "POST", s.URL), watch.Explain(err)); got != "unprocessed" {
		t.Errorf("after the dial %v is %s, want unprocessed", err, got)
	}
}

func TestAMarkedErrorKeepsItsTimeout(t *testing.T) {
	tr := &http.Transport{TLSHandshakeTimeout: time.Millisecond}
	req := request(t, "POST", "https://"+listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) }))
	_, explained := send(t, tr, req)
	e, ok := errors.AsType[net.Error](explained)
	//lint:ignore SA1019 net.Error has it
	if !ok || !e.Timeout() || !e.Temporary() {
		t.Errorf("%#v lost that it is a timeout", explained)
	}
	e, ok = errors.AsType[net.Error](error(&url.Error{Op: "Post", Err: explained}))
	if !ok || !e.Timeout() {
		t.Errorf("%#v lost that it is a timeout in an http.Client's error", explained)
	}
}

func TestThePlainRequestIsNotWatched(t *testing.T) {
	for _, req := range []*http.Request{request(t, "POST", "http://api.test/"), {}} {
		ctx, watch := handshake.New(t.Context(), req)
		if ctx != t.Context() || watch != nil || watch.Explain(io.EOF) != io.EOF {
			t.Errorf("%v is watched", req.URL)
		}
	}
	ctx, watch := handshake.New(t.Context(), request(t, "POST", "https://api.test/"))
	if ctx == t.Context() || watch == nil || watch.Explain(nil) != nil {
		t.Error("a success was explained")
	}
}

// The Watch, its context, what package net needs of it, and a closure for each of
// four hooks.
func TestAWatchCostsEightAllocations(t *testing.T) {
	ctx, req := t.Context(), request(t, "GET", "https://api.test/")
	if n := testing.AllocsPerRun(100, func() { handshake.New(ctx, req) }); n > 8 {
		t.Errorf("%v allocations, want at most 8", n)
	}
}
