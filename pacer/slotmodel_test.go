package pacer_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A slotModel is what the documentation promises of costs, buckets, flights, settlements,
// places in the queue and what servers say of their quotas, written down as simply as
// possible: it keeps everything that ever counted and looks through all of it each time.
//
// It cannot know when a Pacer refuses a caller whose wait it can only estimate. So it is
// told what the Pacer did, allows a refusal where it was not wrong, and goes on from there.
type slotModel struct {
	cfg         pacer.Config
	rules       []*modelRule
	now         time.Duration
	paused      time.Duration
	pausedSince time.Duration

	starts    int           // so far
	era       int           // the starts before the pause began, or the Resume
	usedSince time.Duration // when a quota was used up, while one is
	line      []*modelWaiter
	slots     map[int]*modelSlot // by action
	flying    int
	begun     []*modelItem // starts and what they were settled to further, in order
	quotas    []*modelQuota
	early     int      // how much was given back before a server has said anything of its quotas
	units     []string // that were ever counted in
	faults    []string
	below     bool // callers are below the limits
	tied      bool // two things happened at one moment, whose order is anybody's guess
}

// A modelRule is one limit with everything that was charged to it.
type modelRule struct {
	pacer.Limit
	period  time.Duration
	charges []*modelCharge
	most    int         // of one charge that is remembered; 0 = all
	earlier []modelRate // of a bucket, before limits were changed
}

type modelCharge struct {
	at      time.Duration
	cost    int
	kept    int           // of the cost, that is remembered
	fresh   bool          // the bucket was full before
	lost    bool          // when limits were changed it mattered no more
	slot    time.Duration // of the grid, that the start took
	onGrid  bool
	further bool
	said    bool // by a server, and no start
}

type modelWaiter struct {
	action           int
	heard            bool // somebody may report
	joined, arrived  time.Duration
	deadline, latest time.Duration // math.MaxInt64 = none
	costs            map[string]int
	held             bool // gets a slot
	admit            bool // gets one where the pacer has a use for it
	want             *outcome
}

type modelSlot struct {
	costs     map[string]int
	charges   map[*modelRule][]*modelCharge
	items     []*modelItem
	answered  bool                 // with what servers say of quotas
	elsewhere map[*modelQuota]bool // quotas that it does not count in
	at        time.Duration
	number    int  // in begun
	start     int  // in slotModel.starts
	held      bool // somebody has the slot, and not only its admission
	inFlight  bool
	ended     bool
	canceled  bool
}

func newSlotModel(cfg pacer.Config) *slotModel {
	m := &slotModel{cfg: cfg, slots: map[int]*modelSlot{}}
	for _, l := range cfg.Limits {
		m.rules = append(m.rules, m.rule(l))
	}
	m.count()
	return m
}

// rule returns a limit to which nothing was charged.
func (m *slotModel) rule(l pacer.Limit) *modelRule {
	r := &modelRule{Limit: l, period: l.Period}
	if l.Bucket == 0 {
		r.period += m.cfg.Margin
	}
	return r
}

// count counts in the units of all rules too.
func (m *slotModel) count() {
	most := 0
	for _, r := range m.rules {
		if !slices.Contains(m.units, r.Unit) {
			m.units = append(m.units, r.Unit)
		}
		if r.window() {
			most = max(most, r.Calls)
		}
	}
	if !slices.Contains(m.units, "") {
		m.units = append(m.units, "")
	}
	for _, r := range m.rules {
		if r.window() {
			r.most = most
		}
	}
}

// window reports whether r is one of those that share a record.
func (r *modelRule) window() bool { return r.Cost == 0 && r.Bucket == 0 }

func (m *slotModel) faultf(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf("%v: ", m.now)+fmt.Sprintf(format, args...))
}

// exactFor reports whether the Pacer must know the future of w: not where a pause holds callers
// of whom only some may be held by the probing after it.
func (m *slotModel) exactFor(w *modelWaiter) bool {
	return m.exact() && (m.paused <= m.now || !slices.ContainsFunc(m.line, func(o *modelWaiter) bool { return o.heard != w.heard }))
}

// exact reports whether the Pacer must know the future.
func (m *slotModel) exact() bool {
	costly := func(q *modelQuota) bool { return q.unit != "" && m.knows(q) }
	return !m.below && m.cfg.MaxInFlight == 0 && !slices.ContainsFunc(m.quotas, costly) && !slices.ContainsFunc(m.rules, func(r *modelRule) bool { return r.Cost > 0 || r.Bucket > 0 })
}

