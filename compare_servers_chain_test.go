package pacedhttp_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A reaction is what a server does with a request to any path but that of elsewhere, after it
// has read the whole of it or, if early is set, its head.
type reaction struct {
	name  string
	early bool

	// For the server that writes bytes as they are. HEAD is answered with the head alone.
	head, body string
	then       ending

	// For net/http's servers; nil where they would not do such a thing.
	handle http.HandlerFunc

	// For HTTP/1: what the client asks to switch to.
	upgrade string
}

// An ending is what becomes of a connection after an answer.
type ending int

const (
	thenReuse ending = iota // for the next request
	thenHangUp
	thenReset
	thenEcho // of a line, before it hangs up
	thenHold // until the client hangs up
)

const elsewhere = "/elsewhere"

// plain is an answer of a status and a body, if that may have one, and what else is in its
// header.
func plain(status int, fields ...string) reaction {
	a := reaction{name: fmt.Sprint(status), body: "answer"}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		a.body = ""
	} else {
		fields = append(slices.Clone(fields), "Content-Length", fmt.Sprint(len(a.body)))
	}
	fields = append(fields, "X-Answer", "one", "X-Answer", "two", "Content-Type", "text/plain")
	a.head = fmt.Sprintf("HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for i := 0; i < len(fields); i += 2 {
		a.head += fields[i] + ": " + fields[i+1] + "\r\n"
	}
	a.head += "\r\n"
	a.handle = func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, a.body)
	}
	return a
}

var (
	statuses  = plains([]int{200, 204, 206, 304, 400, 401, 404, 409, 410, 429, 500, 501, 503})
	redirects = append(plains([]int{301, 302, 303, 307, 308}, "Location", elsewhere),
		reaction{name: "307 to nowhere", head: "HTTP/1.1 307 Lost\r\nLocation: ://\r\nContent-Length: 0\r\n\r\n"},
		reaction{name: "302 without a Location", head: "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"})
)

func plains(statuses []int, fields ...string) []reaction {
	var all []reaction
	for _, status := range statuses {
		all = append(all, plain(status, fields...))
	}
	return all
}

// zipped is text, compressed.
func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

// flushed returns a handler that writes what there is of an answer before it does what follows.
func flushed(part string, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, part)
		w.(http.Flusher).Flush()
		then(w, r)
	}
}

func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func untilGone(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// withHeader returns handle with fields in its header.
func withHeader(handle http.HandlerFunc, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		handle(w, r)
	}
}

func nothing(http.ResponseWriter, *http.Request) {}

const statusOK = "HTTP/1.1 200 OK\r\n"

// framings are answers whose bodies are delimited, coded and followed in all the ways there are.
var framings = []reaction{
	{name: "no length", head: statusOK + "\r\n", body: "answer", then: thenHangUp, handle: flushed("answer", nothing)},
	{name: "HTTP/1.0", head: "HTTP/1.0 200 OK\r\nX-Answer: one\r\n\r\n", body: "answer", then: thenHangUp},
	{name: "no body", head: statusOK + "Content-Length: 0\r\n\r\n", handle: nothing},
	{name: "connection to be closed", head: statusOK + "Connection: close\r\nContent-Length: 6\r\n\r\n", body: "answer", then: thenHangUp,
		handle: withHeader(flushed("answer", nothing), "Connection", "close", "Content-Length", "6")},
	{name: "reason of its own", head: "HTTP/1.1 299 Well, now\r\nContent-Length: 6\r\n\r\n", body: "answer"},
	{name: "long", head: statusOK + "Content-Length: 70000\r\n\r\n", body: strings.Repeat("answer ", 10_000),
		handle: flushed(strings.Repeat("answer ", 10_000), nothing)},
	{name: "chunks", head: statusOK + "Transfer-Encoding: chunked\r\n\r\n", body: "3\r\nans\r\n3;x=y\r\nwer\r\n0\r\n\r\n",
		handle: flushed("ans", flushed("wer", nothing))},
	{name: "trailers", head: statusOK + "Transfer-Encoding: chunked\r\nTrailer: X-Sum, X-Not\r\n\r\n", body: "6\r\nanswer\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n",
		handle: withHeader(flushed("answer", withHeader(nothing, "X-Sum", "1", "X-Sum", "2")), "Trailer", "X-Sum, X-Not")},
	{name: "trailers not announced", head: statusOK + "Transfer-Encoding: chunked\r\n\r\n", body: "6\r\nanswer\r\n0\r\nX-Sum: 1\r\n\r\n",
		handle: flushed("answer", withHeader(nothing, http.TrailerPrefix+"X-Sum", "1"))},
	{name: "gzip", head: statusOK + "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", body: fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(zipped("answer")), zipped("answer")),
		handle: withHeader(flushed(zipped("answer"), nothing), "Content-Encoding", "gzip")},
	{name: "gzip with trailers", head: statusOK + "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
		body:   fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n", len(zipped("answer")), zipped("answer")),
		handle: withHeader(flushed(zipped("answer"), withHeader(nothing, "X-Sum", "1")), "Content-Encoding", "gzip", "Trailer", "X-Sum")},
	{name: "informational", head: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <b>\r\n\r\n" + statusOK + "Content-Length: 6\r\n\r\n", body: "answer",
		handle: withHeader(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, "answer")
		}, "Link", "<a>")},
	{name: "upgrade", head: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", then: thenEcho, upgrade: "echo"},
	{name: "upgrade refused", head: "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 6\r\n\r\n", body: "answer", upgrade: "echo"},
}

