package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A pair is a proxy before an upstream, both on loopback.
type pair struct {
	*service
	upstream *httptest.Server
	url      string // of the proxy
	client   *http.Client
}

// newPair starts a proxy before handler. config is what it says of the upstream besides.
func newPair(t *testing.T, handler http.HandlerFunc, config string) *pair {
	t.Helper()
	upstream := httptest.NewServer(handler)
	base := newBase()
	p := proxyOf(t, base, fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: %q, %s}]`, upstream.URL, config))
	s := newService(p, http.NotFoundHandler())
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.start(clients, admin)
	client := &http.Client{Transport: new(http.Transport)}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		s.cut(errShutdown)
		s.clients.Close()
		s.admin.Close()
		if err := s.idle(context.Background()); err != nil {
			t.Error(err)
		}
		base.CloseIdleConnections()
		upstream.Close()
	})
	return &pair{s, upstream, "http://" + clients.Addr().String(), client}
}

// eventually waits until ok is true, as long as the test may take.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-t.Context().Done():
			t.Fatal("never: " + what)
		case <-time.After(time.Millisecond):
		}
	}
}

// Each line that the client sends is answered before the next is sent, over one request.
func TestStreamsGoBothWaysAtOnce(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				w.Header().Set("Trailer", "X-Sum")
				w.WriteHeader(200)
				_ = http.NewResponseController(w).Flush()
				lines := bufio.NewScanner(r.Body)
				n := 0
				for ; lines.Scan(); n++ {
					fmt.Fprintf(w, "echo %s\n", lines.Text())
					_ = http.NewResponseController(w).Flush()
				}
				w.Header().Set("X-Sum", fmt.Sprint(n, " ", r.Trailer.Get("X-End")))
			}, `limits: 10/s, flights: 2, timeout: 1h`)
			tr := p.client.Transport.(*http.Transport)
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetHTTP1(protocol == "HTTP/1.1")
			tr.Protocols.SetUnencryptedHTTP2(protocol == "HTTP/2.0")

			body, say := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), "POST", p.url, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Trailer = http.Header{"X-End": nil}
			resp, err := p.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.Proto != protocol {
				t.Errorf("answered over %s", resp.Proto)
			}
			heard := bufio.NewScanner(resp.Body)
			for i := range 5 {
				fmt.Fprintf(say, "%d\n", i)
				if !heard.Scan() || heard.Text() != fmt.Sprint("echo ", i) {
					t.Fatalf("line %d: %q, %v", i, heard.Text(), heard.Err())
				}
			}
			req.Trailer.Set("X-End", "end")
			say.Close()
			if heard.Scan() {
				t.Errorf("more came: %q", heard.Text())
			}
			if got := resp.Trailer.Get("X-Sum"); got != "5 end" {
				t.Errorf("trailer %q, want %q", got, "5 end")
			}
		})
	}
}

// echoing switches to a protocol that sends back what comes.
func echoing(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
			t.Errorf("asked with %v", r.Header)
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, buf)
	}
}

// upgraded returns a connection through the proxy that speaks the protocol of echoing.
func upgraded(t *testing.T, url string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n")
	from := bufio.NewReader(conn)
	resp, err := http.ReadResponse(from, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("got %v, %v", resp, err)
	}
	return conn, from
}

func TestAnUpgradedConnectionIsTheClients(t *testing.T) {
	p := newPair(t, echoing(t), `limits: 10/s, flights: 1`)
	conn, from := upgraded(t, p.url)
	for i := range 3 {
		fmt.Fprintln(conn, "hello", i)
		if line, err := from.ReadString('\n'); line != fmt.Sprintln("hello", i) {
			t.Errorf("got %q, %v", line, err)
		}
	}
	if n := p.inFlight(); n != 1 {
		t.Errorf("%d in flight while the connection is open, want 1", n)
	}
	conn.Close()
	eventually(t, "the flight ends with the connection", func() bool { return p.inFlight() == 0 })
}

func (p *pair) inFlight() int { return p.proxy.queues["api"].all.Stats().InFlight }

func (p *pair) waiting() int { return p.proxy.queues["api"].all.Stats().Waiting }

func TestInterimAnswersReachTheClient(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(200)
	}, `limits: 10/s`)
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		},
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", p.url, nil)
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []string{"103</style.css>"}; !slices.Equal(hints, want) || resp.StatusCode != 200 {
		t.Errorf("got %q and %d, want %q", hints, resp.StatusCode, want)
	}
}

// Nothing but what was asked for is between the client and the upstream: no compression, say.
func TestBodiesPassAsTheyAre(t *testing.T) {
	big := make([]byte, 3<<20)
	rand.Read(big)
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		if accepts := r.Header.Get("Accept-Encoding"); accepts != "" {
			t.Errorf("Accept-Encoding %q was added", accepts)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Encoding", "gzip") // whatever it is
		w.Write(body)
	}, `limits: 10/s, flights: 1`)
	p.client.Transport.(*http.Transport).DisableCompression = true
	for _, size := range []int{0, 1, defaultBuffer, defaultBuffer + 1, len(big)} {
		for _, length := range []bool{true, false} {
			var body io.Reader = bytes.NewReader(big[:size])
			if !length {
				body = io.MultiReader(body)
			}
			resp, err := p.client.Post(p.url, "", body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, big[:size]) || resp.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("%d bytes, length known %t: %d came, %v, %v", size, length, len(got), err, resp.Header)
			}
		}
	}
}

func TestABrokenAnswerIsNotTakenForWhole(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, `limits: 10/s, flights: 1`)
	resp, err := p.client.Get(p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", got, err)
	}
	eventually(t, "the flight ends", func() bool { return p.inFlight() == 0 })
}

// The client goes away: before its slot has come, before the answer's headers, and in the middle of a body.
func TestAClientThatGoesIsNoticed(t *testing.T) {
	arrived, left := make(chan string, 1), make(chan string, 1)
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or net/http would not notice
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- r.URL.Path
		<-r.Context().Done()
		left <- r.URL.Path
	}, `limits: 100/s, flights: 1`)
	send := func(path, body string) (leave func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			req, _ := http.NewRequestWithContext(ctx, "POST", p.url+path, strings.NewReader(body))
			resp, err := p.client.Do(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", path, err)
			}
		}()
		return func() { cancel(); <-done }
	}
	for _, path := range []string{"/headers", "/body"} {
		leave := send(path, "small")
		<-arrived
		leaveQueue := send("/queue", "small")
		eventually(t, "one waits", func() bool { return p.waiting() == 1 })
		leaveQueue()
		eventually(t, "who left waits no more", func() bool { return p.waiting() == 0 })
		leave()
		if got := <-left; got != path {
			t.Errorf("the upstream noticed %s, want %s", got, path)
		}
		eventually(t, "the flight ends", func() bool { return p.inFlight() == 0 })
	}
	if len(arrived) > 0 {
		t.Errorf("who had left was sent: %s", <-arrived)
	}
}

func TestASlowReaderHoldsNothingButItsOwnFlight(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			for range 1024 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
	}, `limits: 1000/s, flights: 2`)
	slow, err := p.client.Get(p.url + "/big")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		resp, err := p.client.Get(p.url + "/small")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
	}
	if n := p.inFlight(); n != 1 {
		t.Errorf("%d in flight, want the slow reader's", n)
	}
	slow.Body.Close()
	eventually(t, "the flight ends", func() bool { return p.inFlight() == 0 })
}

// A client that sends its small body slowly has no slot meanwhile.
func TestASlowSenderHoldsNoSlot(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, `limits: 1000/s, flights: 1`)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo")
	eventually(t, "it is under way", func() bool { return p.underWay.Load() == 1 })
	for range 10 {
		resp, err := p.client.Get(p.url)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
	}
	io.WriteString(conn, "dy")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(resp.Body); string(got) != "body" {
		t.Errorf("got %q", got)
	}
}

// A dribble is the request of a client that sends its small body too slowly.
type dribble struct {
	*httptest.ResponseRecorder
	body *io.PipeReader
}

// SetReadDeadline ends a read that waits, as net/http's does.
func (d dribble) SetReadDeadline(time.Time) error {
	return d.body.CloseWithError(os.ErrDeadlineExceeded)
}

func TestASlowSenderIsNotWaitedForBeyondTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := proxyOf(t, answers200(0), `upstreams: [{name: api, prefix: /, url: "http://api", limits: 1/s, timeout: 3s}]`)
		body, _ := io.Pipe()
		r := httptest.NewRequest("POST", "/", body)
		r.ContentLength = 4
		w := dribble{httptest.NewRecorder(), body}
		began := time.Now()
		p.ServeHTTP(w, r)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v, want the timeout of 3s", took)
		}
		wantProblem(t, w.ResponseRecorder, "slow-body", "api", "", "")
	})
}

// Who is still sending when the process ends is told so.
func TestASlowSenderIsToldOfTheEnd(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {}, `limits: 1000/s`)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo")
	eventually(t, "it is under way", func() bool { return p.underWay.Load() == 1 })
	p.cut(errShutdown)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
		t.Errorf("%v, %v, want a 503 that ends the connection", resp, err)
	}
}

// The deadline is for the headers: the body comes long after it.
func TestATimeoutCutsNoBody(t *testing.T) {
	more := make(chan struct{})
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-more
		io.WriteString(w, "all")
	}, `limits: 10/s, flights: 2, timeout: 500ms, retries: {attempts: 1}`)
	resp, err := p.client.Get(p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	late, err := p.client.Get(p.url + "/slow") // ends after the first's deadline
	if err != nil || late.StatusCode != http.StatusGatewayTimeout {
		t.Fatalf("%v, %v", late, err)
	}
	late.Body.Close()
	close(more)
	if got, err := io.ReadAll(resp.Body); string(got) != "all" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
