package redispacer

import (
	"cmp"
	"slices"
	"time"
)

// A slot is a start reserved in Redis for this process.
type slot struct {
	at     time.Duration // on the pacer's clock
	server int64         // on the server's, in microseconds
	serial int64         // its name in the state
}

// slots holds what is reserved and not used yet, soonest first.
type slots []slot

func (s slots) last() slot { return s[len(s)-1] }

// add keeps the order: replies may overtake each other.
func (s *slots) add(t slot) {
	i := len(*s)
	for i > 0 && (*s)[i-1].at > t.at {
		i--
	}
	*s = slices.Insert(*s, i, t)
}

func (s *slots) popFirst() slot {
	first := (*s)[0]
	*s = (*s)[1:]
	return first
}

// popNewest removes what was reserved last: only that can be given back.
func (s *slots) popNewest() slot {
	i := 0
	for j := range *s {
		if (*s)[j].compare((*s)[i]) > 0 {
			i = j
		}
	}
	newest := (*s)[i]
	*s = slices.Delete(*s, i, i+1)
	return newest
}

// drop removes the slots that meet a condition and returns how many those were.
func (s *slots) drop(condition func(slot) bool) int {
	had := len(*s)
	*s = slices.DeleteFunc(*s, condition)
	return had - len(*s)
}

// compare orders slots as they were reserved.
func (t slot) compare(u slot) int {
	return cmp.Or(cmp.Compare(t.server, u.server), cmp.Compare(t.serial, u.serial))
}
