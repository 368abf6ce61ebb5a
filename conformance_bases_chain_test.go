package pacedhttp_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
)

// A reply is what a peer does with one request.
type reply struct {
	status  int // 200 if zero
	header  http.Header
	body    string
	trailer string        // of the name X-Sum; none if empty
	delay   time.Duration // before the headers
	lost    bool          // the connection, when the request is read
	refused bool          // the connection, so that nothing is sent
}

// A peer is the other side of a base transport, whatever that is. It answers with
// its replies in turn and, when they are used up, with an empty 200.
type peer struct {
	mu      sync.Mutex
	began   time.Time
	replies []reply
	sends   []string // what came: time, method, path if it is not /, body, X-Sign
}

// A conformanceBase makes a base transport that reaches a peer.
type conformanceBase func(*testing.T, *peer) http.RoundTripper

var conformanceBases = map[string]conformanceBase{
	"httpmock": mockOf,
	"HTTP/1.1": func(t *testing.T, p *peer) http.RoundTripper { return pipeTo(t, "HTTP/1.1", p) },
	"HTTP/2.0": func(t *testing.T, p *peer) http.RoundTripper { return pipeTo(t, "HTTP/2.0", p) },
}

// overEveryBase runs test in a bubble for each base transport.
func overEveryBase(t *testing.T, replies []reply, test func(*testing.T, http.RoundTripper, *peer)) {
	t.Helper()
	for name, base := range conformanceBases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{began: time.Now(), replies: replies}
				test(t, base(t, p), p)
			})
		})
	}
}

func mockOf(_ *testing.T, p *peer) http.RoundTripper {
	mock := httpmock.NewMockTransport()
	for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
		mock.RegisterResponder(method, "=~^http://api.test/", p.respond)
	}
	return mock
}

// respond is the peer as httpmock's Responder, which has the duties of a RoundTripper.
func (p *peer) respond(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if p.refuses() {
		return nil, errRefused
	}
	do, err := p.receive(req)
	if err != nil {
		return nil, err
	}
	if do.lost {
		return nil, io.ErrUnexpectedEOF
	}
	resp := httpmock.NewStringResponse(do.status, do.body)
	maps.Copy(resp.Header, do.header)
	resp.ContentLength = int64(len(do.body))
	if req.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	if do.trailer != "" {
		resp.Trailer = header("X-Sum", do.trailer)
	}
	resp.Request = req
	return resp, nil
}

// pipeTo returns net/http's transport, connected to the peer behind net/http's server.
func pipeTo(t *testing.T, proto string, p *peer) http.RoundTripper {
	base := servePiped(t, proto, p.serve)
	dial := base.DialContext
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.refuses() {
			return nil, errRefused
		}
		return dial(ctx, network, addr)
	}
	return base
}

func (p *peer) serve(w http.ResponseWriter, r *http.Request) {
	do, err := p.receive(r)
	if err != nil || do.lost {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), do.header)
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(do.body)))
	}
	w.WriteHeader(do.status)
	io.WriteString(w, do.body)
	if do.trailer != "" {
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", do.trailer)
	}
}

// refuses reports whether the next request is not let in, and takes that reply.
func (p *peer) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.replies) == 0 || !p.replies[0].refused {
		return false
	}
	p.replies = p.replies[1:]
	return true
}

// receive takes a request in and returns what to do with it, when it is time for that.
func (p *peer) receive(r *http.Request) (reply, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return reply{}, err
		}
	}
	sent := []string{r.Method}
	for _, word := range []string{strings.TrimPrefix(r.URL.Path, "/"), string(body), r.Header.Get("X-Sign")} {
		if word != "" {
			sent = append(sent, word)
		}
	}
	p.mu.Lock()
	p.sends = append(p.sends, fmt.Sprintf("%v %s", time.Since(p.began), strings.Join(sent, " ")))
	do := reply{}
	if len(p.replies) > 0 {
		do, p.replies = p.replies[0], p.replies[1:]
	}
	p.mu.Unlock()
	if do.status == 0 {
		do.status = http.StatusOK
	}
	if do.delay > 0 {
		select {
		case <-time.After(do.delay):
		case <-r.Context().Done():
			return reply{}, context.Cause(r.Context())
		}
	}
	return do, nil
}

// received returns what came so far.
func (p *peer) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.sends...)
}
