package pacedhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
)

// patience is longer than anything here takes.
const patience = time.Hour

// A comparison is one call.
type comparison struct {
	proto  string
	method string
	body   sentBody
	answer reaction
	life   life
	way    way
}

func (c comparison) String() string {
	return strings.Join([]string{c.proto, c.method, c.body.name, c.answer.name, c.life.name, string(c.way)}, ", ")
}

// possible reports whether there is such a call.
func (c comparison) possible() bool {
	return (c.proto == rawHTTP1 || c.answer.handle != nil) && (c.life.timeout == 0 || c.way == throughClient)
}

// A way is what a program calls.
type way string

const (
	throughRoundTrip way = "RoundTrip"
	throughClient    way = "Client"
)

var ways = []way{throughRoundTrip, throughClient}

// A sentBody is the body of a request.
type sentBody struct {
	name   string
	reader func(*testing.T) io.Reader // nil: none
	edit   func(*http.Request)        // what NewRequest does not find
	memory bool                       // leaves in one write with the head

	mismatch bool // with its ContentLength
}

const payload = "payload"

var longPayload = noise(40 * kib)

var errBroken = errors.New("disk gone")

// hidden is a body of which NewRequest finds nothing.
func hidden(*testing.T) io.Reader { return struct{ io.Reader }{strings.NewReader(payload)} }

func inMemory(*testing.T) io.Reader { return strings.NewReader(payload) }

func openFile(t *testing.T) io.Reader {
	f, err := os.Open("main_test.go") // any file will do
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func piped(*testing.T) io.Reader {
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		io.WriteString(w, payload[:3])
		io.WriteString(w, payload[3:])
	}()
	return r
}

func ofLength(n int64) func(*http.Request) { return func(r *http.Request) { r.ContentLength = n } }

func expect(r *http.Request) { r.Header.Set("Expect", "100-continue") }

func withTrailer(r *http.Request) {
	r.Trailer = http.Header{"X-Sum": nil}
	r.Body = struct {
		io.Reader
		io.Closer
	}{summedBody{r.Body, r.Trailer}, r.Body}
	r.GetBody = nil
}

var noBody = sentBody{name: "no body", memory: true}

var sentBodies = []sentBody{
	noBody,
	{name: "NoBody", reader: func(*testing.T) io.Reader { return http.NoBody }, memory: true},
	{name: "empty string", reader: func(*testing.T) io.Reader { return strings.NewReader("") }, memory: true},
	{name: "empty stream", reader: func(*testing.T) io.Reader { return struct{ io.Reader }{strings.NewReader("")} }},
	{name: "bytes.Reader", reader: func(*testing.T) io.Reader { return bytes.NewReader([]byte(payload)) }, memory: true},
	{name: "bytes.Buffer", reader: func(*testing.T) io.Reader { return bytes.NewBufferString(payload) }, memory: true},
	{name: "strings.Reader", reader: inMemory, memory: true},
	{name: "strings.Reader without GetBody", reader: inMemory, edit: func(r *http.Request) { r.GetBody = nil }},
	{name: "strings.Reader of unknown length", reader: inMemory, edit: ofLength(-1)},
	{name: "long bytes.Reader", reader: func(*testing.T) io.Reader { return bytes.NewReader(longPayload) }},
	{name: "long stream", reader: func(*testing.T) io.Reader { return struct{ io.Reader }{bytes.NewReader(longPayload)} }},
	{name: "file", reader: openFile},
	{name: "file of known length", reader: openFile, edit: func(r *http.Request) {
		if info, err := r.Body.(*os.File).Stat(); err == nil {
			r.ContentLength = info.Size()
		}
	}},
	{name: "pipe", reader: piped},
	{name: "pipe of known length", reader: piped, edit: ofLength(7)},
	{name: "stream", reader: hidden},
	{name: "stream of known length", reader: hidden, edit: ofLength(7)},
	{name: "stream with GetBody", reader: hidden, edit: func(r *http.Request) {
		r.ContentLength = 7
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(hidden(nil)), nil }
	}},
	{name: "stream a byte a time", reader: func(t *testing.T) io.Reader { return iotest.OneByteReader(hidden(t)) }, edit: ofLength(7)},
	{name: "stream that ends with its last bytes", reader: func(t *testing.T) io.Reader { return iotest.DataErrReader(hidden(t)) }, edit: ofLength(7)},
	{name: "trailer", reader: inMemory, edit: func(r *http.Request) { withTrailer(r); r.ContentLength = -1 }},
	{name: "trailer after a known length", reader: inMemory, edit: withTrailer},
	{name: "expecting 100", reader: inMemory, edit: expect},
	{name: "stream expecting 100", reader: hidden, edit: expect},
}

