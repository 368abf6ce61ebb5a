package pacer

import "time"

// A waiter is one caller in the queue.
type waiter struct {
	deadline   time.Duration // the context's, on the pacer's clock; forever if it has none
	refused    error         // why it was put out of the queue; set before wake
	wake       chan struct{} // told when it becomes the head, or is refused; made by the call, never reused
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

// A queue holds the waiters in order of arrival. Anyone may leave from any
// place; when the head leaves, the next one is told that it is the head now.
type queue struct {
	head, tail *waiter
	len        int
}

func (q *queue) join(w *waiter) {
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next, w.prev = w, q.tail
	}
	q.tail = w
	q.len++
}

func (q *queue) leave(w *waiter) {
	if w.prev == nil {
		q.head = w.next
		if q.head != nil {
			q.head.notify()
		}
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	q.len--
}
