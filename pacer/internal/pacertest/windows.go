package pacertest

import "time"

// arrivals is so many callers at one time.
type arrivals struct {
	at      time.Duration
	callers int
}

// starts is a check of when callers start who arrive as told.
func starts(want []time.Duration, plan ...arrivals) func(*callers) {
	return func(c *callers) {
		for _, a := range plan {
			c.sleepUntil(a.at)
			c.arrive(a.callers)
		}
		c.wantStarts(want...)
	}
}

const (
	s  = time.Second
	ms = time.Millisecond
)

// A token bucket passes "burst after idling" with nine starts in a window, and a counter
// that is reset every period with nine too.
var windows = []guarantee{
	{"burst", burst(5, 10*s), starts(seconds(0, 0, 0, 0, 0, 10, 10, 10, 10, 10), arrivals{0, 10})},
	{"drip", drip(5, 10*s), starts(seconds(0, 2, 4, 6, 8, 10, 12, 14, 16, 18), arrivals{0, 10})},
	{"burst after idling", burst(5, 10*s), starts(
		seconds(0, 9, 9, 9, 9, 10, 19, 19, 19, 19, 20, 29, 29, 29, 29),
		arrivals{0, 1}, arrivals{9 * s, 4}, arrivals{10 * s, 10})},
	{"idling saves nothing up", burst(2, s), starts(seconds(100, 100, 101, 101, 102), arrivals{100 * s, 5})},
	{"each start opens its own window", burst(2, 10*s), starts(
		seconds(3, 7, 13, 17, 23, 27), arrivals{3 * s, 1}, arrivals{7 * s, 5})},
	{"two bursts", []Limit{{Calls: 2, Period: s}, {Calls: 5, Period: 10 * s}}, starts(
		seconds(0, 0, 1, 1, 2, 10, 10, 11, 11, 12, 20, 20), arrivals{0, 12})},
	{"the larger limit first", []Limit{{Calls: 100, Period: s}, {Calls: 1, Period: 5 * s}}, starts(
		seconds(0, 5, 10, 15), arrivals{0, 4})},
	{"a drip within a burst", []Limit{{Calls: 2, Period: 2 * s, Even: true}, {Calls: 3, Period: 10 * s}}, starts(
		seconds(0, 1, 2, 10, 11, 12, 20), arrivals{0, 7})},
	{"two drips", []Limit{{Calls: 1, Period: s, Even: true}, {Calls: 2, Period: 6 * s, Even: true}}, starts(
		seconds(0, 3, 6, 9), arrivals{0, 4})},
	{"drip that idled fires no bunch", drip(2, s), starts(
		[]time.Duration{0, 10*s + 250*ms, 10*s + 750*ms, 11*s + 250*ms}, arrivals{0, 1}, arrivals{10*s + 250*ms, 3})},
	{"drip does not creep", drip(1, s), starts(
		[]time.Duration{0, 1*s + 300*ms, 2*s + 300*ms, 3*s + 300*ms}, arrivals{0, 1}, arrivals{1*s + 300*ms, 3})},
	{"drip keeps its grid when a start is late", drip(10, 10*s), starts(
		[]time.Duration{0, 1*s + 300*ms, 2 * s, 3 * s}, arrivals{0, 1}, arrivals{1*s + 300*ms, 3})},
}