// faultyBodies are never whole.
var faultyBodies = []sentBody{
	{name: "shorter than its length", reader: hidden, edit: ofLength(10), mismatch: true},
	{name: "longer than its length", reader: hidden, edit: ofLength(3), mismatch: true},
	{name: "strings.Reader shorter than its length", reader: inMemory, edit: ofLength(10), mismatch: true},
	{name: "strings.Reader longer than its length", reader: inMemory, edit: ofLength(3), mismatch: true},
	{name: "failing at once", reader: func(*testing.T) io.Reader { return failingReader{errBroken} }, edit: ofLength(7)},
	{name: "failing in the middle", reader: func(*testing.T) io.Reader {
		return io.MultiReader(strings.NewReader("pay"), failingReader{errBroken})
	}},
	{name: "failing in the middle of its length", reader: func(*testing.T) io.Reader {
		return io.MultiReader(strings.NewReader("pay"), failingReader{errBroken})
	}, edit: ofLength(7)},
}

// named returns those of sentBodies that have one of the names.
func named(names ...string) []sentBody {
	return slices.DeleteFunc(slices.Clone(sentBodies), func(b sentBody) bool { return !slices.Contains(names, b.name) })
}

// A life is what becomes of the caller's context.
type life struct {
	name    string
	begin   func() (context.Context, context.CancelFunc)
	over    bool          // at once
	timeout time.Duration // http.Client's
	cause   bool          // that is not the context's Err
}

func alive() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) }

// canceledAfterwards returns the beginning of a life that ends after a time, for a cause or without.
func canceledAfterwards(after time.Duration, cause error) func() (context.Context, context.CancelFunc) {
	return func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(context.Background())
		stop := func() { cancel(cause) }
		if after <= 0 {
			stop()
		} else {
			time.AfterFunc(after, stop)
		}
		return ctx, stop
	}
}

func endsWithin(after time.Duration) func() (context.Context, context.CancelFunc) {
	return func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), after)
	}
}

var (
	unending = []life{{name: "alive", begin: alive}}
	atOnce   = []life{
		{name: "cancelled before", begin: canceledAfterwards(0, nil), over: true},
		{name: "cancelled before, for a cause", begin: canceledAfterwards(0, errBroken), over: true, cause: true},
		{name: "deadline before", begin: endsWithin(-time.Second), over: true},
	}
	later = []life{
		{name: "cancelled", begin: canceledAfterwards(time.Minute, nil)},
		{name: "cancelled for a cause", begin: canceledAfterwards(time.Minute, errBroken), cause: true},
		{name: "deadline", begin: endsWithin(time.Minute)},
		{name: "Client.Timeout", begin: alive, timeout: time.Minute},
	}
)

// A sight is what was seen of a call, fact by fact.
type sight map[string]string

