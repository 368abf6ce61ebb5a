package replay

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// restTime is for how long the next copy waits for a read of the current one to end.
const restTime = 100 * time.Millisecond

// copies is a body of which GetBody gives copies: each attempt reads one, the first the
// body itself.
type copies struct {
	getBody func() (io.ReadCloser, error)
	length  int64
	current *copyReader
	next    *copyReader // once rewind has got it
}

func newCopies(req *http.Request) *copies {
	c := &copies{getBody: req.GetBody, length: req.ContentLength}
	c.next = newCopyReader(req.Body, c.length)
	return c
}

func (c *copies) attach(out *http.Request) {
	if c.current != nil {
		c.current.finish(errCutOff)
	}
	c.current, c.next = c.next, nil
	c.current.watch(abandonAt(out.Context(), c.current.finish))
	out.Body = c.current
}

func (c *copies) replayable() bool { return true }

func (c *copies) rewind() error {
	c.current.rest()
	body, err := getCopy(c.getBody)
	if err != nil {
		return err
	}
	c.next = newCopyReader(body, c.length)
	return nil
}

func (c *copies) close() {
	for _, r := range [...]*copyReader{c.current, c.next} {
		if r != nil {
			r.finish(errCutOff)
		}
	}
}

// retire has nothing to do: each reader closes its copy when it is done.
func (c *copies) retire() {}

// A copyReader reads the copy of one attempt, which it closes when it ends: with the copy,
// by Close, or when the attempt is cut off.
type copyReader struct {
	body   io.ReadCloser
	length int64

	mu      sync.Mutex
	changed sync.Cond // a read ended, or end was set
	read    int64     // bytes so far; of whoever is in body.Read
	reading bool      // somebody is in body.Read
	resting bool      // nobody may begin a read
	end     error     // why there is nothing more to read
	unwatch func() bool
}

func newCopyReader(body io.ReadCloser, length int64) *copyReader {
	r := &copyReader{body: body, length: length}
	r.changed.L = &r.mu
	return r
}

// Read implements io.Reader.
func (r *copyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	for r.end == nil && len(p) > 0 && (r.reading || r.resting) {
		r.changed.Wait()
	}
	if r.end != nil || len(p) == 0 {
		defer r.mu.Unlock()
		return 0, r.end
	}
	r.reading = true
	r.mu.Unlock()

	n, err := r.readBody(p)

	r.mu.Lock()
	cutOff := r.end
	r.mu.Unlock()
	switch {
	case cutOff != nil:
		return 0, cutOff
	case err != nil:
		r.finish(err)
	}
	return n, err
}

// readBody reads on in the body, without the lock: neither Close nor the end of the
// attempt waits for it.
func (r *copyReader) readBody(p []byte) (int, error) {
	defer func() { // also when the body's Read panics
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reading = false
		r.changed.Broadcast()
	}()
	n, err := r.body.Read(p)
	n, err = checkLength(r.length, r.read, n, err, r.readMore)
	r.read += int64(n)
	return n, err
}

func (r *copyReader) readMore(p []byte) (int, error) {
	r.mu.Lock()
	end := r.end
	r.mu.Unlock()
	if end != nil {
		return 0, end
	}
	return r.body.Read(p)
}

// Close implements io.Closer.
func (r *copyReader) Close() error {
	r.finish(errCutOff)
	return nil
}

// finish ends the reader with why, unless it has ended, and closes the copy. net/http may
// not return from a cancelled send before a Read that blocks has ended, and only Close
// may end that.
func (r *copyReader) finish(why error) {
	r.mu.Lock()
	if r.end != nil {
		r.mu.Unlock()
		return
	}
	r.end = why
	r.changed.Broadcast()
	reading, unwatch := r.reading, r.unwatch
	r.mu.Unlock()

	if unwatch != nil {
		unwatch()
	}
	if reading {
		// Closing may be what ends the read, or may have to wait for it: bodies of
		// both kinds exist. The goroutine ends with that Close.
		go r.body.Close()
		return
	}
	_ = r.body.Close() // the caller's; nobody is left to tell
}

// watch keeps what ends the watch of the attempt's context.
func (r *copyReader) watch(unwatch func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unwatch = unwatch; r.end != nil {
		unwatch()
	}
}

// rest keeps the copy from being read until it is cut off: GetBody may make the next
// copy by seeking back what both read. A read that blocks is not waited for.
func (r *copyReader) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resting = true
	if !r.reading {
		return
	}
	patient := true
	timer := time.AfterFunc(restTime, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		patient = false
		r.changed.Broadcast()
	})
	defer timer.Stop()
	for r.reading && patient {
		r.changed.Wait()
	}
}
