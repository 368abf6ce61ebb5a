package pacer_test

import (
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// This is the part of the slotModel that knows what becomes of everything when limits change.

// A modelRate is what a bucket was, and until when.
type modelRate struct {
	pacer.Limit
	until time.Duration
}

// inPeriodsOf returns what is drawn in parts of another bucket, rounded up.
func (r modelRate) inPeriodsOf(other modelRate, drawn int64) int64 {
	product := new(big.Int).Mul(big.NewInt(drawn), big.NewInt(int64(other.Period)))
	product.Add(product, big.NewInt(int64(r.Period)-1))
	return product.Div(product, big.NewInt(int64(r.Period))).Int64()
}

// setLimits changes the rules: those that stay keep all that was charged, a bucket in place of
// another too. A new one begins with what an old one of its unit remembers that looks back the
// furthest.
func (m *slotModel) setLimits(limits []pacer.Limit, got []outcome) {
	if slices.Equal(limits, m.cfg.Limits) {
		return
	}
	for _, r := range m.rules {
		m.lose(r)
	}
	was, left := m.rules, slices.Clone(m.rules)
	rules := make([]*modelRule, len(limits))
	take := func(i int, fits func(r *modelRule) bool) {
		if j := slices.IndexFunc(left, fits); j >= 0 && rules[i] == nil {
			rules[i] = left[j]
			left = slices.Delete(left, j, j+1)
		}
	}
	for i, l := range limits {
		take(i, func(r *modelRule) bool { return r.Limit == l })
	}
	for i, l := range limits {
		if l.Bucket > 0 {
			take(i, func(r *modelRule) bool { return r.Unit == l.Unit && r.Bucket > 0 })
		}
	}
	for i, l := range limits {
		switch r := rules[i]; {
		case r == nil:
			rules[i] = m.rule(l)
		case r.Limit != l:
			r.earlier = append(r.earlier, modelRate{r.Limit, m.now})
			r.Limit, r.period = l, l.Period
		}
	}
	m.rules, m.cfg.Limits = rules, limits
	m.count()
	for _, r := range rules {
		if !slices.Contains(was, r) {
			m.begin(r, was)
		}
	}
	var staying []*modelWaiter
	for _, w := range m.line {
		w.held = w.held || w.admit && m.holds()
		if m.tooCostly(w.costs) {
			*w.want = outcome{costly, m.now, math.MaxInt64}
		} else {
			staying = append(staying, w)
		}
	}
	m.line = staying
	m.refuseTooLate(got)
}

// lose marks what r does not have to remember now.
func (m *slotModel) lose(r *modelRule) {
	reach := r.period
	for _, other := range m.rules {
		if r.window() && other.window() {
			reach = max(reach, other.period)
			if other.Even {
				reach = max(reach, other.period+other.interval())
			}
		}
	}
	full := r.Bucket > 0 && r.drawn(m.now) == 0
	for _, c := range slices.Backward(r.charges) {
		c.lost = c.lost || full || r.Bucket == 0 && c.at <= m.now-reach || r.Bucket > 0 && m.forgotten(r, c)
		full = full || c.fresh
	}
}

// begin charges a new rule with what old ones remember.
func (m *slotModel) begin(r *modelRule, was []*modelRule) {
	var furthest, windows *modelRule
	for _, window := range []bool{false, true} {
		for _, old := range was {
			if old.Unit != r.Unit || old.window() != window || len(old.remembered()) == 0 {
				continue
			}
			if furthest == nil || old.remembered()[0].at < furthest.remembered()[0].at {
				furthest = old
			}
			if window && (windows == nil || old.Even) {
				windows = old
			}
		}
	}
	if furthest == nil {
		return
	}
	if !r.window() || windows == nil {
		m.copy(r, furthest, math.MaxInt64)
		return
	}
	m.copy(r, furthest, windows.remembered()[0].at)
	m.copy(r, windows, math.MaxInt64)
}

func (r *modelRule) remembered() (all []*modelCharge) {
	for _, c := range r.charges {
		if !c.lost && !c.said && c.kept > 0 {
			all = append(all, c)
		}
	}
	return all
}

// copy charges r with what another rule remembers of before a time.
func (m *slotModel) copy(r, other *modelRule, before time.Duration) {
	copies := map[*modelCharge]*modelCharge{}
	for _, c := range other.remembered() {
		if c.at >= before {
			break
		}
		kept := c.kept
		if r.window() && !other.window() {
			kept = min(kept, r.most)
		}
		copies[c] = &modelCharge{at: c.at, cost: c.cost, kept: kept, further: c.further}
		copies[c].fresh = r.Bucket > 0 && r.drawn(c.at) == 0
		if r.Even && (!other.Even || c.onGrid) {
			copies[c].onGrid, copies[c].slot = true, c.at
		}
		r.charges = append(r.charges, copies[c])
	}
	for _, s := range m.slots {
		for _, c := range s.charges[other] {
			if copies[c] != nil {
				s.charges[r] = append(s.charges[r], copies[c])
			}
		}
	}
}

// otherLimits makes up limits instead of some.
func (h *history) otherLimits(limits []pacer.Limit) (others []pacer.Limit) {
	for _, l := range limits {
		switch h.IntN(6) {
		case 0, 1:
			continue
		case 2:
			l.Period = l.Period*time.Duration(1+h.IntN(8))/4 + 1
		case 3:
			if l.Calls > 0 {
				l.Calls = 1 + h.IntN(8)
			} else {
				l.Cost = 10 + h.IntN(80)
			}
		case 4:
			if l.Bucket > 0 {
				l.Bucket = 1 + h.IntN(2*l.Bucket)
			}
		}
		others = append(others, l)
	}
	for len(others) == 0 && h.cfg.MaxInFlight == 0 || len(others) < 4 && h.IntN(3) == 0 {
		others = append(others, h.limit())
	}
	h.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	return others
}
