package pacer

import (
	"context"
	"slices"
)

// maxUnits is how many units the limits of one Config may count in.
const maxUnits = 16

// WithCost returns a context that says what a call will cost, as well as is known
// before: so much of a limit's Unit. Costs in several units are several WithCost, one in
// the other; units that no limit counts in do not matter.
//
// A call that names no cost, or a negative one, costs 1, and Stats counts it as
// Uncosted. 0 means that it costs nothing in this unit, and needs no room there; behind
// others who wait for some it waits its turn nevertheless. What it cost in the end is for
// [Slot.Settle] to say.
//
// The cost is that of every start made with the context: put it on the context of one
// call, not on that of a program.
func WithCost(ctx context.Context, unit string, cost int) context.Context {
	return context.WithValue(ctx, costKey{unit}, cost)
}

// CostFromContext returns what [WithCost] said of a unit. It reports false where nothing was
// said.
func CostFromContext(ctx context.Context, unit string) (cost int, ok bool) {
	cost, ok = ctx.Value(costKey{unit}).(int)
	return cost, ok
}

type costKey struct{ unit string }

// costKeys returns the keys of units; made once, since an interface costs an allocation.
func costKeys(units []string) []any {
	keys := make([]any, len(units))
	for u, unit := range units {
		keys[u] = costKey{unit}
	}
	return keys
}

// estimate notes what ctx says that s will cost, by unit.
func (s *Slot) estimate(ctx context.Context, keys []any) {
	s.costs = slices.Grow(s.few[:0], 2*len(keys)-1)[:len(keys)]
	s.costs[0], s.uncosted = 1, 0
	for u := 1; u < len(keys); u++ {
		cost, ok := ctx.Value(keys[u]).(int)
		if !ok || cost < 0 {
			cost = 1
			s.uncosted |= 1 << u
		}
		s.costs[u] = cost
	}
}

// tooCostly returns the first limit that a start of these costs could never keep to.
func (s *schedule) tooCostly(costs []int) *rule {
	for i := range s.rules {
		if r := &s.rules[i]; costs[r.unit] > r.most {
			return r
		}
	}
	return nil
}

func (s *Slot) addTo(sums []int) {
	if s != nil && len(sums) > 1 {
		addCosts(sums, s.costs)
	}
}

// addCosts adds costs to sums, each cut to the largest int.
func addCosts(sums, costs []int) {
	for u, c := range costs {
		sums[u] = number(uint64(sums[u]) + uint64(c))
	}
}