func costIn(costs map[string]int, unit string) int {
	if unit == "" {
		return 1
	}
	if c, ok := costs[unit]; ok && c >= 0 {
		return c
	}
	return 1
}

// fits reports whether a start of this cost at a time, after all else, breaks r.
func (r *modelRule) fits(at time.Duration, cost int) bool {
	if cost == 0 {
		return true
	}
	limit := max(r.Calls, r.Cost)
	if r.Bucket > 0 {
		return r.drawn(at)+int64(cost)*int64(r.Period) <= int64(r.Bucket)*int64(r.Period)
	}
	held := cost
	for _, c := range r.charges {
		if c.at > at-r.period {
			held += c.kept
		}
	}
	return held <= limit
}

// drawn returns what is missing in a bucket, in costs times Period.
func (r *modelRule) drawn(at time.Duration) int64 {
	drawn, last := int64(0), time.Duration(0)
	earlier := r.earlier
	flow := func(to time.Duration) (period int64) {
		for len(earlier) > 0 && earlier[0].until <= to {
			now, then := earlier[0], modelRate{r.Limit, 0}
			if earlier = earlier[1:]; len(earlier) > 0 {
				then = earlier[0]
			}
			drawn = max(0, drawn-int64(now.until-last)*int64(max(now.Calls, now.Cost)))
			drawn, last = now.inPeriodsOf(then, drawn), now.until
		}
		now := r.Limit
		if len(earlier) > 0 {
			now = earlier[0].Limit
		}
		drawn, last = max(0, drawn-int64(to-last)*int64(max(now.Calls, now.Cost))), to
		return int64(now.Period)
	}
	for _, c := range r.charges { // in order of time
		period := flow(c.at)
		drawn += int64(c.kept) * period
	}
	flow(at)
	return drawn
}

// opens returns the first moment from a time on when r's window or bucket has room.
func (r *modelRule) opens(from time.Duration, cost int) time.Duration {
	if r.fits(from, cost) {
		return from
	}
	short, enough := from, from+1<<48
	for enough-short > 1 {
		if at := short + (enough-short)/2; r.fits(at, cost) {
			enough = at
		} else {
			short = at
		}
	}
	return enough
}

func (r *modelRule) interval() time.Duration { return r.period / time.Duration(r.Calls) }

// nextSlot returns the slot of the grid after the newest that is taken.
func (r *modelRule) nextSlot() time.Duration {
	next := time.Duration(math.MinInt64)
	for _, c := range r.charges {
		if c.onGrid && c.kept > 0 {
			next = max(next, c.slot+r.interval())
		}
	}
	return next
}

// due returns the first moment from a time on at which a start breaks no rule.
func (m *slotModel) due(from time.Duration, costs map[string]int) time.Duration {
	at := max(from, m.paused)
	for _, r := range m.rules {
		at = max(at, r.opens(from, costIn(costs, r.Unit)))
		if r.Even {
			at = max(at, r.nextSlot())
		}
	}
	for _, q := range m.quotas {
		at = max(at, m.quotaOpens(q, from, costs))
	}
	return at
}

// charge records a start, or what one was settled to.
func (r *modelRule) charge(at time.Duration, cost int, further bool) *modelCharge {
	c := &modelCharge{at: at, cost: cost, kept: cost, further: further}
	if r.window() {
		c.kept = min(cost, r.most)
	}
	c.fresh = r.Bucket > 0 && cost > 0 && r.drawn(at) == 0
	if r.Even && !further {
		c.onGrid, c.slot = true, max(r.nextSlot(), r.windowOpened(at))
		if at-r.interval() >= c.slot {
			c.slot = at // too late for its slot: here begins another grid
		}
	}
	r.charges = append(r.charges, c)
	return c
}

// windowOpened returns when the window had room for the start at a time.
func (r *modelRule) windowOpened(at time.Duration) time.Duration {
	held, opened := 0, time.Duration(math.MinInt64)
	for _, c := range slices.Backward(r.charges) {
		if held += c.kept; held >= r.Calls {
			opened = c.at + r.period
			break
		}
	}
	return opened
}

// start lets a caller start now.
func (m *slotModel) start(action int, costs map[string]int, held bool) {
	s := &modelSlot{costs: map[string]int{"": 1}, charges: map[*modelRule][]*modelCharge{}, at: m.now, held: held, elsewhere: map[*modelQuota]bool{}}
	m.starts++
	s.start = m.starts
	if m.due(m.now, costs) > m.now {
		m.faultf("the model itself starts too early")
	}
	m.beginItems(s, costs)
	for _, unit := range m.units {
		s.costs[unit] = costIn(costs, unit)
	}
	for _, r := range m.rules {
		cost := costIn(costs, r.Unit)
		if !r.fits(m.now, cost) {
			m.faultf("the model itself breaks %v", r.Limit)
		}
		s.charges[r] = append(s.charges[r], r.charge(m.now, cost, false))
	}
	if held || !m.holds() {
		m.slots[action] = s
		if m.cfg.MaxInFlight > 0 {
			s.inFlight = true
			m.flying++
		}
	}
}

