package pacer

import "time"

// A ring is a queue of times that grows as needed. Its zero value is empty.
type ring struct {
	buf   []time.Duration // its length is a power of two, or zero
	first int
	len   int
}

func (r *ring) at(i int) time.Duration { return r.buf[(r.first+i)&(len(r.buf)-1)] }

func (r *ring) full() bool { return r.len == len(r.buf) }

func (r *ring) pushBack(t time.Duration) {
	if r.full() {
		buf := make([]time.Duration, max(8, 2*len(r.buf)))
		n := copy(buf, r.buf[r.first:])
		copy(buf[n:], r.buf[:r.first])
		r.buf, r.first = buf, 0
	}
	r.buf[(r.first+r.len)&(len(r.buf)-1)] = t
	r.len++
}

func (r *ring) popFront() time.Duration {
	t := r.buf[r.first]
	r.first = (r.first + 1) & (len(r.buf) - 1)
	r.len--
	return t
}

func (r *ring) clear() { r.first, r.len = 0, 0 }