// breakages are answers that are none, or not whole.
var breakages = []reaction{
	{name: "hangs up", then: thenHangUp, handle: abort},
	{name: "resets", then: thenReset},
	{name: "hangs up in the head", head: statusOK + "X-Ans", then: thenHangUp},
	{name: "resets in the head", head: statusOK + "X-Ans", then: thenReset},
	{name: "hangs up in the body", head: statusOK + "Content-Length: 10\r\n\r\n", body: "answer", then: thenHangUp,
		handle: withHeader(flushed("answer", abort), "Content-Length", "10")},
	{name: "resets in the body", head: statusOK + "Content-Length: 10\r\n\r\n", body: "answer", then: thenReset},
	{name: "hangs up in the chunks", head: statusOK + "Transfer-Encoding: chunked\r\n\r\n", body: "6\r\nanswer\r\n", then: thenHangUp, handle: flushed("answer", abort)},
	{name: "hangs up in the trailers", head: statusOK + "Transfer-Encoding: chunked\r\n\r\n", body: "6\r\nanswer\r\n0\r\nX-Su", then: thenHangUp},
	{name: "length too great", head: statusOK + "Content-Length: 10\r\n\r\n", body: "answer", then: thenHangUp,
		handle: withHeader(flushed("answer", nothing), "Content-Length", "10")},
	{name: "length too small", head: statusOK + "Connection: close\r\nContent-Length: 3\r\n\r\n", body: "answer", then: thenHangUp},
	{name: "lengths that disagree", head: statusOK + "Content-Length: 3\r\nContent-Length: 6\r\n\r\n", body: "answer", then: thenHangUp},
	{name: "length that is none", head: statusOK + "Content-Length: six\r\n\r\n", body: "answer", then: thenHangUp},
	{name: "malformed chunk", head: statusOK + "Transfer-Encoding: chunked\r\n\r\n", body: "6\r\nanswer\r\nxyz\r\n", then: thenHangUp},
	{name: "unknown coding", head: statusOK + "Transfer-Encoding: rot13\r\n\r\n", body: "nafjre", then: thenHangUp},
	{name: "malformed protocol", head: "ICY 200 OK\r\n\r\n", then: thenHangUp},
	{name: "malformed status", head: "HTTP/1.1 2OO OK\r\n\r\n", then: thenHangUp},
	{name: "no status", head: "HTTP/1.1\r\n\r\n", then: thenHangUp},
	{name: "malformed header", head: statusOK + "no colon\r\n\r\n", then: thenHangUp},
	{name: "malformed header name", head: statusOK + "a b: c\r\n\r\n", then: thenHangUp},
	{name: "gzip that is none", head: statusOK + "Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\n", body: "answer",
		handle: withHeader(flushed("answer", nothing), "Content-Encoding", "gzip")},
	{name: "gzip cut off", head: statusOK + "Content-Encoding: gzip\r\n\r\n", body: zipped("answer")[:20], then: thenHangUp,
		handle: withHeader(flushed(zipped("answer")[:20], abort), "Content-Encoding", "gzip")},
	{name: "upgrade not asked for", head: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", then: thenEcho},
}

var (
	silence = reaction{name: "silence", then: thenHold, handle: untilGone}
	stall   = reaction{name: "stall", head: statusOK + "Content-Length: 10\r\n\r\n", body: "answer", then: thenHold, handle: flushed("answer", untilGone)}
)

// early returns a as it is answered before the body is read.
func early(a reaction) reaction {
	a.name, a.early = "early "+a.name, true
	return a
}

// A witness is a server, and what it saw.
type witness struct {
	reaction
	resets atomic.Bool

	mu    sync.Mutex
	bytes []string // of each request, on the wire
	saw   []string // what each request was
	conns int
	packs int // writes of the client's to its connections
}

// note takes down a request, and its bytes where they are known.
func (w *witness) note(bytes string, req *http.Request, body []byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes = append(w.bytes, bytes)
	w.saw = append(w.saw, fmt.Sprintf("%s %s %s %s %v length %d %v, body %s, %v, trailer %v",
		req.Proto, req.Method, req.Host, req.URL, req.Header, req.ContentLength, req.TransferEncoding, body, err, req.Trailer))
}

// rawHTTP1 is the protocol whose server reads and writes bytes by itself.
const rawHTTP1 = "raw HTTP/1.1"

// transport returns one that speaks proto to w.
func (w *witness) transport(t *testing.T, proto string) *http.Transport {
	base := &http.Transport{}
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go w.serve(server)
		return client, nil
	}
	if proto != rawHTTP1 {
		base = servePiped(t, proto, w.handle)
		dial = base.DialContext
	}
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.conns++
		return witnessed{conn, w}, err
	}
	base.ExpectContinueTimeout = patience
	return base
}

