package pacer

import (
	"math"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/quota"
)

const (
	maxQuotas = 16    // that are known at once
	maxTaken  = 1_024 // that are remembered, the newest; and
	someTaken = 256   // beyond so many those only that matter to what is known; and
	fewTaken  = 64    // so many where nothing is known yet
)

// learned is what a server said of its quotas: a rule beside the gate, which may hold a
// start back that the gate would allow, and never the other way round. A nil one knows
// nothing. It is guarded by Pacer.mu.
//
// What started after a start is known without a record of starts: from what Pacer.begun and
// Pacer.totals were then and are now, and from what was taken off since.
type learned struct {
	quotas []heard
	taken  ring[taken]
	since  time.Duration // when one was used up, while one is
}

// unknown is a unit that no limit counts in, so that nobody knows what starts cost in it.
const unknown = -1

// taken is a cost that was taken off: it was given back, or is not in flight any more, or
// both.
type taken struct {
	number          int64 // of the start or charge
	unit            int
	cost            uint64
	in              uint16 // a bit for each quota
	spent, inFlight bool
}

// due returns when there is room for a start behind so much; it may lie in the past.
func (l *learned) due(ahead, costs []int) time.Duration {
	due := longAgo
	if l == nil {
		return due
	}
	for i := range l.quotas {
		q := &l.quotas[i]
		wanted := uint64(0)
		if q.counted != unknown {
			wanted = uint64(costs[q.counted])
			if ahead != nil {
				wanted = sum(wanted, uint64(ahead[q.counted]))
			}
		}
		due = max(due, q.due(wanted))
	}
	return due
}

// held returns until when nobody starts, whatever the start costs.
func (l *learned) held() time.Duration {
	held := longAgo
	if l == nil {
		return held
	}
	for i := range l.quotas {
		if q := &l.quotas[i]; q.counted <= 0 {
			held = max(held, q.due(1))
		}
	}
	return held
}

// pausedUntil returns the last reset of a quota of which the server said that nothing is
// left.
func (l *learned) pausedUntil() time.Duration {
	until := longAgo
	if l == nil {
		return until
	}
	for i := range l.quotas {
		if q := &l.quotas[i]; q.remaining == 0 {
			until = max(until, q.reset)
		}
	}
	return until
}

// usedUp returns the last reset of a quota that is used up, in which a start of these costs
// counts.
func (l *learned) usedUp(costs []int, now time.Duration) time.Duration {
	until := longAgo
	if l == nil {
		return until
	}
	for i := range l.quotas {
		q := &l.quotas[i]
		wanted := uint64(1)
		if q.counted != unknown {
			wanted = uint64(costs[q.counted])
		}
		if q.remaining == 0 && q.due(wanted) > now {
			until = max(until, q.reset)
		}
	}
	return until
}

// cause names the quota that is paused for.
func (l *learned) cause(now time.Duration) string {
	var last *heard
	for i := range l.quotas {
		if q := &l.quotas[i]; q.remaining == 0 && q.reset > now && (last == nil || q.reset > last.reset) {
			last = q
		}
	}
	switch {
	case last == nil:
		return ""
	case last.unit == "":
		return "quota of requests used up"
	case last.counted != unknown:
		return "quota of " + last.unit + " used up"
	default:
		return "a quota used up" // its name is the server's, and may be anything
	}
}

// resume forgets the quotas of which nothing is left.
func (l *learned) resume() {
	if l == nil {
		return
	}
	for i := range l.quotas {
		if q := &l.quotas[i]; q.remaining == 0 {
			q.reset, q.ends = longAgo, longAgo
			q.from, q.doubtful, q.older = q.number, 0, 0 // nothing else that was said before brings it back
		}
	}
}

// busyUntil returns from when on nothing that was said matters.
func (l *learned) busyUntil() time.Duration {
	until := longAgo
	if l == nil {
		return until
	}
	for i := range l.quotas {
		until = max(until, l.quotas[i].ends)
	}
	return until
}