// over makes the call over net/http's transport, within the layers if they are not nil.
func (c comparison) over(t *testing.T, layers func() []pacedhttp.Middleware) sight {
	s := make(sight)
	synctest.Test(t, func(t *testing.T) {
		w := &witness{reaction: c.answer}
		base := w.transport(t, c.proto)
		var rt http.RoundTripper = base
		if layers != nil {
			rt = pacedhttp.New(base, layers()...)
		}
		ctx, stop := c.life.begin()
		defer stop()
		var hints []string
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h))
			return nil
		}})
		send := rt.RoundTrip
		if c.way == throughClient {
			send = (&http.Client{Transport: rt, Timeout: c.life.timeout}).Do
		}
		began := time.Now()
		resp, err := send(c.request(t, ctx))
		s["took"], s["error"] = time.Since(began).String(), lineage(err)
		s["failed"], s["timeout"] = fmt.Sprint(err != nil), isTimeout(err)
		if resp != nil {
			s.look(resp)
		}
		s["informational"] = fmt.Sprint(hints)
		base.CloseIdleConnections()
		synctest.Wait() // for the servers
		w.mu.Lock()
		defer w.mu.Unlock()
		s["bytes"], s["server"] = strings.Join(w.bytes, "\n"), strings.Join(w.saw, "\n")
		if c.proto == rawHTTP1 || len(w.saw) <= 1 {
			// Of HTTP/2 net/http pools a new connection only after it has given it to the
			// request: one that follows at once, after a redirect, may find it or dial.
			s["connections"] = fmt.Sprint(w.conns)
		}
		if c.proto == rawHTTP1 && c.body.memory {
			s["writes"] = fmt.Sprint(w.packs)
		}
	})
	return s
}

func (c comparison) request(t *testing.T, ctx context.Context) *http.Request {
	var body io.Reader
	if c.body.reader != nil {
		body = c.body.reader(t)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, "http://api.test/path?a=b", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header("X-Ask", "one", "X-Ask", "two", "Authorization", "secret")
	if c.answer.upgrade != "" {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", c.answer.upgrade)
	}
	if c.body.edit != nil {
		c.body.edit(req)
	}
	return req
}

// look reads a response to its end, and a little on.
func (s sight) look(resp *http.Response) {
	s["status"] = fmt.Sprint(resp.Proto, " ", resp.Status, " ", resp.StatusCode)
	s["header"] = fmt.Sprint(resp.Header)
	s["framing"] = fmt.Sprint(resp.ContentLength, resp.TransferEncoding, resp.Uncompressed, resp.Close)
	s["announced"] = fmt.Sprint(resp.Trailer)
	s["request"] = fmt.Sprint(resp.Request.Method, " ", resp.Request.URL, resp.Request.Header)
	if conn, ok := resp.Body.(io.Writer); ok {
		_, err := io.WriteString(conn, "ping\n")
		s["conversation"] = lineage(err)
		if c, ok := conn.(interface{ CloseWrite() error }); ok {
			s["half close"] = lineage(c.CloseWrite())
		}
	} else if resp.StatusCode == http.StatusSwitchingProtocols {
		s["conversation"] = "impossible"
		resp.Body.Close()
	}
	body, err := io.ReadAll(resp.Body)
	s["body"], s["end"], s["timeout at the end"] = string(body), lineage(err), isTimeout(err)
	_, err = resp.Body.Read(make([]byte, 1))
	s["after the end"] = lineage(err)
	s["trailer"] = fmt.Sprint(resp.Trailer)
	s["close"] = lineage(resp.Body.Close())
	_, err = resp.Body.Read(make([]byte, 1))
	s["after the close"] = lineage(err)
}

// isTimeout tells whether net.Error says that err is one.
func isTimeout(err error) string {
	e, ok := errors.AsType[net.Error](err)
	return fmt.Sprint(ok && e.Timeout())
}

// famous errors are compared with by identity.
var famous = []error{io.EOF, io.ErrUnexpectedEOF, context.Canceled, context.DeadlineExceeded, errBroken, http.ErrBodyReadAfterClose}

// lineage tells an error's type and text, whether it is a famous one, and those of all that it
// wraps.
func lineage(err error) string {
	if err == nil {
		return "none"
	}
	text := fmt.Sprintf("%T %q", err, err)
	if slices.ContainsFunc(famous, func(f error) bool { return err == f }) {
		text += " itself"
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			text += " of " + lineage(cause)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			text += " and " + lineage(cause)
		}
	}
	return text
}