// forgotten reports whether r does not remember a charge any more. Windows of starts have one
// record, for the longest of them.
func (m *slotModel) forgotten(r *modelRule, c *modelCharge) bool {
	if c.lost {
		return true
	}
	if r.Bucket == 0 {
		period := r.period
		for _, other := range m.rules {
			if r.window() && other.window() {
				period = max(period, other.period)
			}
		}
		return c.at <= m.now-period
	}
	rate := int64(max(r.Calls, r.Cost))
	full := (int64(r.Bucket)*int64(r.Period) + rate - 1) / rate
	return c.at+time.Duration(full) <= m.now
}

// settle says what a slot cost, and returns what Settle does and whether that was more.
func (m *slotModel) settle(action int, unit string, cost int) (settled, charged bool) {
	s := m.slots[action]
	if s == nil || !s.held || s.canceled || cost < 0 || !m.counts(unit) {
		return false, false
	}
	was, counted := s.costs[unit]
	if !counted {
		return false, false
	}
	if cost > was {
		s.costs[unit] = cost
		m.chargeItem(s, unit, cost-was)
		for _, r := range m.rules {
			if r.Unit == unit {
				s.charges[r] = append(s.charges[r], r.charge(m.now, cost-was, true))
			}
		}
		return true, true
	}
	if cost < was && !m.giveBack(s, unit, was-cost) {
		return false, false
	}
	s.costs[unit] = cost
	return true, false
}

// giveBack takes back what was charged last. If nothing of that matters any more, nothing
// changes.
func (m *slotModel) giveBack(s *modelSlot, unit string, all int) bool {
	some, restore := m.reduceItems(s, unit, all)
	some = some || s.canceled
	for _, r := range m.rules {
		if r.Unit != unit {
			continue
		}
		drawn := int64(0)
		if r.Bucket > 0 {
			drawn = r.drawn(m.now)
		}
		less := all
		for _, c := range slices.Backward(s.charges[r]) {
			part := min(less, c.cost)
			less -= part
			if part == 0 || m.forgotten(r, c) {
				continue
			}
			before := c.kept
			restore = append(restore, func() { c.cost, c.kept = c.cost+part, before })
			if c.cost -= part; r.window() {
				c.kept = min(c.kept, c.cost)
			} else {
				c.kept -= min(c.kept, part)
			}
			some = some || r.Bucket == 0 || r.drawn(m.now) < drawn
		}
	}
	if !some {
		for _, f := range restore {
			f()
		}
	}
	m.tied = m.tied || m.early > 64 // more is not remembered
	return some
}

func (m *slotModel) done(action int) {
	if s := m.slots[action]; s != nil && s.held && !s.ended {
		s.ended = true
		if s.inFlight {
			m.flying--
		}
	}
}

func (m *slotModel) cancel(action int) {
	s := m.slots[action]
	if s == nil || !s.held || s.ended {
		return
	}
	m.done(action)
	s.canceled = true
	for unit, cost := range s.costs {
		m.giveBack(s, unit, cost)
	}
}

// predicted returns when a caller would start behind those ahead, if all of them stay and
// no flight is in the way.
func (m *slotModel) predicted(ahead []*modelWaiter, costs map[string]int) time.Duration {
	copied := *m
	copied.rules = nil
	for _, r := range m.rules {
		c := *r
		c.charges = slices.Clone(r.charges)
		copied.rules = append(copied.rules, &c)
	}
	copied.begun = slices.Clone(m.begun)
	at := m.now
	for _, w := range ahead {
		at = copied.due(at, w.costs)
		copied.beginItems(&modelSlot{}, w.costs)
		for _, r := range copied.rules {
			r.charge(at, costIn(w.costs, r.Unit), false)
		}
	}
	return copied.due(at, costs)
}

func (m *slotModel) full() bool { return m.cfg.MaxInFlight > 0 && m.flying >= m.cfg.MaxInFlight }

func (m *slotModel) tooCostly(costs map[string]int) bool {
	return slices.ContainsFunc(m.rules, func(r *modelRule) bool {
		return r.Cost > 0 && costIn(costs, r.Unit) > cmp.Or(r.Bucket, r.Cost)
	})
}