// start counts a start of these costs.
func (l *learned) start(costs []int) {
	for i := range l.quotas {
		if q := &l.quotas[i]; q.counted != unknown {
			q.add(uint64(costs[q.counted]))
		}
	}
}

// charge counts what a start was settled to beyond its first cost.
func (l *learned) charge(unit int, cost uint64) {
	if l == nil {
		return
	}
	for i := range l.quotas {
		if q := &l.quotas[i]; q.counted == unit {
			q.add(cost)
		}
	}
}

// counts reports whether what would be taken off still counts in any quota.
func (l *learned) counts(now time.Duration, t taken) bool {
	if l == nil || t.cost == 0 {
		return false
	}
	for i := range l.quotas {
		if q := &l.quotas[i]; q.counted == t.unit && t.in&(1<<i) != 0 && now < q.ends && q.counts(t) {
			return true
		}
	}
	return false
}

// take takes something off.
func (l *learned) take(now time.Duration, t taken) {
	if l == nil || t.cost == 0 || t.in == 0 {
		return
	}
	for i := range l.quotas {
		if q := &l.quotas[i]; q.counted == t.unit && t.in&(1<<i) != 0 {
			q.take(t)
		}
	}
	if l.taken.len >= fewTaken && len(l.quotas) == 0 {
		l.taken.popFront()
	}
	if l.taken.len >= someTaken {
		for oldest := l.oldest(now); l.taken.len == maxTaken || l.taken.len > 0 && l.taken.at(0).number <= oldest; {
			l.taken.popFront()
		}
	}
	l.taken.pushBack(t)
}

// oldest returns the oldest start since which anything matters to what is known.
func (l *learned) oldest(now time.Duration) int64 {
	oldest := int64(math.MaxInt64)
	for i := range l.quotas {
		if q := &l.quotas[i]; q.ends > now {
			oldest = min(oldest, q.from)
		}
	}
	return oldest
}

// countedIn returns, a bit for each, the quotas that count in a unit.
func (l *learned) countedIn(unit int) (quotas uint16) {
	if l == nil {
		return 0
	}
	for i := range l.quotas {
		if l.quotas[i].counted == unit {
			quotas |= 1 << i
		}
	}
	return quotas
}

// place returns where a quota is kept. If it is a new one it takes a free place, or that of
// the one that ends first.
func (l *learned) place(name, unit string, units []string) int {
	if i := slices.IndexFunc(l.quotas, func(q heard) bool { return q.name == name && q.unit == unit }); i >= 0 {
		return i
	}
	i := len(l.quotas)
	if i < maxQuotas {
		l.quotas = append(l.quotas, heard{})
	} else {
		i = 0
		for j := range l.quotas {
			if l.quotas[j].ends < l.quotas[i].ends {
				i = j
			}
		}
		for j := range l.taken.len {
			l.taken.ref(j).in &^= 1 << i // who knows whether it counts in the new one
		}
	}
	l.quotas[i] = heard{name: name, unit: unit, counted: slices.Index(units, unit), reset: longAgo, ends: longAgo}
	return i
}

// notNamed returns, a bit for each, the quotas that a start does not count in whose answer
// said this: it names others of their unit.
func (l *learned) notNamed(said []quota.State) (quotas uint16) {
	for i := range l.quotas {
		q := &l.quotas[i]
		speaks, named := false, false
		for _, s := range said {
			speaks = speaks || s.Unit == q.unit
			named = named || s.Unit == q.unit && s.Name == q.name
		}
		if q.counted != unknown && speaks && !named {
			quotas |= 1 << i
		}
	}
	return quotas
}

// known returns a copy of each quota that still matters at now, with times as if the clock
// read later.
func (l *learned) known(now, later time.Duration) (quotas []heard) {
	if l == nil {
		return nil
	}
	for _, q := range l.quotas {
		if q.ends > now {
			q.reset, q.ends = add(later, max(0, q.reset-now)), add(later, q.ends-now)
			quotas = append(quotas, q)
		}
	}
	return quotas
}
