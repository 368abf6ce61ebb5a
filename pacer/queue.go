package pacer

import (
	"context"
	"math/rand/v2"
	"time"
)

// A waiter is one caller in the queue.
type waiter struct {
	pacer    *Pacer          // that was asked
	ctx      context.Context // says what it costs
	slot     *Slot           // nil for Wait where nothing but starts is counted
	heard    bool            // a report of its start will come
	back     int             // how often it has failed: it lets those go first who have less often
	arrived  time.Duration   // its place is of one who came then; tells its call from others
	joined   time.Duration   // when it really came
	deadline time.Duration   // the context's, on the pacer's clock; forever if it has none
	latest   time.Duration   // the last moment at which Config.MaxWait lets it start; forever without
	refused  error           // why it was put out of the queue; set before wake
	wake     chan struct{}   // told when it becomes the head, or is refused; made by the call, never reused
	node
}

// misses reports whether a start at t comes too late for w.
func (w *waiter) misses(t time.Duration) error {
	switch {
	case w.deadline != forever && t >= w.deadline:
		return ErrDeadline
	case t > w.latest:
		return ErrMaxWait
	}
	return nil
}

func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default: // it was told and has not looked yet
	}
}

// sleep returns when w is told something, or its context or MaxWait ends.
func (w *waiter) sleep(ctx context.Context, left time.Duration) {
	var ends <-chan time.Time
	if w.latest != forever {
		t := time.NewTimer(left)
		defer t.Stop()
		ends = t.C
	}
	select {
	case <-w.wake:
	case <-ctx.Done():
	case <-ends:
	}
}

// A queue holds the waiters in order of arrival, and of joining among those who arrived
// at one moment. Anyone may leave from any place; when the head leaves, the next one is
// told that it is the head now.
//
// It is a treap: a search tree in order of arrival and a heap in random priorities,
// which keeps it flat. So whoever comes back to an earlier place finds it in O(log n),
// and how much is ahead of it too.
type queue struct {
	root, head, tail *waiter
	len              int
	joined           uint64
}

// A node is a waiter's place in the tree.
type node struct {
	left, right *waiter
	priority    uint32
	number      uint64        // in order of joining, from 1; 0 = not yet
	size        int           // waiters below and including this one
	reports     int           // of them, those of whose start a report will come
	costs       []int         // theirs together, by unit; nil where nothing but starts is counted
	ends        time.Duration // the first deadline or latest of theirs
}

func (q *queue) join(w *waiter) {
	q.joined++
	w.number, w.priority = q.joined, rand.Uint32()
	if w.slot != nil && len(w.slot.costs) > 1 {
		w.costs = make([]int, len(w.slot.costs))
	}
	w.update()
	q.root = insert(q.root, w)
	q.len++
	if q.tail == nil || q.tail.before(w) {
		q.tail = w
	}
	if head := q.head; head == nil || w.before(head) {
		q.head = w
		if head != nil {
			head.notify() // that it need not keep time any more
		}
	}
}

func (q *queue) leave(w *waiter) {
	q.root = remove(q.root, w)
	q.len--
	if q.tail == w {
		q.tail = q.root.last()
	}
	if q.head == w {
		q.head = q.root.first()
		if q.head != nil {
			q.head.notify()
		}
	}
}

// firstOf returns the first of whose start a report will come, or will not.
func (q *queue) firstOf(heard bool) *waiter {
	t := q.root
	for t.has(heard) {
		switch {
		case t.left.has(heard):
			t = t.left
		case t.heard == heard:
			return t
		default:
			t = t.right
		}
	}
	return nil
}

// has reports whether one is below and including w of whose start a report will come, or will
// not.
func (w *waiter) has(heard bool) bool {
	if w == nil {
		return false
	}
	return heard && w.reports > 0 || !heard && w.reports < w.size
}

// reorder puts those who let others go first, by when they came, into their places. Whoever is
// the head by that is told.
func (q *queue) reorder(back func(call time.Duration) int) {
	var all []*waiter
	changed := false
	q.each(func(*waiter) bool { return false }, func(w *waiter) {
		all = append(all, w)
		changed = changed || back(w.arrived) != w.back
	})
	if !changed {
		return
	}
	q.root = nil
	for _, w := range all {
		w.back, w.left, w.right = back(w.arrived), nil, nil
		w.update()
		q.root = insert(q.root, w)
	}
	q.head, q.tail = q.root.first(), q.root.last()
	q.head.notify()
}

// ahead adds up what those ahead of w cost by unit, starts first. w need not have joined.
// The caller lends costs.
func (q *queue) ahead(w *waiter, costs []int) {
	clear(costs)
	n := 0
	for t := q.root; t != nil; {
		if !t.before(w) {
			t = t.left
			continue
		}
		n++
		t.slot.addTo(costs)
		if left := t.left; left != nil {
			n += left.size
			left.addTo(costs)
		}
		t = t.right
	}
	costs[0] = n
}

// each calls f for all waiters in order, but for those below and including one for whom pass
// says so. Neither must change the queue.
func (q *queue) each(pass func(*waiter) bool, f func(*waiter)) { q.root.each(pass, f) }

func (w *waiter) each(pass func(*waiter) bool, f func(*waiter)) {
	if w != nil && !pass(w) {
		w.left.each(pass, f)
		f(w)
		w.right.each(pass, f)
	}
}

func (w *waiter) before(other *waiter) bool {
	if w.back != other.back {
		return w.back < other.back
	}
	if w.arrived != other.arrived {
		return w.arrived < other.arrived
	}
	return w.number != 0 && (other.number == 0 || w.number < other.number)
}

func insert(t, w *waiter) *waiter {
	if t == nil {
		return w
	}
	if w.priority > t.priority {
		w.left, w.right = split(t, w)
		w.update()
		return w
	}
	if w.before(t) {
		t.left = insert(t.left, w)
	} else {
		t.right = insert(t.right, w)
	}
	t.update()
	return t
}

// split parts t into those before w and those after it.
func split(t, w *waiter) (before, after *waiter) {
	if t == nil {
		return nil, nil
	}
	if t.before(w) {
		t.right, after = split(t.right, w)
		before = t
	} else {
		before, t.left = split(t.left, w)
		after = t
	}
	t.update()
	return before, after
}

func remove(t, w *waiter) *waiter {
	switch {
	case t == w:
		return merge(t.left, t.right)
	case w.before(t):
		t.left = remove(t.left, w)
	default:
		t.right = remove(t.right, w)
	}
	t.update()
	return t
}

func merge(before, after *waiter) *waiter {
	switch {
	case before == nil:
		return after
	case after == nil:
		return before
	case before.priority > after.priority:
		before.right = merge(before.right, after)
		before.update()
		return before
	default:
		after.left = merge(before, after.left)
		after.update()
		return after
	}
}

func (w *waiter) update() {
	w.size, w.reports, w.ends = 1, 0, min(w.deadline, w.latest)
	if w.heard {
		w.reports = 1
	}
	clear(w.costs)
	w.slot.addTo(w.costs)
	for _, t := range [...]*waiter{w.left, w.right} {
		if t != nil {
			w.size += t.size
			w.reports += t.reports
			w.ends = min(w.ends, t.ends)
			t.addTo(w.costs)
		}
	}
}

// addTo adds what is below w to costs.
func (w *waiter) addTo(costs []int) { addCosts(costs, w.costs) }

func (w *waiter) first() *waiter {
	if w != nil {
		for w.left != nil {
			w = w.left
		}
	}
	return w
}

func (w *waiter) last() *waiter {
	if w != nil {
		for w.right != nil {
			w = w.right
		}
	}
	return w
}
