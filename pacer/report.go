package pacer

import (
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/quota"
)

// An Outcome is how a request went. The zero Outcome says that it worked.
type Outcome struct {
	Failed    bool          // the service did not do its work
	Throttled bool          // it refused for its quota's sake; wins over Failed
	Delay     time.Duration // that it asked for; 0 means that it said nothing
	Quotas    []quota.State // what it said is left
}

// Report says how the request went, as soon as that is known: for HTTP when the headers
// are here. One that was Throttled pauses the pacer for its Delay. Where that is 0 or less the
// pause is a second, doubling up to a minute with each further start that is throttled so, until
// one works. Failures matter where Config.Outage is set. Nothing is meant by a slot without a
// report, but while probing: see the package documentation.
//
// How it went counts once; a second report can only lengthen a pause. So does one of a start that
// was made before the pause or outage that is now, or before the end of the last.
//
// Quotas lower what the Config allows, and never raise it. What the newest start's answer says
// of a quota, by its Name and Unit, counts, in whatever order answers come. Until the Reset,
// from the report on, no more starts than Remaining, less what started since that start; in a
// Unit of a limit with Cost, no more cost. Where Remaining is 0 Stats shows a pause until the
// Reset.
//
//   - Then the quota is whole again: where the server said its Limit, no more than that starts
//     until the next answer, or until the Window, or the longest Reset that was heard, has
//     passed once more; what was not answered at the Reset counts as well. Without Limit the
//     Config alone holds.
//   - Where an answer says that more is left than was known, requests before it may have been
//     overtaken and will use it. So while they are not answered it is not for others; and of
//     requests that overlap, with one reset, what the server answered last counts.
//   - A start counts in every quota of a unit, until its answer names some: then in those
//     only. So the quotas of an API's parts may share a pacer; but where one is used up all
//     wait for it, since nobody knows before which part a request is for.
//   - Without a Reset, a State sets the level of the buckets of its Unit, where that is
//     lower, and means nothing to windows.
//   - In a Unit that no limit counts in nobody knows what starts cost. Of such a quota only
//     Remaining 0 matters: nobody starts before its Reset.
//   - 16 quotas are known at once. A further one takes the place of the one that ends first.
//
// Report returns the end of the pause if it began or lengthened one, and the zero Time
// otherwise. A slot that was canceled reports nothing.
func (s *Slot) Report(o Outcome) (pausedUntil time.Time) {
	if s == nil || s.pacer == nil {
		return time.Time{}
	}
	return s.pacer.report(&o, s.start(), s)
}

// Report is [Slot.Report] of the start that was granted, with a slot or without one. Of an
// Admission that is zero it does nothing. Where there is no Slot it says how it went once.
func (a *Admission) Report(o Outcome) (pausedUntil time.Time) {
	if p := a.start.pacer; p == nil || a.start.slot == nil && o.worked() && p.calm.Load() {
		return time.Time{} // without the lock: there is nothing that it could change
	}
	return a.start.pacer.report(&o, &a.start, a.start.slot)
}

// start returns what a pacer knows s by.
func (s *Slot) start() *start {
	return &start{s.pacer, s, s.call, s.at, s.at, s.number, s.era, s.lent}
}

func (p *Pacer) report(o *Outcome, of *start, s *Slot) (pausedUntil time.Time) {
	p.mu.Lock()
	if speaker := p.speaker(); speaker != p {
		defer p.mu.Unlock()
		t := s.level(speaker)
		if t == nil || t.canceled {
			return time.Time{}
		}
		return speaker.hear(o, t.start(), t)
	}
	if s != nil && s.canceled {
		p.mu.Unlock()
		return time.Time{}
	}
	if p.successor == nil {
		pausedUntil = p.hear(o, of, s)
	}
	p.mu.Unlock()
	if o.Throttled || o.usedUp() > 0 {
		for _, other := range p.elsewhere(of.at) {
			if until := other.told(o); until.After(pausedUntil) {
				pausedUntil = until
			}
		}
	}
	return pausedUntil
}

// worked reports whether this is all that o says.
func (o *Outcome) worked() bool { return !o.Failed && !o.Throttled && len(o.Quotas) == 0 }

// usedUp returns how long it takes until all quotas are whole again of which nothing is left.
func (o *Outcome) usedUp() (reset time.Duration) {
	for _, s := range o.Quotas {
		if s.Remaining <= 0 {
			reset = max(reset, s.Reset)
		}
	}
	return reset
}

// The methods below need p.mu.

// hear takes in how a start went, and returns what report does.
func (p *Pacer) hear(o *Outcome, of *start, s *Slot) (pausedUntil time.Time) {
	again := s != nil && s.reported
	if s != nil {
		s.reported = true
	}
	if o.worked() && p.states.idle() {
		p.calm.Store(true)
		return time.Time{} // there is nothing that it could change
	}
	now := p.clock.Now()
	was := max(now, p.pausedUntil())
	later := len(o.Quotas) > 0 && p.learn(now, o.Quotas, of, s) // first, so that who is refused hears of all of it
	if !again || o.Throttled {
		p.heed(now, o, of)
	}
	if later {
		p.refuseLater(now)
	}
	return ifLater(was, p.pausedUntil(), now)
}