func (w *witness) handle(rw http.ResponseWriter, r *http.Request) {
	var body []byte
	var err error
	if !w.early {
		body, err = io.ReadAll(r.Body)
	}
	w.note("", r, body, err)
	switch {
	case err != nil:
		panic(http.ErrAbortHandler)
	case r.URL.Path == elsewhere:
		plain(200).handle(rw, r)
	default:
		w.reaction.handle(rw, r)
	}
}

// serve is the server of raw bytes.
func (w *witness) serve(conn net.Conn) {
	defer conn.Close()
	var sent bytes.Buffer
	r := bufio.NewReader(io.TeeReader(conn, &sent))
	for {
		sent.Reset()
		req, err := http.ReadRequest(r)
		if err != nil {
			if sent.Len() > 0 {
				w.note(sent.String(), &http.Request{}, nil, err)
			}
			return
		}
		a := w.reaction
		if req.URL.Path == elsewhere {
			a = plain(200)
		}
		if a.early {
			head, _, _ := strings.Cut(sent.String(), "\r\n\r\n") // how much more is here by now is chance
			w.note(head, req, nil, nil)
		} else {
			if req.Header.Get("Expect") != "" {
				io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			body, err := io.ReadAll(req.Body)
			if w.note(sent.String(), req, body, err); err != nil {
				return
			}
		}
		text := a.head
		if req.Method != http.MethodHead {
			text += a.body
		}
		if text != "" { // with nobody to read it, to write nothing blocks
			io.WriteString(conn, text)
		}
		switch {
		case a.early, a.then == thenHold:
			io.Copy(io.Discard, r)
			return
		case a.then == thenEcho:
			line, _ := r.ReadString('\n')
			io.WriteString(conn, line)
			return
		case a.then == thenReset:
			w.resets.Store(true)
			return
		case a.then == thenHangUp:
			return
		}
	}
}

// A witnessed connection is the client's.
type witnessed struct {
	net.Conn
	*witness
}

func (c witnessed) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.packs++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c witnessed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF && c.resets.Load() {
		err = &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return n, err
}
