package pacer

import (
	"fmt"
	"testing"
	"time"
)

// A machine is states of which a test knows what time it is and how many started.
type machine struct {
	states
	now    time.Duration
	number int64
}

func newMachine() *machine {
	return &machine{states: newStates(Config{
		Limits: []Limit{{Calls: 4, Period: time.Second}}, Outage: &Outage{After: 3},
	}), now: 10 * time.Second}
}

// start starts if the machine lets it, and returns the start's number, or 0.
func (m *machine) start(heard bool) int64 {
	m.advance(m.now)
	if m.due(heard) > m.now {
		return 0
	}
	m.number += 2
	m.started(m.now, m.number, heard)
	return m.number
}

func (m *machine) sleep(d time.Duration) {
	m.now += d
	m.advance(m.now)
}

func (m *machine) fail(n int) {
	for range n {
		m.broke(m.now, m.era, 0, true)
	}
}

// In each state of the table something is in flight, if that state lets it start.
var inState = map[State]func(*machine){
	StateFlowing: func(m *machine) { m.start(true) },
	StatePaused:  func(m *machine) { m.start(true); m.refused(m.now, m.era, 5*time.Second); m.sleep(time.Second) },
	StateProbing: func(m *machine) {
		m.refused(m.now, m.era, time.Second)
		m.sleep(time.Second)
		m.start(true)
		m.sleep(20 * time.Millisecond)
	},
	StateDown: func(m *machine) {
		m.fail(3)
		m.sleep(100 * time.Millisecond)
		m.start(true)
		m.sleep(20 * time.Millisecond)
	},
}

// summary says what matters of a machine, as far as it is not as before.
func (m *machine) summary(before *machine) string {
	text := m.state.String()
	if m.era != before.era {
		text += ", new era"
	}
	if m.state == StatePaused && m.until != before.until {
		text += fmt.Sprintf(", for %v", m.until-m.now)
	}
	if m.flying != before.flying {
		text += fmt.Sprintf(", %d flying", m.flying)
	}
	if m.worked != before.worked {
		text += fmt.Sprintf(", %d worked", m.worked)
	}
	if m.row != before.row {
		text += fmt.Sprintf(", row of %d", m.row)
	}
	if m.next != before.next && m.next > m.now {
		text += fmt.Sprintf(", next in %v", m.next-m.now)
	}
	return text
}

// TestStatesAndEvents is the table: each event in each state, and what comes of it.
func TestStatesAndEvents(t *testing.T) {
	const s = time.Second
	old := func(m *machine) uint32 { return m.era - 1 }
	for _, test := range []struct {
		event                          string
		do                             func(*machine)
		flowing, paused, probing, down string
	}{
		{"started", func(m *machine) { m.start(true) },
			"flowing", "paused", "probing", "down"}, // the one in flight is all that may be
		{"started by Wait", func(m *machine) { m.start(false) },
			"flowing", "paused", "probing, next in 250ms", "down"},
		{"worked", func(m *machine) { m.didWork(m.now, m.era, m.number) },
			"flowing", "paused", "probing, 0 flying, 1 worked", "probing, new era, 0 flying, row of 0"},
		{"worked, of an older era", func(m *machine) { m.didWork(m.now, old(m), m.number) },
			"flowing", "paused", "probing", "down"},
		{"failed", func(m *machine) { m.broke(m.now, m.era, m.number, true) },
			"flowing, row of 1", "paused, row of 1", "probing, 0 flying, row of 1", "down, 0 flying"},
		{"failed, a call that had", func(m *machine) { m.broke(m.now, m.era, m.number, false) },
			"flowing", "paused", "probing, 0 flying", "down, 0 flying"},
		{"failed, of an older era", func(m *machine) { m.broke(m.now, old(m), m.number, true) },
			"flowing", "paused", "probing", "down"},
		{"failed three times", func(m *machine) { m.fail(3) },
			"down, new era, row of 3, next in 100ms", "", "down, new era, 0 flying, row of 3, next in 102ms", "down"},
		{"throttled for 7 s", func(m *machine) { m.refused(m.now, m.era, 7*s) },
			"paused, new era, for 7s", "paused, for 7s", "paused, new era, for 7s, 0 flying", "paused, new era, for 7s, 0 flying, row of 0"},
		{"throttled for 2 s", func(m *machine) { m.refused(m.now, m.era, 2*s) },
			"paused, new era, for 2s", "paused", "paused, new era, for 2s, 0 flying", "paused, new era, for 2s, 0 flying, row of 0"},
		{"throttled for 7 s, of an older era", func(m *machine) { m.refused(m.now, old(m), 7*s) },
			"flowing", "paused, for 7s", "probing", "down"},
		{"throttled without a delay", func(m *machine) { m.refused(m.now, m.era, 0) },
			"paused, new era, for 1s", "paused", "paused, new era, for 1s, 0 flying", "paused, new era, for 1s, 0 flying, row of 0"},
		{"throttled with a delay that is past", func(m *machine) { m.refused(m.now, m.era, -s) },
			"paused, new era, for 1s", "paused", "paused, new era, for 1s, 0 flying", "paused, new era, for 1s, 0 flying, row of 0"},
		{"throttled without a delay, of an older era", func(m *machine) { m.refused(m.now, old(m), 0) },
			"flowing", "paused", "probing", "down"},
		{"PauseUntil in 7 s", func(m *machine) { m.pause(m.now, m.now+7*s, false) },
			"paused, new era, for 7s", "paused, for 7s", "paused, new era, for 7s, 0 flying", "paused, new era, for 7s, 0 flying, row of 0"},
		{"PauseUntil now", func(m *machine) { m.pause(m.now, m.now, false) },
			"flowing", "paused", "probing", "down"},
		{"Resume", func(m *machine) { m.resume() },
			"flowing, new era", "flowing, new era", "flowing, new era, 0 flying", "flowing, new era, 0 flying, row of 0"},
		{"canceled", func(m *machine) { m.forget(m.now, m.number) },
			"flowing", "paused", "probing, 0 flying", "down, 0 flying"},
		{"a limit holds the head", func(m *machine) { m.limited() },
			"flowing", "paused", "probing", "down"},
		{"4 s pass", func(m *machine) { m.sleep(4 * s) },
			"flowing", "probing", "probing, 0 flying, 1 worked", "down"},
		{"19.98 s pass, and one starts by Wait", func(m *machine) { m.sleep(19_980 * time.Millisecond); m.start(false) },
			"flowing", "flowing", "probing, 0 flying, 1 worked, next in 250ms", "probing, new era, 0 flying, row of 0, next in 250ms"},
		{"10 s pass", func(m *machine) { m.sleep(10 * s) },
			"flowing", "probing", "probing, 0 flying, 1 worked", "down, 0 flying"},
	} {
		for state, want := range map[State]string{
			StateFlowing: test.flowing, StatePaused: test.paused, StateProbing: test.probing, StateDown: test.down,
		} {
			if want == "" {
				continue // nothing starts in a pause: there are no such reports
			}
			m := newMachine()
			if inState[state](m); m.state != state {
				t.Fatalf("%v instead of %v", m.state, state)
			}
			before := *m
			if test.do(m); m.summary(&before) != want {
				t.Errorf("%v, %s: %s, want %s", state, test.event, m.summary(&before), want)
			}
		}
	}
}

