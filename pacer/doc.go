// Package pacer lets calls start only as fast as a quota allows.
//
// Most callers want [Burst] or [Drip] and [Pacer.Wait]:
//
//	p := pacer.Burst(5, time.Second)
//	for _, job := range jobs {
//		if err := p.Wait(ctx); err != nil {
//			return err
//		}
//		job.Run()
//	}
//
// # What a Pacer guarantees
//
// Strict windows: no window of length Period, wherever it begins, contains more
// than Calls starts. A start is the moment at which Wait decides to return,
// read on the monotonic clock. A token bucket lets up to 2·Calls−1 through in
// such a window, and a counter that is reset every Period 2·Calls.
//
// One queue: callers are served in order of arrival. Only the caller at the head
// keeps time; when it leaves, with its slot or without, it wakes the next. A
// caller who gives up costs nothing: those behind move up and no slot is lost.
//
// Even spacing: [Drip] and Limit.Even put starts on a grid, Period/Calls apart.
// A start that is late by less than that leaves the grid in place, so the rate
// does not creep; a later one begins a new grid, so missed slots are never fired
// in a bunch. Strict windows come first: where a late start would make a window
// too full one Period later, that later start waits and the grid goes with it. The
// fewer the Calls the more starts that concerns: with Calls 1 every one, so that all
// lateness stays.
//
// Precision: on Linux starts are within some microseconds of their slot where
// the runtime's timer alone would be up to a millisecond late. The head spins at
// most 200 µs per start for that. Config.Coarse turns it off.
//
// A Pacer is made by [New], [Burst] or [Drip], is safe for concurrent use, and
// has no goroutine of its own: there is nothing to close.
package pacer
