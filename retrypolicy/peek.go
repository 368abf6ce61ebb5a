package retrypolicy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/abort"
)

// What is read ahead of a response: at most this much, for at most this long.
const (
	peekBytes = 64 << 10
	peekTime  = 100 * time.Millisecond
	peekChunk = 4 << 10
)

// Peek returns the first n bytes of the response's body, at most 64 KiB, without consuming
// them: whoever gets the response reads all of it. It is for what only the body tells, such as
// the error code of a service that answers everything with 400.
//
// It returns less where the body ends, fails or keeps it waiting: after 100 ms, which all Peeks
// of a response share, and at the end of Request's context it returns what has come. What comes
// later is the reader's, and so is the error. It returns nil for an answer to HEAD, for a 101
// and any body that can be written to, for an attempt that ended with an error, for an n of
// zero or less, and under [Do].
//
// The bytes must not be changed; they may be kept. Peek puts a body of its own in the place of
// Response.Body: it is for whoever judges the attempt, a [Classifier] or Config.ServerDelay,
// and not for two goroutines at once. What reads ahead ends with the body, or with its Close.
// Ask for the status first: a stream that goes well is delivered late by a Peek.
func (a Attempt) Peek(n int) []byte {
	resp := a.Response
	if n <= 0 || a.Err != nil || resp == nil || !peekable(resp) || isHead(a.Request) || isHead(resp.Request) {
		return nil
	}
	body := peeked(resp.Body)
	if body == nil {
		body = &peekedBody{resp: resp, body: resp.Body, left: peekTime}
		resp.Body = body
	}
	var end <-chan struct{}
	if a.Request != nil {
		end = a.Request.Context().Done()
	}
	return body.peek(min(n, peekBytes), end)
}

func peekable(resp *http.Response) bool {
	if resp.Body == nil || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return false
	}
	_, writable := resp.Body.(io.Writer)
	return !writable
}

func isHead(req *http.Request) bool { return req != nil && req.Method == http.MethodHead }

// peeked returns the body of an earlier Peek, nil if there was none. The layers of pacedhttp may
// have put theirs around it since.
func peeked(body io.ReadCloser) *peekedBody {
	for {
		switch b := body.(type) {
		case *peekedBody:
			return b
		case interface{ Unwatched() io.ReadCloser }:
			body = b.Unwatched()
		default:
			return nil
		}
	}
}

// A peekedBody is a response's body of which something was read ahead. A Read that blocks
// cannot be taken back, so a goroutine reads ahead, and whoever reads the body waits for it.
type peekedBody struct {
	resp *http.Response
	body io.ReadCloser
	left time.Duration // of peekTime

	mu       sync.Mutex
	ahead    []byte        // what was read ahead and not given out; never overwritten
	want     int           // how long ahead is to be
	err      error         // how reading ahead ended; comes after ahead
	panicked any           // what a Read panicked with
	reading  chan struct{} // closed when reading ahead is over; nil when none is under way
	begun    bool          // something has come
	closed   bool
}

// peek reads ahead until there are n bytes, time is up or end comes.
func (b *peekedBody) peek(n int, end <-chan struct{}) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	began := time.Now()
	timer := time.NewTimer(b.left)
	defer timer.Stop()
	b.want = n
	for waits := b.left > 0; waits && b.wanting(); {
		over := b.readAhead()
		b.mu.Unlock()
		select {
		case <-over:
		case <-timer.C:
			waits = false
		case <-end:
			waits = false
		}
		b.mu.Lock()
	}
	b.want = 0 // no Read after the one under way
	b.left -= time.Since(began)
	b.rethrow()
	got := min(n, len(b.ahead))
	return b.ahead[:got:got]
}

// wanting reports whether more is to be read ahead. The lock must be held, also for what
// follows up to fill.
func (b *peekedBody) wanting() bool {
	return len(b.ahead) < b.want && b.err == nil && b.panicked == nil && !b.closed
}

// readAhead returns what is closed when a goroutine has read what is wanted.
func (b *peekedBody) readAhead() <-chan struct{} {
	if b.reading == nil {
		b.reading = make(chan struct{})
		go b.fill(make([]byte, min(b.want-len(b.ahead), peekChunk)))
	}
	return b.reading
}

// rethrow panics where whoever reads the body would have, had nobody read ahead.
func (b *peekedBody) rethrow() {
	if b.panicked != nil {
		panic(b.panicked)
	}
}

func (b *peekedBody) fill(chunk []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		close(b.reading)
		b.reading = nil
	}()
	for b.wanting() {
		p := chunk[:min(b.want-len(b.ahead), len(chunk))]
		b.mu.Unlock()
		got, panicked, err := read(b.body, p)
		b.mu.Lock()
		b.ahead = append(b.ahead, got...)
		b.err, b.panicked = err, panicked
		b.begun = b.begun || len(got) > 0
	}
}

// read keeps a panic for those who wait for the goroutine: in it nobody could recover.
func read(r io.Reader, p []byte) (got []byte, panicked any, err error) {
	defer func() { panicked = recover() }()
	n, err := r.Read(p)
	return p[:n], nil, err
}

// Read gives out what was read ahead, and then the rest.
func (b *peekedBody) Read(p []byte) (int, error) {
	if n, ok, err := b.take(p); ok {
		return n, err
	}
	return b.body.Read(p)
}

// take reads from what was read ahead. It reports false if there is nothing of that.
func (b *peekedBody) take(p []byte) (n int, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.reading != nil && (len(b.ahead) == 0 || b.closed) {
		over := b.reading
		b.mu.Unlock()
		<-over
		b.mu.Lock()
		if b.closed && b.err != nil {
			return 0, true, b.err // the Read that Close ended was this one's
		}
	}
	if b.closed {
		return 0, false, nil
	}
	b.rethrow()
	if len(b.ahead) == 0 {
		return 0, b.err != nil, b.err
	}
	n = copy(p, b.ahead)
	if b.ahead = b.ahead[n:]; len(b.ahead) > 0 {
		return n, true, nil
	}
	b.ahead = nil
	return n, true, b.err
}

var errNotBegun = errors.New("retrypolicy: the response was closed before it began")

// Close closes the body, also while it is read ahead, which ends with it.
func (b *peekedBody) Close() error {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	// While a body that net/http decompresses waits for its first bytes, its Close waits
	// too: only the end of the exchange ends both.
	stuck := b.reading != nil && !b.begun && b.resp.Uncompressed
	b.mu.Unlock()
	if stuck {
		exchange := abort.Of(b.resp)
		if exchange == nil {
			if !again {
				go b.body.Close() // until the caller's context ends, or the server hangs up
			}
			return nil
		}
		exchange.Abort(errNotBegun)
	}
	return b.body.Close()
}
