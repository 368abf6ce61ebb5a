package redispacer

import (
	"slices"
	"sort"
	"time"
)

// A reserved start is on the record in Redis, for whoever is the head when it is due.
type reserved struct {
	granted
	due   time.Duration // on the pacer's clock
	costs []int         // by unit, without starts
}

// fits reports whether it is for a start of these costs, starts first.
func (r *reserved) fits(costs []int) bool { return slices.Equal(r.costs, costs[1:]) }

// insert keeps the order: answers may overtake each other.
func insert(all []reserved, r reserved) []reserved {
	i := sort.Search(len(all), func(i int) bool { return all[i].due > r.due })
	return slices.Insert(all, i, r)
}

// maxTaken bounds how many starts may still be settled or canceled.
const maxTaken = 8192

// taken remembers the starts that happened, by when that was, as long as they may be settled.
type taken struct {
	starts []takenStart
}

type takenStart struct {
	granted
	at    time.Duration
	begun int64 // its number
	costs []int // by unit, starts first: what is on the record
}

func (t *taken) add(s takenStart, span time.Duration) {
	if n := len(t.starts); n == maxTaken || n == cap(t.starts) {
		i := sort.Search(n, func(i int) bool { return add(t.starts[i].at, span) > s.at })
		if n == maxTaken {
			i = max(i, 1)
		}
		t.starts = slices.Delete(t.starts, 0, i)
	}
	t.starts = append(t.starts, s)
}

// find returns the start that happened at a time and costs so much in a unit. Of several that
// cost the same it does not matter which one it is, but once the first of its costs was given
// back it is that one. Where several cost differently nobody knows: nil.
func (t *taken) find(at time.Duration, unit, cost int) (found *takenStart) {
	i := t.first(at)
	for first := i; i < len(t.starts) && t.starts[i].at == at; i++ {
		s := &t.starts[i]
		if !slices.Equal(s.costs[1:], t.starts[first].costs[1:]) && s.costs[0] == 1 && t.starts[first].costs[0] == 1 {
			return nil
		}
		if s.costs[unit] == cost && (found == nil || s.costs[0] < found.costs[0]) {
			found = s
		}
	}
	return found
}

// numbered returns the start of a number that happened at a time, if it is remembered.
func (t *taken) numbered(at time.Duration, number int64) *takenStart {
	for i := t.first(at); i < len(t.starts) && t.starts[i].at == at; i++ {
		if t.starts[i].begun == number {
			return &t.starts[i]
		}
	}
	return nil
}

// first returns the place of the first start at a time or later.
func (t *taken) first(at time.Duration) int {
	return sort.Search(len(t.starts), func(i int) bool { return t.starts[i].at >= at })
}

func (t *taken) clear() { t.starts = nil }
