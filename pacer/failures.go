package pacer

import "time"

// maxFailures is of how many calls it is remembered that they have failed: of the last.
const maxFailures = 4_096

// failures are the calls that have failed since the last success, where Config.Outage is set.
// A call is known by when it came, which is a moment of its own for each. The zero value is
// empty.
type failures struct {
	calls map[time.Duration]int
	order ring[time.Duration]
}

// add notes a failure of a call, and reports whether it is the first of that call.
func (f *failures) add(call time.Duration) (anew bool) {
	if n, failed := f.calls[call]; failed {
		f.calls[call] = n + 1
		return false
	}
	if f.calls == nil {
		f.calls = make(map[time.Duration]int)
	}
	if f.order.len == maxFailures {
		delete(f.calls, f.order.popFront())
	}
	f.calls[call] = 1
	f.order.pushBack(call)
	return true
}

// of returns how often a call has failed.
func (f *failures) of(call time.Duration) int { return f.calls[call] }

func (f *failures) clear() {
	if f.order.len > 0 {
		clear(f.calls)
		f.order.clear()
	}
}
