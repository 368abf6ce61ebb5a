package pacer

import "time"

// maxFailures is of how many calls it is remembered that they have failed: of the last.
const maxFailures = 4_096

// failures are the calls that have failed since the last success, where Config.Outage is set.
// A call is known by when it came, which is a moment of its own for each. The zero value is
// empty.
type failures struct {
	calls map[time.Duration]struct{}
	order ring[time.Duration]
}

// add notes a failure of a call, and reports whether it is the first of that call.
func (f *failures) add(call time.Duration) (anew bool) {
	if f.has(call) {
		return false
	}
	if f.calls == nil {
		f.calls = make(map[time.Duration]struct{})
	}
	if f.order.len == maxFailures {
		delete(f.calls, f.order.popFront())
	}
	f.calls[call] = struct{}{}
	f.order.pushBack(call)
	return true
}

func (f *failures) has(call time.Duration) bool {
	_, failed := f.calls[call]
	return failed
}

func (f *failures) clear() {
	if f.order.len > 0 {
		clear(f.calls)
		f.order.clear()
	}
}
