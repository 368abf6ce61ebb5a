package otelpacedhttp

import (
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/pacedhttp/pacedhttp"
)

// maxUnits bounds the costs of a span. A pacer counts in at most so many units, but a
// request may pass several.
const maxUnits = 16

// A slot is what is known of a pacer's, or of those that a send passed in a row.
type slot struct {
	paced    bool
	waited   time.Duration
	costs    map[string]int // by unit; nil where none are counted
	inFlight int            // 0 where they are not bounded
	fallback bool           // a shared pacer's let it start

	attempt int  // its number; 0 where no Retry layer counts
	begun   bool // the attempt has it from the last of its Pace layers
}

func (s *slot) appendTo(attrs []attribute.KeyValue) []attribute.KeyValue {
	if s.paced {
		attrs = append(attrs, keyPacingWait.Float64(s.waited.Seconds()))
	}
	if s.inFlight > 0 {
		attrs = append(attrs, keyPacingInFlight.Int(s.inFlight))
	}
	if s.fallback {
		attrs = append(attrs, keyPacingFallback.Bool(true))
	}
	if len(s.costs) == 0 { // and sort nothing
		return attrs
	}
	units := slices.Sorted(maps.Keys(s.costs))
	for _, unit := range units[:min(len(units), maxUnits)] {
		attrs = append(attrs, (keyPacingCost + "." + attribute.Key(unit)).Int(s.costs[unit]))
	}
	return attrs
}

// join adds to s what an outer Pace layer got for the same send.
func (s *slot) join(outer slot) {
	s.waited += outer.waited
	s.inFlight += outer.inFlight // one is zero
	s.fallback = s.fallback || outer.fallback
	if s.costs == nil {
		s.costs = outer.costs
	} else {
		maps.Copy(s.costs, outer.costs)
	}
}

// joins reports whether outer is for the same send as s, as far as can be told: what tells
// of the same thing is for another that is made at the same time.
func (s *slot) joins(outer slot) bool {
	if outer.begun || s.inFlight > 0 && outer.inFlight > 0 {
		return false
	}
	for unit := range outer.costs {
		if _, told := s.costs[unit]; told {
			return false
		}
	}
	return true
}

// slots are those of a call that no send has used yet.
type slots struct {
	unused []slot
	one    [1]slot // nearly always enough
}

// add adds what a Pace layer acquired for an attempt.
func (s *slots) add(attempt int, i pacedhttp.SlotInfo) {
	if s.unused == nil {
		s.unused = s.one[:0]
	}
	s.unused = append(s.unused, slot{
		paced:    true,
		waited:   i.Waited,
		costs:    maps.Clone(i.Costs), // other hooks have it too
		inFlight: i.InFlight,
		fallback: i.Fallback != nil,
		attempt:  attempt,
	})
}

// begin notes that an attempt has passed the last of its Pace layers: slots that come now
// are for requests within it.
func (s *slots) begin(attempt int) {
	if at := s.last(attempt); at >= 0 {
		s.unused[at].begun = true
	}
}

// refuse forgets what outer Pace layers acquired where an inner one got nothing.
func (s *slots) refuse(attempt int) {
	for at := s.last(attempt); at >= 0 && !s.unused[at].begun; at = s.last(attempt) {
		s.remove(at)
	}
}

// take returns what a send of an attempt uses: the last slot, so that a request for a token
// takes its own and not that of the attempt it is for.
func (s *slots) take(attempt int) slot {
	at := s.last(attempt)
	if at < 0 {
		return slot{}
	}
	used := s.remove(at)
	for at = s.last(attempt); at >= 0 && used.joins(s.unused[at]); at = s.last(attempt) {
		used.join(s.remove(at))
	}
	return used
}

// end forgets the slots of attempts that have ended.
func (s *slots) end(attempt int) {
	s.unused = slices.DeleteFunc(s.unused, func(u slot) bool { return u.attempt == attempt })
}

// last returns the index of an attempt's last slot, or -1.
func (s *slots) last(attempt int) int {
	for i := len(s.unused) - 1; i >= 0; i-- {
		if s.unused[i].attempt == attempt {
			return i
		}
	}
	return -1
}

func (s *slots) remove(at int) slot {
	removed := s.unused[at]
	s.unused = slices.Delete(s.unused, at, at+1)
	return removed
}
