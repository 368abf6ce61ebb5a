package pacer_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A model is what a Pacer promises, without any of its cleverness: it keeps
// every start there ever was and looks through all of them each time.
type model struct {
	limits     []pacer.Limit
	maxWaiting int
	now        time.Duration
	paused     time.Duration
	starts     []time.Duration
	line       []*modelCaller // in order of arrival
}

type modelCaller struct {
	deadline time.Duration // 0 = none
	out      *outcome
}

// An outcome is how an action ended, and when.
type outcome struct {
	how  string
	at   time.Duration
	wait time.Duration // predicted, of a refusal
}

const (
	started  = "started"
	allowed  = "allowed"
	denied   = "denied"
	canceled = "canceled"
	tooLate  = "refused for its deadline"
	full     = "refused by a full queue"
)

// An action is something that happens to a pacer from outside.
type action struct {
	at       time.Duration
	do       string
	cancel   time.Duration // wait: when its context is canceled; 0 = never
	deadline time.Duration // wait: of its context; 0 = none
	until    time.Duration // pause
}

const (
	wait  = "wait"
	allow = "allow"
	pause = "pause"
)

// earliest returns the first moment, not before from, at which one more start
// after those given breaks no rule.
func (m *model) earliest(starts []time.Duration, from time.Duration) time.Duration {
	at := max(from, m.paused)
	for _, l := range m.limits {
		if l.Even {
			at = max(at, nextOnGrid(l, starts))
		}
	}
	// Moving on makes room in windows and fills none, but each limit has its own.
	for moved := true; moved; {
		moved = false
		for _, l := range m.limits {
			if w := window(starts, at, l.Period); len(w) >= l.Calls {
				at, moved = w[0]+l.Period, true
			}
		}
	}
	return at
}

// window returns the starts in the window that ends with at.
func window(starts []time.Duration, at, period time.Duration) []time.Duration {
	return slices.DeleteFunc(slices.Clone(starts), func(s time.Duration) bool { return s <= at-period })
}

// nextOnGrid replays all starts and returns the slot after the last.
func nextOnGrid(l pacer.Limit, starts []time.Duration) time.Duration {
	interval := l.Period / time.Duration(l.Calls)
	var next time.Duration
	for i, s := range starts {
		slot := next
		for w := window(starts[:i], slot, l.Period); len(w) >= l.Calls; w = window(starts[:i], slot, l.Period) {
			slot = w[0] + l.Period // the window comes first, and the grid goes with it
		}
		if i == 0 || s-slot >= interval {
			slot = s // too late for its slot: here begins another grid
		}
		next = slot + interval
	}
	return next
}

// predicted returns when a caller with so many ahead would start.
func (m *model) predicted(ahead int) time.Duration {
	starts, at := slices.Clone(m.starts), m.now
	for range ahead + 1 {
		at = m.earliest(starts, at)
		starts = append(starts, at)
	}
	return at
}

// run returns how every action ends. No two things may happen at one moment,
// for the model does not know which of them a Pacer sees first.
func (m *model) run(t *testing.T, actions []action) []outcome {
	outcomes := make([]outcome, len(actions))
	type event struct {
		at time.Duration
		do func()
	}
	var events []event
	for i, a := range actions {
		out := &outcomes[i]
		switch a.do {
		case pause:
			events = append(events, event{a.at, func() { m.pause(a.until) }})
		case allow:
			events = append(events, event{a.at, func() { m.allow(out) }})
		case wait:
			if a.cancel != 0 && a.cancel <= a.at {
				*out = outcome{how: canceled, at: a.at}
				break
			}
			events = append(events, event{a.at, func() { m.arrive(a.deadline, out) }})
			if a.cancel != 0 {
				events = append(events, event{a.cancel, func() { m.leave(out) }})
			}
		}
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for _, e := range events {
		for len(m.line) > 0 {
			at := m.earliest(m.starts, m.now)
			if at == e.at {
				t.Fatalf("a start and an action coincide at %v", at)
			}
			if at > e.at {
				break
			}
			m.serve(at)
		}
		m.now = e.at
		e.do()
	}
	for len(m.line) > 0 {
		m.serve(m.earliest(m.starts, m.now))
	}
	return outcomes
}

func (m *model) serve(at time.Duration) {
	m.now = at
	m.starts = append(m.starts, at)
	*m.line[0].out = outcome{how: started, at: at}
	m.line = m.line[1:]
}

func (m *model) arrive(deadline time.Duration, out *outcome) {
	at := m.predicted(len(m.line))
	switch {
	case m.maxWaiting > 0 && at > m.now && len(m.line) >= m.maxWaiting:
		*out = outcome{full, m.now, at - m.now}
	case deadline != 0 && at >= deadline:
		*out = outcome{tooLate, m.now, at - m.now}
	default:
		m.line = append(m.line, &modelCaller{deadline, out})
		if at == m.now {
			m.serve(at)
		}
	}
}

func (m *model) allow(out *outcome) {
	*out = outcome{how: denied, at: m.now}
	if len(m.line) == 0 && m.predicted(0) == m.now {
		m.starts = append(m.starts, m.now)
		out.how = allowed
	}
}

func (m *model) leave(out *outcome) {
	m.line = slices.DeleteFunc(m.line, func(c *modelCaller) bool {
		if c.out == out {
			*out = outcome{how: canceled, at: m.now}
			return true
		}
		return false
	})
}

// pause refuses those it makes too late, and whoever stands behind moves up.
func (m *model) pause(until time.Duration) {
	m.paused = max(m.paused, until)
	var staying []*modelCaller
	for _, c := range m.line {
		if at := m.predicted(len(staying)); c.deadline != 0 && at >= c.deadline {
			*c.out = outcome{tooLate, m.now, at - m.now}
		} else {
			staying = append(staying, c)
		}
	}
	m.line = staying
}