// learn takes in what the answer to a start said, and lets the head start if it may now. It
// reports whether others may start later for that.
func (p *Pacer) learn(now time.Duration, said []quota.State, of *start, s *Slot) (later bool) {
	head := p.queue.head
	held := p.tree != nil || head != nil && p.learned.due(nil, head.slot.cost()) > now
	if p.learned == nil {
		p.learned = new(learned)
	}
	if p.learned.pausedUntil() <= now {
		p.learned.since = now
	}
	for _, state := range said {
		later = p.learnOne(now, state, of, s) || later
	}
	p.answered(now, said, of, s)
	p.schedule.plan.clear()
	if held {
		p.changed(now)
	}
	return later && (head != nil || p.tree != nil)
}

func (p *Pacer) learnOne(now time.Duration, said quota.State, of *start, s *Slot) (later bool) {
	u := slices.Index(p.units, said.Unit)
	if said.Reset <= 0 && (p.remote != nil || !p.schedule.hasBucket(u)) || u > 0 && (s == nil || u >= len(s.costs)) {
		return false
	}
	l := p.learned
	i := l.place(said.Name, said.Unit, p.units)
	w := word{State: said, number: of.number, began: of.at, total: uint64(of.number / 2), cost: 1, now: uint64(p.begun)}
	if s != nil && u >= 0 {
		w.cost, w.slot = counted(u, s.first(u)), true
		if s.answered {
			w.cost = 0
		}
	}
	if u > 0 {
		w.total, w.now = uint64(s.totals()[u-1]), p.totals[u]
	}
	q := &l.quotas[i]
	if said.Reset > 0 {
		if p.remote != nil {
			p.remote.Said(now, of.at, of.number/2, said.Name, u, max(0, said.Remaining), add(now, said.Reset))
		}
		return l.hear(now, i, w) && (p.tree != nil || p.queue.len == 0 || l.due(p.waiting(), p.queue.tail.slot.cost()) > now)
	}
	if of.number < q.level {
		return false
	}
	q.level = of.number
	since := heard{counted: q.counted, number: of.number, from: of.number, spent: w.now - w.total}
	l.takeOff(i, &since, false)
	return p.schedule.lower(now, u, of.at, max(0, said.Remaining), since.spent)
}

// take takes something off. It is remembered also before anything was heard.
func (p *Pacer) take(now time.Duration, t taken) {
	if p.learned == nil && t.cost > 0 && t.in != 0 {
		p.learned = new(learned)
	}
	p.learned.take(now, t)
}

// answered notes that a start is in flight no more, and in which quotas it does not count.
func (p *Pacer) answered(now time.Duration, said []quota.State, of *start, s *Slot) {
	l := p.learned
	if s == nil {
		s = &Slot{number: of.number, costs: oneStart}
		for i := range l.taken.len {
			if t := l.taken.at(i); t.number == of.number {
				s.answered = true
				if t.spent {
					s.notIn |= t.in
				}
			}
		}
	}
	notIn := l.notNamed(said) &^ s.notIn
	s.notIn |= notIn
	for u := range s.costs {
		take := func(number int64, cost uint64) {
			l.take(now, taken{number, u, cost, notIn & l.countedIn(u), true, !s.answered})
			if !s.answered {
				l.take(now, taken{number, u, cost, ^s.notIn, false, true})
			}
		}
		take(s.number, counted(u, s.first(u)))
		for _, c := range s.further {
			if c.unit == u {
				take(c.number, counted(u, c.cost))
			}
		}
	}
	s.answered = true
}

// counts reports whether a limit counts in a unit, or a quota.
func (p *Pacer) counts(unit int) bool {
	return p.schedule.counts(unit) || p.learned.countedIn(unit) != 0
}

// further counts what a start is settled to beyond its first cost.
func (p *Pacer) further(unit, cost int, now time.Duration) {
	p.gate().Charge(now, unit, cost)
	counted := counted(unit, cost)
	if unit == 0 {
		p.begun += int64(counted)
	} else {
		p.totals[unit] += counted
	}
	p.learned.charge(unit, counted)
}

// total returns what has begun so far, in a unit.
func (p *Pacer) total(unit int) uint64 {
	if unit == 0 {
		return uint64(p.begun)
	}
	return p.totals[unit]
}

// waiting returns what all who wait cost together.
func (p *Pacer) waiting() []int {
	clear(p.ahead)
	if p.queue.root != nil {
		p.queue.root.addTo(p.ahead)
	}
	p.ahead[0] = p.queue.len
	return p.ahead
}

// adopt takes over what another pacer knows, as if a start before its own had said so.
func (p *Pacer) adopt(said []heard, now time.Duration) {
	for _, q := range said {
		if p.learned == nil {
			p.learned = new(learned)
		}
		i := p.learned.place(q.name, q.unit, p.units)
		own := p.learned.quotas[i]
		q.reset, q.ends = add(now, q.reset), add(now, q.ends)
		q.flying, q.doubtful, q.older, q.lowest = q.unanswered(), 0, 0, 0
		q.number, q.from, q.oldest, q.told, q.level, q.counted = p.number(), p.number(), p.number(), now, 0, own.counted
		if q.counted != unknown {
			q.total = p.total(q.counted)
			q.before = q.total
		}
		if own.ends > now {
			q.reset, q.ends = max(q.reset, own.reset), max(q.ends, own.ends)
			if sum(own.remaining, q.spent) < sum(q.remaining, own.spent) {
				q.remaining, q.limit, q.spent, q.flying = own.remaining, own.limit, own.spent, own.unanswered()
			}
		}
		p.learned.quotas[i] = q
	}
	if len(said) > 0 {
		p.schedule.plan.clear()
	}
}
