package pacertest

import "time"

// pause pauses the pacer until so long after its making.
func (c *callers) pause(until time.Duration) { c.pacer.PauseUntil(c.began.Add(until)) }

var pauses = []guarantee{
	{"a pause holds free slots back", burst(3, s), func(c *callers) {
		c.pause(5 * s)
		c.arrive(4)
		c.wantStarts(seconds(5, 5, 5, 6)...)
	}},
	{"a pause holds those who wait already", burst(1, s), func(c *callers) {
		c.arrive(3)
		c.sleepUntil(500 * ms)
		c.pause(5 * s)
		c.wantStarts(seconds(0, 5, 6)...)
	}},
	{"a pause is never shortened", burst(2, s), func(c *callers) {
		c.pause(5 * s)
		c.pause(2 * s)
		c.arrive(1)
		c.sleepUntil(s)
		c.pause(3 * s)
		c.wantStarts(seconds(5)...)
	}},
	{"a pause is lengthened", burst(2, s), func(c *callers) {
		c.pause(2 * s)
		c.arrive(1)
		c.sleepUntil(s)
		c.pause(4 * s)
		c.wantStarts(seconds(4)...)
	}},
	{"a pause until the past does nothing", burst(1, s), func(c *callers) {
		c.sleepUntil(10 * s)
		c.pause(9 * s)
		c.pause(10 * s)
		c.arrive(2)
		c.wantStarts(seconds(10, 11)...)
	}},
	{"a pause leaves the limits in force", drip(1, 2*s), func(c *callers) {
		c.arrive(1)
		c.pause(s)
		c.arrive(2)
		c.wantStarts(seconds(0, 2, 4)...)
	}},
	{"a pause refuses whom it makes too late", burst(1, s), func(c *callers) {
		c.arrive(1)
		late := c.arriveBefore(3 * s)
		c.sleepUntil(500 * ms)
		c.pause(10 * s)
		c.sleepUntil(500 * ms)
		c.wantRefused(late, 500*ms, 9500*ms)
		c.wantRefused(c.arriveBefore(3*s), 500*ms, 9500*ms)
		c.arrive(1)
		c.wantStarts(seconds(0, 10)...)
	}},
}
