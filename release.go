package pacedhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// What is read of a response that nobody will read, so that its connection can be
// used again: at most this much, for at most this long.
const (
	releaseBytes = 64 << 10
	releaseTime  = 100 * time.Millisecond
)

type chunk [releaseBytes]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// release drains and closes the body of a response that is thrown away.
func release(resp *http.Response) {
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

// setAside releases the response, if there is one, and keeps what was read of it.
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

// failure says what went wrong.
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

// drain reads a response's body within the bounds and closes it.
func drain(resp *http.Response) drained {
	if resp.Body == http.NoBody {
		return drained{whole: true}
	}
	if !resp.Uncompressed {
		return drainBody(resp)
	}
	// While a body that net/http decompresses waits for its first bytes, its Close
	// waits too. The goroutine ends with that read: at the latest when the server
	// hangs up or the caller's context ends.
	done := make(chan drained, 1)
	go func() { done <- drainBody(resp) }()
	select {
	case d := <-done:
		return d
	case <-time.After(releaseTime):
		return drained{}
	}
}

// drainBody relies on Close to end a read that blocks.
func drainBody(resp *http.Response) drained {
	began := time.Now()
	timer := time.AfterFunc(releaseTime, func() { _ = resp.Body.Close() })
	d := drained{buf: chunks.Get().(*chunk)}
	var err error
	for err == nil && d.n < len(d.buf) && time.Since(began) < releaseTime {
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
