package pacer

import (
	"cmp"
	"sort"
	"strconv"
	"time"
)

const (
	firstThrottle = time.Second // the pause after a throttling that named no delay; it doubles
	lastThrottle  = time.Minute

	throttlePatience = time.Second      // refusals come fast: a start that is silent for so long has worked
	outagePatience   = 10 * time.Second // a start that is silent for so long counts no more

	probeShare = 10 // a probe comes when this part of the outage has passed once more
	firstProbe = 100 * time.Millisecond
	lastProbe  = 10 * time.Second

	manyStarts = 64 // that worked end probing where no limit counts starts
)

// states is the machine behind [State]. It knows nothing but what its events tell it, of which
// each carries the time, and touches nothing else: what follows from a state is the Pacer's
// business. It is guarded by Pacer.mu.
//
// Starts belong to eras. An era begins with a pause, an outage and the end of either by a
// success or by Resume; the report of an earlier era's start only lengthens a pause.
type states struct {
	state State
	era   uint32

	after   int           // failures in a row that make an outage; 0 = none do
	most    int           // starts that have worked and end probing
	spacing time.Duration // of starts by Wait after a pause that a report began,
	period  time.Duration // for so long
	deaf    bool          // what servers say is the business of a pacer above

	cause string
	since time.Duration // when the first of pauses began between which nothing worked, or the outage
	until time.Duration // the end of the pause
	told  bool          // a report, and not the program alone, began this

	throttles int           // that named no delay, since the last success
	row       int           // failures since the last success
	failed    time.Duration // when the first of them was reported

	outage  bool          // probing follows an outage
	probed  time.Duration // when probing began to start; longAgo before
	worked  int           // starts while probing
	unknown int           // starts while probing that were silent for too long
	flying  int           // probes of which nothing was heard
	probes  ring[probe]
	next    time.Duration // no probe of an outage before; while probing, no start by Wait
}

// A probe is a start that is to be reported while a state lasts. The oldest of the ring always
// is one of which nothing was heard.
type probe struct {
	number int64
	at     time.Duration
	heard  bool
}

func newStates(cfg Config) states {
	var s states
	if cfg.Outage != nil {
		s.after = cmp.Or(cfg.Outage.After, defaultAfter)
	}
	s.under(cfg.Limits)
	return s
}

// under makes s go on under other limits.
func (s *states) under(limits []Limit) {
	s.most, s.period, s.spacing = 0, forever, 0
	for _, l := range limits {
		s.most = max(s.most, l.Calls)
		if l.Period < s.period {
			s.period, s.spacing = l.Period, l.Period/time.Duration(max(l.Calls, l.Cost))
		}
	}
	s.most = cmp.Or(s.most, manyStarts)
}

// due returns when a caller may start as far as the state is concerned, of whom a report will
// come or not. It may lie in the past. While probes fly it is when their silence will have
// lasted, though a report may come at any time.
func (s *states) due(heard bool) time.Duration {
	switch s.state {
	case StatePaused:
		return s.until
	case StateProbing:
		switch {
		case heard && s.flying > s.worked:
			return add(s.probes.at(0).at, s.patience())
		case !heard && s.told:
			return min(s.next, add(s.until, s.period))
		}
	case StateDown:
		switch {
		case !heard: // where nobody probes it is no probe, but the only way on
			return add(s.due(true), outagePatience)
		case s.flying > 0:
			return max(s.next, add(s.probes.at(0).at, outagePatience))
		default:
			return s.next
		}
	}
	return longAgo
}

// bound returns a moment before which nobody starts, whatever is reported until then.
func (s *states) bound() time.Duration {
	switch {
	case s.state == StatePaused:
		return s.until
	case s.state == StateDown && s.flying == 0:
		return s.next
	}
	return longAgo
}

func (s *states) patience() time.Duration {
	if s.outage || s.state == StateDown {
		return outagePatience
	}
	return throttlePatience
}

// busyUntil returns until when a state matters, so that the pacer must not be forgotten: an
// outage so long after its last probe, lest there be no end to it.
func (s *states) busyUntil(outage time.Duration) time.Duration {
	switch {
	case s.state == StatePaused:
		return s.until
	case s.state == StateDown:
		return add(s.next, outage)
	case s.flying > 0:
		return add(s.probes.at(s.probes.len-1).at, s.patience())
	}
	return longAgo
}

// idle reports whether nothing can be changed by a start that works.
func (s *states) idle() bool { return s.state == StateFlowing && s.row == 0 && s.throttles == 0 }

// advance lets time pass.
func (s *states) advance(now time.Duration) {
	if s.state == StatePaused && s.until <= now {
		if s.probe(s.until); s.deaf {
			s.flow() // nobody would hear how a probe went
		}
	}
	for s.flying > 0 && add(s.probes.at(0).at, s.patience()) <= now {
		silent := add(s.probes.at(0).at, s.patience())
		s.hear(s.probes.at(0).number)
		switch {
		case s.state == StateDown:
		case s.outage:
			s.unknown++
		default:
			s.success(silent)
		}
		s.enough()
	}
}

