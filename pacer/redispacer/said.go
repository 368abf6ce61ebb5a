package redispacer

import (
	"slices"
	"time"
)

// said is what the answer to a start said of a quota, for all processes.
type said struct {
	granted // the start
	name    string
	unit    int64 // as the script names it: 0 = starts, -1 = one that no limit counts in
	left    int
	until   time.Duration
}

// Said implements [gate.Remote]. It rides along with the next request for a start, but where
// nothing is left.
func (r *remote) Said(now, at time.Duration, begun int64, name string, unit, left int, until time.Duration) {
	start := r.taken.numbered(at, begun)
	if start == nil {
		return
	}
	s := said{start.granted, name, -1, left, until}
	if unit >= 0 {
		s.unit = 0
		if unit > 0 {
			s.unit = number(r.units[unit])
		}
	}
	same := func(o said) bool { return o.name == name && o.unit == s.unit }
	if i := slices.IndexFunc(r.trips.said, same); i < 0 {
		r.trips.said = append(r.trips.said, s)
	} else if r.trips.said[i].at <= s.at {
		r.trips.said[i] = s
	}
	r.tell(left == 0)
}

// Probed implements [gate.Remote].
func (r *remote) Probed(worked bool) {
	r.change(change{kind: probed, cost: truth(worked)})
}
