package redispacer

import (
	"math"
	"time"
)

const forever = time.Duration(math.MaxInt64)

// A waiter is one caller in the queue.
type waiter struct {
	deadline   time.Duration // the context's, on the pacer's clock; forever if it has none
	out        error         // why it was put out of the queue; set before wake
	left       bool          // it is not in the queue any more
	asked      bool          // its place has a slot, or one was asked for
	wake       chan struct{} // told to look again; made by the call, never reused
	prev, next *waiter
}

// misses reports whether a start at t comes too late for w.
func (w *waiter) misses(t time.Duration) bool {
	return w.deadline != forever && t >= w.deadline
}

func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default: // it was told and has not looked yet
	}
}

// A queue holds the waiters in order of arrival. Anyone may leave from any place.
//
// Slots belong to places, not to callers: the first places have been asked for,
// and when someone leaves, those behind move up to them.
type queue struct {
	head, tail *waiter
	unasked    *waiter // the first whose place was not asked for
	len        int
	asked      int
}

func (q *queue) join(w *waiter) {
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next, w.prev = w, q.tail
	}
	q.tail = w
	if q.unasked == nil {
		q.unasked = w
	}
	q.len++
}

func (q *queue) leave(w *waiter) {
	if w.asked {
		q.asked--
	}
	if q.unasked == w {
		q.unasked = w.next
	}
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.left = true
	q.len--
}

// ask marks the next place as asked for and returns who stands there.
func (q *queue) ask() *waiter {
	w := q.unasked
	w.asked = true
	q.unasked = w.next
	q.asked++
	return w
}

// unask takes the last ask back.
func (q *queue) unask() {
	w := q.tail
	if q.unasked != nil {
		w = q.unasked.prev
	}
	w.asked = false
	q.unasked = w
	q.asked--
}
