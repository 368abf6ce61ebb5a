package pacer

import "strconv"

// A State is whether, and how, a pacer lets callers start as far as its quota goes. The
// package documentation has a table of what each means.
type State int

const (
	StateFlowing State = iota // the limits alone decide
	StatePaused               // nobody starts before Stats.PausedUntil
	StateProbing              // after a pause or an outage: starts double as long as they work
	StateDown                 // an outage: one start at a time tries whether it is over
)

// String returns "flowing", "paused", "probing" or "down".
func (s State) String() string {
	switch s {
	case StateFlowing:
		return "flowing"
	case StatePaused:
		return "paused"
	case StateProbing:
		return "probing"
	case StateDown:
		return "down"
	}
	return "State(" + strconv.Itoa(int(s)) + ")"
}