// started notes a start, which due allowed.
func (s *states) started(now time.Duration, number int64, heard bool) {
	switch {
	case !heard && s.state == StateDown:
		s.recover(now)
		s.next = add(now, s.spacing)
	case s.state == StateDown:
		s.next = add(now, s.interval(now))
		fallthrough
	case heard && s.state == StateProbing:
		s.probes.pushBack(probe{number: number, at: now})
		s.flying++
		if s.probed == longAgo {
			s.probed = now
		}
	case s.state == StateProbing:
		s.next = add(now, s.spacing)
		if s.probed == longAgo && (!s.told || now >= add(s.until, s.period)) {
			s.flow() // nobody will ever tell how it went
		}
	}
}

// interval returns how long after a probe of an outage the next one comes.
func (s *states) interval(now time.Duration) time.Duration {
	return min(max((now-s.since)/probeShare, firstProbe), lastProbe)
}

// success notes that a start has worked.
func (s *states) success(now time.Duration) {
	s.worked++
	s.since = max(s.since, now)
}

// didWork notes that a start was reported to have worked.
func (s *states) didWork(now time.Duration, era uint32, number int64) {
	if era != s.era {
		return
	}
	s.row, s.throttles = 0, 0
	switch s.state {
	case StateProbing:
		if s.hear(number) {
			s.success(now)
			s.enough()
		}
	case StateDown:
		s.recover(now)
	}
}

// recover begins to probe at the end of an outage.
func (s *states) recover(now time.Duration) {
	s.enter(StateProbing)
	s.since, s.until, s.told, s.outage = now, now, true, true
}

// broke notes that a start has failed. anew says whether it is of a call of which no failure
// was noted since the last success.
func (s *states) broke(now time.Duration, era uint32, number int64, anew bool) {
	if era != s.era {
		return
	}
	s.hear(number)
	if s.state == StateDown || s.after == 0 || !anew {
		return
	}
	if s.row == 0 {
		s.failed = now
	}
	if s.row++; s.row >= s.after {
		if s.state == StateFlowing {
			s.since = s.failed
		}
		row := s.row
		s.enter(StateDown)
		s.row, s.cause = row, strconv.Itoa(row)+" failures in a row"
		s.next = add(now, s.interval(now))
	}
}

// refused notes that a start was throttled.
func (s *states) refused(now time.Duration, era uint32, delay time.Duration) {
	switch {
	case delay > 0 && (era == s.era || s.state == StatePaused):
		s.pause(now, add(now, delay), true)
	case delay <= 0 && era == s.era && s.state != StatePaused:
		wait := firstThrottle << min(s.throttles, 6)
		s.throttles++
		s.pause(now, add(now, min(wait, lastThrottle)), true)
	}
}

// pause begins or lengthens a pause, and never shortens one.
func (s *states) pause(now, until time.Duration, told bool) {
	switch {
	case until <= now, s.state == StatePaused && until <= s.until:
		return
	case s.state == StateFlowing:
		s.since = now
		fallthrough
	case s.state != StatePaused:
		s.enter(StatePaused)
	}
	s.until, s.told = until, s.told || told
	s.cause = "paused by the program"
	if told {
		s.cause = "throttled"
	}
}

// resume ends whatever holds callers back.
func (s *states) resume() {
	s.enter(StateFlowing)
	s.throttles, s.cause = 0, ""
}

// deafen leaves what servers say to a pacer above, from now on.
func (s *states) deafen() {
	s.deaf = true
	if s.state == StateProbing || s.state == StateDown {
		s.resume() // nobody would hear that it is over
	}
}

// forget takes a start back.
func (s *states) forget(now time.Duration, number int64) {
	if s.hear(number) && s.state == StateDown {
		s.next = now
	}
}

// limited notes that a limit holds those back whom the state would let start: more starts than
// the limits allow are nobody's to learn.
func (s *states) limited() {
	if s.state == StateProbing && s.worked > 0 {
		s.flow()
	}
}

// hear ends the wait for the report of a probe. It returns false if there is none.
func (s *states) hear(number int64) bool {
	i := sort.Search(s.probes.len, func(i int) bool { return s.probes.at(i).number >= number })
	if i == s.probes.len || s.probes.at(i).number != number || s.probes.at(i).heard {
		return false
	}
	s.probes.ref(i).heard = true
	s.flying--
	for s.probes.len > 0 && s.probes.at(0).heard {
		s.probes.popFront()
	}
	return true
}

// probe begins to probe at the end of a pause.
func (s *states) probe(at time.Duration) {
	s.state, s.next = StateProbing, at
}

// enough ends probing when so many starts are known as the limits allow at once.
func (s *states) enough() {
	if s.state == StateProbing && s.worked+s.unknown >= s.most {
		s.flow()
	}
}

// flow lets the limits alone decide. Starts while probing may still be reported.
func (s *states) flow() {
	era, row := s.era, s.row
	s.enter(StateFlowing)
	s.era, s.row, s.cause = era, row, ""
}

// enter begins an era in which nothing is known yet.
func (s *states) enter(state State) {
	s.state = state
	s.era++
	s.row, s.worked, s.unknown, s.flying = 0, 0, 0, 0
	s.told, s.outage, s.probed = false, false, longAgo
	s.probes.clear()
	s.next = longAgo
}
