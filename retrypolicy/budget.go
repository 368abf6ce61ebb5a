package retrypolicy

import (
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	budgetWindow = 10 * time.Second

	// budgetGrain bounds the memory: events closer together than this are counted
	// as one. It divides the window.
	budgetGrain = 100 * time.Millisecond
)

// A Budget limits retries to a fraction of calls. While a service is down every
// call wants to be retried, and retries would multiply the load exactly when it
// hurts; a Budget lets through only as many as the healthy traffic justifies, plus
// a floor that keeps quiet clients able to retry at all.
//
// A retry is allowed if the retries of the last 10 s, this one included, number at
// most ratio times the calls of the last 10 s, rounded down, plus 10·minPerSecond.
// The window slides and time is monotonic. To remember little, calls that began
// within 100 ms are forgotten together with the first of them, and retries with the
// last, which errs towards fewer retries. A retry counts when it is decided, before
// its delay.
//
// One Budget may be shared by several policies, which is the way to protect one
// service called through several clients. It is safe for concurrent use. The zero
// Budget allows no retry; a nil *Budget in [Config] allows all.
type Budget struct {
	ratio        float64
	minPerSecond int

	mu      sync.Mutex
	start   time.Time // set by the first event; carries the monotonic clock
	calls   tally
	retries tally
}

// NewBudget returns a [Budget] of ratio retries per call, from 0 to 1, and
// minPerSecond retries a second on top, 0 or more: NewBudget(0.1, 1) adds at most
// 10 % and one retry a second to the load. [New] refuses a Budget with other values.
func NewBudget(ratio float64, minPerSecond int) *Budget {
	return &Budget{ratio: ratio, minPerSecond: minPerSecond}
}

// countCall records the first attempt of a call.
func (b *Budget) countCall() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.calls.forget(now - budgetWindow)
	b.calls.add(now)
}

// allowRetry records a retry, if there is room for it.
func (b *Budget) allowRetry() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.calls.forget(now - budgetWindow)
	b.retries.forget(now - budgetWindow)
	if float64(b.retries.total+1) > b.allowed() {
		return false
	}
	// Filed under its newest, an entry is never forgotten too early.
	b.retries.add(now).at = now
	return true
}

// allowed is the number of retries the calls of the window justify. The nudge
// makes 0.29 of 100 calls 29, which binary fractions put just below.
func (b *Budget) allowed() float64 {
	return math.Floor(b.ratio*float64(b.calls.total)+1e-9) + float64(b.minPerSecond)*budgetWindow.Seconds()
}

// now is the time since the first event. It is read under b.mu, so it never goes
// back.
func (b *Budget) now() time.Duration {
	if b.start.IsZero() {
		b.start = time.Now()
	}
	return time.Since(b.start)
}

func (b *Budget) validate() error {
	switch {
	case !(b.ratio >= 0 && b.ratio <= 1): // NaN fails every comparison
		return fmt.Errorf("NewBudget(%v, %d), the ratio must be from 0 to 1", b.ratio, b.minPerSecond)
	case b.minPerSecond < 0:
		return fmt.Errorf("NewBudget(%v, %d), the minimum per second must not be negative", b.ratio, b.minPerSecond)
	default:
		return nil
	}
}

// A tally counts the events of a sliding window in a ring of entries, oldest
// first. Entries begin at least one grain apart and end less than one grain later,
// so a window holds no more of them than fit.
type tally struct {
	entries [budgetWindow/budgetGrain + 1]entry
	first   int // index of the oldest entry
	used    int
	total   int // sum over the used entries
}

type entry struct {
	began time.Duration // its first event
	at    time.Duration // when it counts as having happened
	n     int
}

// add counts one event at now and returns its entry. The window must have been
// slid to now, by forget.
func (t *tally) add(now time.Duration) *entry {
	t.total++
	if t.used > 0 {
		newest := &t.entries[(t.first+t.used-1)%len(t.entries)]
		if now-newest.began < budgetGrain {
			newest.n++
			return newest
		}
	}
	e := &t.entries[(t.first+t.used)%len(t.entries)]
	*e = entry{began: now, at: now, n: 1}
	t.used++
	return e
}

// forget drops the entries that happened at or before limit.
func (t *tally) forget(limit time.Duration) {
	for t.used > 0 && t.entries[t.first].at <= limit {
		t.total -= t.entries[t.first].n
		t.first = (t.first + 1) % len(t.entries)
		t.used--
	}
}
