package pacer_test

import (
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// This is the part of the slotModel that knows what servers said of their quotas. It keeps
// every start for ever and adds up, for each quota, those after the one that spoke of it.

// A modelItem is a start, or what one was settled to further, in one unit.
type modelItem struct {
	number int // the same for all units of a start
	unit   string
	raw    int // what it cost at first
	cost   int
	spent  int                    // cost, but for what was given back before anything was heard
	flying int                    // spent, until it is answered
	frozen map[*modelQuota][2]int // spent and flying in quotas that an answer said it is not in
}

func (i *modelItem) in(q *modelQuota) (spent, flying int) {
	if f, ok := i.frozen[q]; ok {
		return f[0], f[1]
	}
	return i.spent, i.flying
}

// A modelQuota is a quota that a server has spoken of.
type modelQuota struct {
	name, unit       string
	number           int // of the start that spoke last
	level            int // of the start that spoke last of a level
	remaining, limit int
	lowest           int           // that was said to remain by requests that overlap
	latest           time.Duration // reset that any of them was told
	reset, ends      time.Duration
	longest          time.Duration
	told             time.Duration
	from             int // what began between this start and number may have been overtaken
	oldest           int // so may what began after this one, if it is not answered yet
	doubted          int // of what remained
}

// holds reports whether Admit grants slots.
func (m *slotModel) holds() bool {
	return m.below || m.cfg.MaxInFlight > 0 || len(m.units) > 1
}

// ruled reports whether a limit counts in a unit, counts whether a quota does too.
func (m *slotModel) ruled(unit string) bool {
	return slices.ContainsFunc(m.rules, func(r *modelRule) bool { return r.Unit == unit })
}

func (m *slotModel) counts(unit string) bool {
	return m.ruled(unit) || slices.ContainsFunc(m.quotas, func(q *modelQuota) bool { return q.unit == unit && m.knows(q) })
}

func (m *slotModel) beginItems(s *modelSlot, costs map[string]int) {
	s.number = len(m.begun)
	for _, unit := range m.units {
		m.item(s, s.number, unit, costIn(costs, unit))
	}
}

func (m *slotModel) chargeItem(s *modelSlot, unit string, more int) {
	m.item(s, len(m.begun), unit, more)
}

func (m *slotModel) item(s *modelSlot, number int, unit string, cost int) {
	item := &modelItem{number, unit, cost, cost, cost, cost, map[*modelQuota][2]int{}}
	for q := range s.elsewhere {
		item.frozen[q] = [2]int{}
	}
	m.begun, s.items = append(m.begun, item), append(s.items, item)
}

// reduceItems gives back what was charged last first. It reports whether any of it mattered, and
// how to undo it.
func (m *slotModel) reduceItems(s *modelSlot, unit string, less int) (some bool, undo []func()) {
	was := m.early
	for _, i := range slices.Backward(s.items) {
		if i.unit != unit {
			continue
		}
		part := min(less, i.cost)
		less -= part
		if part == 0 {
			continue
		}
		before := *i
		undo = append(undo, func() { *i, m.early = before, was })
		m.early++
		i.cost -= part
		i.spent -= part
		if !s.answered {
			i.flying -= part
		}
		for _, q := range m.quotas {
			some = some || m.knows(q) && q.unit == unit && !s.elsewhere[q] && m.now < q.ends &&
				(i.number > q.number || i.number > q.oldest && i.number != q.number && !s.answered)
		}
	}
	return some, undo
}

// answer notes that a start is in flight no more, and in which quotas it does not count.
func (m *slotModel) answer(s *modelSlot, said []quota.State) {
	for _, q := range m.quotas {
		speaks := slices.ContainsFunc(said, func(state quota.State) bool { return state.Unit == q.unit })
		named := slices.ContainsFunc(said, func(state quota.State) bool { return state.Unit == q.unit && state.Name == q.name })
		if !speaks || named || s.elsewhere[q] {
			continue
		}
		s.elsewhere[q] = true
		for _, i := range s.items {
			i.frozen[q] = [2]int{i.spent - i.cost, i.flying}
			if !s.answered {
				i.frozen[q] = [2]int{i.spent - i.cost, i.flying - i.cost}
			}
		}
	}
	if !s.answered {
		for _, i := range s.items {
			i.flying -= i.cost
		}
	}
	s.answered = true
}

// knows reports whether anybody knows what starts cost in the unit of a quota.
func (m *slotModel) knows(q *modelQuota) bool { return slices.Contains(m.units, q.unit) }

// since adds up what a quota counts of what began after a start: all, and what is in flight.
func (m *slotModel) since(q *modelQuota, number int) (spent, flying int) {
	for _, i := range m.begun {
		if s, f := i.in(q); i.unit == q.unit && i.number > number {
			spent, flying = spent+s, flying+f
		}
	}
	return spent, flying
}

// doubtful returns what may have been overtaken and is not answered.
func (m *slotModel) doubtful(q *modelQuota, from, number int) int {
	doubtful := 0
	for _, i := range m.begun {
		if _, f := i.in(q); i.unit == q.unit && i.number > from && i.number < number {
			doubtful += f
		}
	}
	return doubtful
}

// left returns what may start before the reset, and from then on.
func (m *slotModel) left(q *modelQuota) (before, after int) {
	spent, flying := m.since(q, q.number)
	doubtful := m.doubtful(q, q.from, q.number) + m.doubtful(q, q.oldest, q.from)
	before = max(q.remaining-spent-q.doubted, q.lowest-flying-doubtful)
	return before, max(before, q.limit-flying-doubtful)
}

// quotaOpens returns the first moment from a time on when a quota has room for a start.
func (m *slotModel) quotaOpens(q *modelQuota, from time.Duration, costs map[string]int) time.Duration {
	if from >= q.ends {
		return from
	}
	if !m.knows(q) {
		if q.remaining == 0 {
			return max(from, q.reset)
		}
		return from
	}
	cost := costIn(costs, q.unit)
	before, after := m.left(q)
	switch {
	case cost == 0, cost <= before:
		return from
	case cost <= after:
		return max(from, q.reset)
	}
	return q.ends
}

// heldUntil returns when the last quota is whole again of which nothing is left.
func (m *slotModel) heldUntil() (until time.Duration) {
	for _, q := range m.quotas {
		if q.remaining == 0 {
			until = max(until, q.reset)
		}
	}
	return until
}

// learn takes in what the answer to a start said.
func (m *slotModel) learn(s *modelSlot, said []quota.State) {
	m.early = -1 << 32
	for _, state := range said {
		if _, counted := s.costs[state.Unit]; !counted && slices.Contains(m.units, state.Unit) {
			continue
		}
		q := m.quota(state)
		if q == nil {
			continue
		}
		switch spent, _ := m.since(q, s.number); {
		case state.Reset == 0 && s.number >= q.level:
			q.level = s.number
			for _, r := range m.rules {
				if r.Unit == q.unit && r.Bucket > 0 {
					r.lower(m.now, s.at, state.Remaining, spent)
				}
			}
		case state.Reset > 0 && (s.number > q.number || s.number == q.number && state.Remaining <= q.remaining):
			m.hear(q, s, state, spent)
		case state.Reset > 0:
			m.alsoSaid(q, s, state)
		}
	}
	m.answer(s, said)
}

// hear takes in what is said of a quota. What is more than was known may be what requests that
// this one has overtaken will use yet.
func (m *slotModel) hear(q *modelQuota, s *modelSlot, state quota.State, spent int) {
	next := *q
	next.reset = m.now + state.Reset
	next.lowest, next.latest = state.Remaining, m.now+state.Reset
	next.number, next.from, next.oldest, next.told, next.doubted = s.number, s.number, s.number, m.now, 0
	if m.knows(q) && m.now < q.ends {
		next.from, next.oldest = q.number, q.oldest
		if s.at < q.told {
			next.from = q.from
		} else if m.doubtful(q, q.oldest, q.from) == 0 {
			next.oldest = q.from
		}
		left, after := m.left(q)
		if m.now >= q.reset {
			left = after
		}
		overlaps := s.at < q.told && m.now < q.reset
		if overlaps && m.now+state.Reset < q.latest+time.Second {
			next.lowest, next.latest = min(state.Remaining, q.lowest), max(q.latest, m.now+state.Reset)
			if state.Remaining > q.lowest && q.latest >= m.now+state.Reset+time.Second {
				next.reset = q.latest
			}
		}
		if more := state.Remaining - spent - left; more > 0 {
			if overlaps && m.now+state.Reset < q.reset+time.Second {
				m.alsoSaid(q, s, state)
				return
			}
			next.doubted = more
		}
	}
	next.remaining, next.limit = state.Remaining, state.Limit
	next.longest = max(q.longest, state.Reset)
	next.ends = next.reset
	if next.limit > 0 && m.knows(q) {
		if state.Window > 0 {
			next.ends += state.Window
		} else {
			next.ends += next.longest
		}
	}
	*q = next
}

// alsoSaid takes in what is said by a start that is not the newest, or that overtook others.
func (m *slotModel) alsoSaid(q *modelQuota, s *modelSlot, state quota.State) {
	if reset := m.now + state.Reset; s.number > q.from && reset > q.latest-time.Second {
		q.lowest, q.latest = min(q.lowest, state.Remaining), max(q.latest, reset)
		if reset >= q.reset+time.Second {
			q.reset, q.ends = reset, q.ends+reset-q.reset
		}
	}
}

// quota returns what is known of the quota that a server speaks of; nil if it does not matter.
func (m *slotModel) quota(state quota.State) *modelQuota {
	bucket := slices.ContainsFunc(m.rules, func(r *modelRule) bool { return r.Unit == state.Unit && r.Bucket > 0 })
	if state.Reset == 0 && !bucket {
		return nil
	}
	for _, q := range m.quotas {
		if q.name == state.Name && q.unit == state.Unit {
			return q
		}
	}
	q := &modelQuota{name: state.Name, unit: state.Unit, number: -1, level: -1, from: -1}
	m.quotas = append(m.quotas, q)
	return q
}

// lower makes a bucket hold no more than was left at a time, less what was spent since.
func (r *modelRule) lower(now, at time.Duration, left, spent int) {
	drawn := int64(r.Bucket+spent-left)*int64(r.Period) - int64(now-at)*int64(max(r.Calls, r.Cost))
	if more := drawn - r.drawn(now); more > 0 {
		cost := int((more + int64(r.Period) - 1) / int64(r.Period))
		r.charges = append(r.charges, &modelCharge{at: now, cost: cost, kept: cost, said: true, fresh: r.drawn(now) == 0})
	}
}

// report is what a Slot's Report does, given what the Pacer did to those who wait. It returns
// the end of the pause that it began or lengthened, or 0.
func (m *slotModel) report(s *modelSlot, o pacer.Outcome, got []outcome) time.Duration {
	was := max(m.now, m.paused, m.heldUntil())
	until := time.Duration(0)
	if o.Throttled && m.now+o.Delay > m.paused && (s.start > m.era || m.paused > m.now) {
		until = m.now + o.Delay
		if m.paused <= m.now {
			m.pausedSince, m.era = m.now, m.starts
		}
		m.paused = until
	}
	if m.heldUntil() <= m.now {
		m.usedSince = m.now
	}
	if len(o.Quotas) > 0 {
		m.learn(s, o.Quotas)
		until = max(until, m.heldUntil())
	}
	if until > 0 || len(o.Quotas) > 0 { // else nobody starts later for it
		m.refuseTooLate(got)
	}
	if until <= was {
		return 0
	}
	return until
}

// usedUp returns the last reset of a quota of which nothing is left, for a start of these costs.
func (m *slotModel) usedUp(costs map[string]int) time.Duration {
	until := time.Duration(0)
	for _, q := range m.quotas {
		if q.remaining == 0 && m.quotaOpens(q, m.now, costs) > m.now {
			until = max(until, q.reset)
		}
	}
	return until
}
