package pacedhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/abort"
)

// What becomes of responses that nobody will read, and the wrapper of those delivered.

// What is read of a response that nobody will read, so that its connection can be
// used again: at most this much, for at most this long.
const (
	discardBytes = 64 << 10
	discardTime  = 100 * time.Millisecond
)

type chunk [discardBytes]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// discard drains and closes the body of a response that is thrown away.
func discard(resp *http.Response) {
	d := drain(resp)
	d.forget()
}

// An outcome is what an attempt that is retried brought: an error, or a response
// that is thrown away but for what was read of it, in case no other one comes.
type outcome struct {
	err  error
	resp *http.Response
	drained
}

// setAside discards the response, if there is one, and keeps what was read of it.
func setAside(resp *http.Response, err error) outcome {
	if resp == nil {
		return outcome{err: err}
	}
	return outcome{resp: resp, drained: drain(resp)}
}

// restore returns the response as it came. It must be whole.
func (o *outcome) restore() *http.Response {
	if o.buf != nil {
		o.resp.Body = io.NopCloser(bytes.NewReader(bytes.Clone(o.buf[:o.n])))
	}
	return o.resp
}

// failure says what went wrong, nil before the first attempt.
func (o *outcome) failure() error {
	if o.resp == nil {
		return o.err
	}
	return fmt.Errorf("server answered %d %s", o.resp.StatusCode, http.StatusText(o.resp.StatusCode))
}

// drained is what was read of a response.
type drained struct {
	buf   *chunk // nil if there was nothing to read
	n     int
	whole bool // all of it is here, and within the bound
}

// forget gives up what was read.
func (d *drained) forget() {
	if d.buf != nil {
		chunks.Put(d.buf)
		d.buf = nil
	}
}

// drain reads a response's body within the bounds and closes it. It relies on Close to
// end a read that blocks.
func drain(resp *http.Response) drained {
	if resp.Body == http.NoBody {
		return drained{whole: true}
	}
	// While a body that net/http decompresses waits for its first bytes, its Close waits
	// too: only the end of the exchange ends both.
	var exchange abort.Exchange
	if resp.Uncompressed {
		if exchange = abort.Of(resp); exchange == nil {
			_ = resp.Body.Close() // before a read is under way
			return drained{}
		}
	}
	began := time.Now()
	timer := time.AfterFunc(discardTime, func() {
		if exchange != nil {
			exchange.Abort(errDiscarded)
		}
		_ = resp.Body.Close()
	})
	d := drained{buf: chunks.Get().(*chunk)}
	var err error
	for err == nil && d.n < len(d.buf) && time.Since(began) < discardTime {
		var n int
		n, err = resp.Body.Read(d.buf[d.n:])
		d.n += n
	}
	if err == nil && d.n == len(d.buf) {
		_, err = resp.Body.Read(nil) // takes nothing, but may tell that this was all
	}
	if timer.Stop() {
		_ = resp.Body.Close() // its error says nothing about a response that is thrown away
	}
	d.whole = err == io.EOF || d.n > 0 && int64(d.n) == resp.ContentLength
	return d
}

// whenRead returns a body that calls f after any error of Read and after Close, so perhaps
// twice. The body of a 101 response stays an io.Writer, and the end of what it brings is no
// end of it.
func whenRead(body io.ReadCloser, f func()) io.ReadCloser {
	r := &watchedBody{ReadCloser: body, read: f}
	switch conn := body.(type) {
	case halfCloser:
		r.writable = true
		return struct {
			*watchedBody
			halfCloser
		}{r, conn}
	case io.Writer:
		r.writable = true
		return struct {
			*watchedBody
			io.Writer
		}{r, conn}
	}
	return r
}

// A halfCloser is what the body of a 101 response may be besides an io.Writer;
// httputil.ReverseProxy asks.
type halfCloser interface {
	io.Writer
	CloseWrite() error
}

type watchedBody struct {
	io.ReadCloser
	read     func()
	writable bool // so the end of what comes is not its end
}

// Unwatched returns the body itself: [retrypolicy.Attempt.Peek] reads ahead of it once, however
// many layers watch it.
func (b *watchedBody) Unwatched() io.ReadCloser { return b.ReadCloser }

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !(b.writable && err == io.EOF) {
		b.read()
	}
	return n, err
}

func (b *watchedBody) Close() error {
	defer b.read()
	return b.ReadCloser.Close()
}
