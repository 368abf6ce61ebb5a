package pacer

// A ring is a queue that grows as needed. Its zero value is empty.
type ring[T any] struct {
	buf   []T // its length is a power of two, or zero
	first int
	len   int
}

func (r *ring[T]) at(i int) T { return r.buf[(r.first+i)&(len(r.buf)-1)] }

// ref returns the place of element i; it holds until the next push.
func (r *ring[T]) ref(i int) *T { return &r.buf[(r.first+i)&(len(r.buf)-1)] }

func (r *ring[T]) last() *T { return r.ref(r.len - 1) }

func (r *ring[T]) full() bool { return r.len == len(r.buf) }

func (r *ring[T]) pushBack(t T) {
	if r.full() {
		buf := make([]T, max(8, 2*len(r.buf)))
		n := copy(buf, r.buf[r.first:])
		copy(buf[n:], r.buf[:r.first])
		r.buf, r.first = buf, 0
	}
	r.buf[(r.first+r.len)&(len(r.buf)-1)] = t
	r.len++
}

func (r *ring[T]) popFront() T {
	t := r.buf[r.first]
	r.first = (r.first + 1) & (len(r.buf) - 1)
	r.len--
	return t
}

// remove takes n elements out, from i on. It moves those behind them, so what is near the
// back is removed fast.
func (r *ring[T]) remove(i, n int) {
	for ; i < r.len-n; i++ {
		*r.ref(i) = r.at(i + n)
	}
	r.len -= n
}

func (r *ring[T]) clear() { r.first, r.len = 0, 0 }