// probes counts the starts that the machine lets go at once.
func (m *machine) probes(heard bool) (numbers []int64) {
	for range 1000 {
		if n := m.start(heard); n != 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func TestStartsDoubleAfterAPause(t *testing.T) {
	m := newMachine()
	m.most = 40
	m.refused(m.now, m.era, time.Second)
	m.sleep(time.Second)
	for _, want := range []int{1, 2, 4, 8, 16} {
		numbers := m.probes(true)
		if len(numbers) != want || m.state != StateProbing {
			t.Fatalf("%d started while %v, want %d", len(numbers), m.state, want)
		}
		m.sleep(20 * time.Millisecond)
		for _, n := range numbers {
			m.didWork(m.now, m.era, n)
			m.didWork(m.now, m.era, n) // two reports of one start are one
		}
	}
	if len(m.probes(true)) != 32 {
		t.Error("not 32 next")
	}
	for n := range m.number {
		m.didWork(m.now, m.era, n+1)
	}
	if m.state != StateFlowing || m.cause != "" {
		t.Errorf("%v for %q after 40 have worked", m.state, m.cause)
	}
}

func TestAFailureWhileProbingAddsNothing(t *testing.T) {
	m := newMachine()
	m.refused(m.now, m.era, time.Second)
	m.sleep(time.Second)
	for range 2 {
		n := m.probes(true)
		if len(n) != 1 {
			t.Fatalf("%d started, want 1", len(n))
		}
		m.broke(m.now, m.era, n[0], true)
	}
}

func TestALimitEndsProbingOnlyAfterASuccess(t *testing.T) {
	m := newMachine()
	m.refused(m.now, m.era, time.Second)
	m.sleep(time.Second)
	m.limited() // by a window that was full when the pause ended
	n := m.start(true)
	if m.limited(); m.state != StateProbing {
		t.Fatalf("%v before anything has worked", m.state)
	}
	m.didWork(m.now, m.era, n)
	if m.limited(); m.state != StateFlowing {
		t.Errorf("%v though a limit holds the head", m.state)
	}
}

func TestASecondOfSilenceCountsAsASuccessAfterAThrottling(t *testing.T) {
	m := newMachine()
	m.refused(m.now, m.era, time.Second)
	m.sleep(time.Second)
	n := m.start(true)
	if m.sleep(time.Second - 1); len(m.probes(true)) != 0 {
		t.Error("started before the second was over")
	}
	m.sleep(1)
	if got := len(m.probes(true)); got != 2 {
		t.Errorf("%d started, want 2", got)
	}
	m.didWork(m.now, m.era, n) // counted already
	if got := len(m.probes(true)); got != 0 {
		t.Errorf("%d started on its report, want none", got)
	}
	for range 3 {
		m.sleep(time.Second)
		m.probes(true)
	}
	if m.state != StateFlowing {
		t.Errorf("%v, though callers of whom nothing is heard have started %d times", m.state, m.number/2)
	}
}

func TestSilenceCountsForNothingInAnOutage(t *testing.T) {
	m := newMachine()
	m.fail(3)
	m.sleep(100 * time.Millisecond)
	n := m.start(true)
	if m.sleep(10*time.Second - 1); m.state != StateDown || m.start(true) != 0 {
		t.Errorf("%v, or another probe while one flies", m.state)
	}
	if m.sleep(1); m.start(true) == 0 {
		t.Error("no other probe after ten seconds")
	}
	if m.didWork(m.now, m.era, n); m.state != StateProbing {
		t.Fatalf("%v though a probe has worked at last", m.state)
	}
	// Those that never report end probing after as many unknown starts as successes would.
	for i := range 4 {
		if got := len(m.probes(true)); got != 1 {
			t.Fatalf("%d started after %d unknown ones, want 1", got, i)
		}
		m.sleep(10 * time.Second)
	}
	if m.state != StateFlowing {
		t.Errorf("%v after four unknown starts", m.state)
	}
}

func TestThrottlingWithoutADelayDoublesUntilASuccess(t *testing.T) {
	m := newMachine()
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		era := m.era
		for range 40 { // siblings refused at once are one throttling
			m.refused(m.now, era, 0)
		}
		if m.state != StatePaused || m.until-m.now != want*time.Second {
			t.Fatalf("%v for %v, want a pause of %v s", m.state, m.until-m.now, int(want))
		}
		m.didWork(m.now, era, 2) // of an older era: changes nothing
		m.sleep(m.until - m.now)
	}
	m.didWork(m.now, m.era, m.start(true))
	if m.refused(m.now, m.era, 0); m.until-m.now != time.Second {
		t.Errorf("a pause of %v after a success, want a second", m.until-m.now)
	}
}

func TestPausesBetweenWhichNothingWorkedAreOne(t *testing.T) {
	m := newMachine()
	began := m.now
	for range 3 {
		m.refused(m.now, m.era, 0)
		m.sleep(m.until - m.now)
		m.start(true)
	}
	if m.since != began {
		t.Errorf("held since %v, want since %v", m.since, began)
	}
	if m.didWork(m.now, m.era, m.number); m.since != m.now {
		t.Errorf("held since %v after a success now", m.since)
	}
}

// An hour down costs some 400 probes, and its end is noticed within a tenth of its length.
func TestProbesOfAnOutageAreATenthOfItsLengthApart(t *testing.T) {
	m := newMachine()
	m.fail(3)
	began, probes, last := m.now, 0, m.now
	for m.now < began+time.Hour {
		if n := m.start(true); n != 0 {
			if gap := m.now - last; gap > max(m.now-began, time.Second)/10+time.Millisecond || gap < 100*time.Millisecond {
				t.Fatalf("a probe %v after the last, %v into the outage", gap, m.now-began)
			}
			probes, last = probes+1, m.now
			m.broke(m.now, m.era, n, false)
		}
		m.sleep(time.Millisecond)
	}
	if probes < 380 || probes > 420 {
		t.Errorf("%d probes, want some 400", probes)
	}
}

func TestWaitIsSpacedForOnePeriodAfterAPauseThatAReportBegan(t *testing.T) {
	m := newMachine() // 4/s
	m.refused(m.now, m.era, time.Second)
	m.sleep(time.Second)
	m.start(true) // so that probing lasts
	for i := range 4 {
		if got := len(m.probes(false)); got != 1 {
			t.Fatalf("%d started at interval %d, want 1", got, i)
		}
		m.sleep(250 * time.Millisecond)
	}
	if got := len(m.probes(false)); got != 1000 {
		t.Errorf("%d of 1000 started after a Period", got)
	}

	m = newMachine()
	m.pause(m.now, m.now+time.Second, false)
	m.sleep(time.Second)
	if got := len(m.probes(false)); got != 1000 || m.state != StateFlowing {
		t.Errorf("%d of 1000 started after a pause by the program, and it is %v", got, m.state)
	}
}

func TestWaitAloneEndsProbing(t *testing.T) {
	m := newMachine()
	m.refused(m.now, m.era, time.Second)
	m.sleep(time.Second)
	for i := range 4 {
		if m.start(false) == 0 || m.state != StateProbing {
			t.Fatalf("%v after %d starts by Wait", m.state, i)
		}
		m.sleep(250 * time.Millisecond)
	}
	if m.start(false); m.state != StateFlowing {
		t.Errorf("%v a Period after the pause", m.state)
	}
}

func TestWaitIsSpacedAlsoWhereTheProgramLengthensAPauseOfAReport(t *testing.T) {
	m := newMachine()
	m.refused(m.now, m.era, time.Second)
	m.pause(m.now, m.now+2*time.Second, false)
	m.sleep(2 * time.Second)
	if got := len(m.probes(false)); got != 1 {
		t.Errorf("%d started at once, want 1", got)
	}
}
