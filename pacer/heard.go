package pacer

import (
	"cmp"
	"time"

	"github.com/pacedhttp/pacedhttp/quota"
)

// sameReset is by how much less a reset may be later and yet be the same: servers tell
// it in whole seconds.
const sameReset = time.Second

// heard is what the newest start said of one quota. Until reset so much is left as it said,
// less what started since. From then on the quota is whole again, less what is in flight;
// that is forgotten at ends.
type heard struct {
	name, unit string
	counted    int // unit in Pacer.units, or unknown

	number    int64         // of the start that said so
	total     uint64        // what had begun with it, as of Pacer.begun or Pacer.totals
	told      time.Duration // when its answer came
	remaining uint64
	lowest    uint64        // that was said to remain by requests that overlap
	latest    time.Duration // the reset that was said with it, or with a later answer of the server
	limit     uint64        // 0: not said
	spent     uint64        // since that start, and what is not believed to remain
	flying    uint64        // of what began after that start: what is not answered
	reset     time.Duration
	ends      time.Duration // = reset where nobody knows of how much it is whole
	longest   time.Duration // the longest time to a reset that was said
	level     int64         // the newest start that told a level, without a reset

	// What began between an earlier start and the one that said so may have been overtaken
	// by it.
	from     int64  // that start
	before   uint64 // what had begun with it
	doubtful uint64 // of what began between: what is not answered

	// So may what began before from, though another has been answered since.
	oldest int64  // the start since which
	older  uint64 // of what began then, up to from: what is not answered
}

// due returns when there is room for so much; it may lie in the past.
func (q *heard) due(wanted uint64) time.Duration {
	if q.counted == unknown {
		if q.remaining > 0 {
			return longAgo
		}
		return q.reset
	}
	switch {
	case wanted == 0, sum(q.spent, wanted) <= q.remaining, sum(q.unanswered(), wanted) <= q.lowest:
		return longAgo
	case sum(q.unanswered(), wanted) <= q.limit:
		return q.reset
	}
	return q.ends
}

// unanswered returns what may reach the server after all that it has answered, or after the
// reset.
func (q *heard) unanswered() uint64 { return sum(q.flying, sum(q.doubtful, q.older)) }

func (q *heard) add(cost uint64) { q.spent, q.flying = sum(q.spent, cost), sum(q.flying, cost) }

// A word is what the answer to a start said of a quota.
type word struct {
	quota.State
	number int64         // of the start
	began  time.Duration // the start
	total  uint64        // what had begun with it
	cost   uint64        // of it, but for what has been answered
	slot   bool          // it has one, so that it may have been settled
	now    uint64        // what has begun by now
}

// hear takes in a word of quota i. It reports whether anybody may start later for that.
//
// That more is left than was known may be because this request has overtaken others, which
// will be counted yet. So what is more is not believed, but as far as the lowest remainder
// that requests which overlap were told suffices for all of them that are not answered. Of
// those, one for the same reset of which more is left was answered earlier by the server.
func (l *learned) hear(now time.Duration, i int, w word) (stricter bool) {
	was := l.quotas[i]
	q := heard{
		name: was.name, unit: was.unit, counted: was.counted, level: was.level,
		number: w.number, total: w.total, told: now, from: w.number, before: w.total, oldest: w.number,
		remaining: uint64(max(0, w.Remaining)), limit: uint64(max(0, w.Limit)),
		reset: add(now, w.Reset), longest: max(was.longest, w.Reset),
	}
	q.lowest, q.latest = q.remaining, q.reset
	if q.number < was.number || q.number == was.number && q.remaining > was.remaining {
		return l.quotas[i].alsoSaid(q)
	}
	if q.counted == unknown {
		q.ends = q.reset
		l.quotas[i] = q
		return q.remaining == 0
	}
	q.spent, q.flying = w.now-w.total, w.now-w.total
	overlaps := w.began < was.told
	if now < was.ends {
		q.from, q.before, q.oldest, q.older = was.number, was.total, was.oldest, was.older
		if overlaps {
			q.from, q.before = was.from, was.before
		} else {
			if was.older == 0 {
				q.oldest = was.from
			}
			q.older = sum(was.older, was.doubtful)
		}
		if q.from-q.oldest > 2*someTaken {
			q.older = 0 // nobody knows any more which of them are answered
		}
		q.doubtful = over(w.total, sum(q.before, w.cost))
	}
	l.takeOff(i, &q, w.slot)
	most, spent := was.most(now)
	if more := over(sum(q.remaining, spent), sum(most, q.spent)); more > 0 && now < was.ends {
		if overlaps && now < was.reset && q.reset < add(was.reset, sameReset) {
			return l.quotas[i].alsoSaid(q)
		}
		q.spent = sum(q.spent, more)
	}
	if overlaps && now < was.reset && q.reset < add(was.latest, sameReset) {
		if q.remaining > was.lowest && was.latest >= add(q.reset, sameReset) {
			q.reset = was.latest
		}
		q.lowest, q.latest = min(q.lowest, was.lowest), max(q.latest, was.latest)
	}
	q.ends = q.reset
	if q.limit > 0 {
		q.ends = add(q.reset, cmp.Or(max(0, w.Window), q.longest))
	}
	l.quotas[i] = q
	left, used := q.most(now)
	return q.reset > was.reset || q.ends > was.ends || sum(left, spent) < sum(most, used) ||
		sum(q.limit, was.unanswered()) < sum(was.limit, q.unanswered())
}

// alsoSaid heeds what a start said that is not the newest, or that overtook others: where the
// server answered it later than what is known. It reports whether anybody may start later for
// that.
func (q *heard) alsoSaid(other heard) (stricter bool) {
	if other.number <= q.from || add(other.reset, sameReset) <= q.latest {
		return false
	}
	q.lowest, q.latest = min(q.lowest, other.remaining), max(q.latest, other.reset)
	if stricter = other.reset >= add(q.reset, sameReset); stricter {
		q.reset, q.ends = other.reset, add(other.reset, q.ends-q.reset)
	}
	return stricter
}

// takeOff takes off, of what quota i is about to be, what was taken off already: also of the
// start itself, if it has a slot.
func (l *learned) takeOff(i int, q *heard, slot bool) {
	older := q.older // is so without it
	for j := range l.taken.len {
		if t := l.taken.ref(j); t.unit == q.counted && t.in&(1<<i) != 0 {
			q.take(*t)
			if slot && t.number == q.number && t.inFlight {
				q.doubtful = over(q.doubtful, t.cost)
			}
		}
	}
	q.older = older
}

// since reports whether something began after the start that said so, between whether it may
// have been overtaken by it, and longBefore whether by one before that.
func (q *heard) since(t taken) bool      { return t.number > q.number }
func (q *heard) between(t taken) bool    { return t.number > q.from && t.number < q.number }
func (q *heard) longBefore(t taken) bool { return t.number > q.oldest && t.number <= q.from }

// counts reports whether what would be taken off counts.
func (q *heard) counts(t taken) bool {
	return q.since(t) || (q.between(t) || q.longBefore(t)) && t.inFlight
}

// take takes something off.
func (q *heard) take(t taken) {
	if q.since(t) && t.spent {
		q.spent = over(q.spent, t.cost)
	}
	if q.since(t) && t.inFlight {
		q.flying = over(q.flying, t.cost)
	}
	if q.between(t) && t.inFlight {
		q.doubtful = over(q.doubtful, t.cost)
	}
	if q.longBefore(t) && t.inFlight {
		q.older = over(q.older, t.cost)
	}
}

// most returns what may start at now, and what of it has.
func (q *heard) most(now time.Duration) (most, spent uint64) {
	most, spent = q.remaining, q.spent
	known := q.lowest
	if now >= q.reset {
		known = max(known, q.limit)
	}
	if sum(known, spent) > sum(most, q.unanswered()) {
		return known, q.unanswered()
	}
	return most, spent
}

// left returns what may still start at now.
func (q *heard) left(now time.Duration) int { return number(over(q.most(now))) }

// over returns by how much a is more than b.
func over(a, b uint64) uint64 { return a - min(a, b) }
