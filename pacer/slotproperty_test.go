package pacer_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

var seeds = flag.Int("seeds", 300, "how many random histories TestSlotsDoWhatTheModelDoes judges")

// TestSlotsDoWhatTheModelDoes compares every start, refusal, prediction and answer over
// random limits of all kinds together, flights, arrivals, places, costs, settlements,
// reports, quotas of servers, cancellations, deadlines and pauses. Each pause ends by a Resume;
// TestStatesKeepTheirPromises judges what follows those that end by themselves.
func TestSlotsDoWhatTheModelDoes(t *testing.T) { judgeHistories(t, 0) }

// The same histories of callers two levels below the limits end alike, but that nobody has to
// foresee as much.
func TestSlotsBelowDoWhatTheModelDoes(t *testing.T) { judgeHistories(t, 2) }

func judgeHistories(t *testing.T, below int) {
	reached := map[string]int{}
	tied := 0
	for seed := range uint64(*seeds) {
		h := newHistory(rand.New(rand.NewPCG(seed, 9)))
		h.below = below
		if h.judge(t, reached) {
			tied++
		}
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, h.cfg)
		}
	}
	if tied > *seeds/20 {
		t.Errorf("in %d of %d histories two things happened at one moment: they prove nothing", tied, *seeds)
	}
	for _, how := range []string{started, allowed, denied, canceled, tooLate, full, expired, tooLong, costly, notNow, settled, unsettled, lengthened, tooPaused} {
		if reached[how] < *seeds/4 {
			t.Errorf("only %d %s: the histories are too tame", reached[how], how)
		}
	}
	t.Log(reached, "tied", tied)
}

const (
	expired    = "context's deadline passed"
	tooLong    = "refused for MaxWait"
	costly     = "refused as too costly"
	tooPaused  = "refused for MaxPause"
	notNow     = "not now"
	needsSlot  = "refused: Acquire is needed"
	settled    = "settled"
	unsettled  = "not settled"
	lengthened = "pause began or lengthened"
	unchanged  = "pause as before"
)

// A deed is something that happens to a pacer from outside.
type deed struct {
	at       time.Duration
	do       string
	arrived  time.Duration  // wait, acquire, try: WithArrival; 0 = without
	costs    map[string]int // acquire, try
	cancel   time.Duration  // of the context; 0 = never
	deadline time.Duration  // of the context; 0 = none
	until    time.Duration  // pause, report
	admit    bool           // acquire: for a layer, by Admit
	quotas   []quota.State  // report
	slot     int            // settle, done, give up, report: of which deed
	unit     string         // settle
	cost     int            // settle
	limits   []pacer.Limit  // change
}

const (
	acquire = "acquire"
	try     = "try"
	settle  = "settle"
	done    = "done"
	giveUp  = "cancel the slot"
	report  = "report"
	resume  = "resume"
	change  = "change the limits"
)

// A history is a config and what happens to its pacer.
type history struct {
	*rand.Rand
	moments time.Duration
	cfg     pacer.Config
	learns  bool // from what servers say
	below   int  // how many levels below its limits callers are
	kinds   int  // of limits
	changes bool // of limits
	deeds   []deed
}

func (h *history) moment(from, span time.Duration) time.Duration {
	h.moments++
	return (from+time.Duration(h.Int64N(max(1, int64(span)))))/grain*grain + h.moments
}

func newHistory(r *rand.Rand) *history {
	h := &history{Rand: r}
	interval := h.configure()
	h.learns = h.IntN(3) > 0
	h.act(interval)
	return h
}

// configure makes up a config and returns how far apart starts are in the long run.
func (h *history) configure() (interval time.Duration) {
	h.kinds = 5
	if h.IntN(3) == 0 {
		h.kinds = 2 // the future is known
	}
	h.changes = h.IntN(2) == 0
	for range 1 + h.IntN(4) {
		l := h.limit()
		h.cfg.Limits = append(h.cfg.Limits, l)
		n := l.Calls
		if l.Cost > 0 {
			n = l.Cost / 10
		}
		interval = max(interval, l.Period/time.Duration(n))
	}
	if h.kinds > 2 && h.IntN(3) == 0 {
		h.cfg.MaxInFlight = 1 + h.IntN(5)
		if h.IntN(8) == 0 {
			h.cfg.Limits = nil
		}
	}
	if h.IntN(3) == 0 {
		h.cfg.MaxWaiting = 1 + h.IntN(8)
	}
	if h.IntN(3) == 0 {
		h.cfg.MaxWait = time.Duration(1 + h.Int64N(10*int64(interval)))
	}
	if h.IntN(4) == 0 {
		h.cfg.Margin = time.Duration(h.Int64N(int64(interval)))
	}
	if h.IntN(2) == 0 {
		h.cfg.MaxPause = time.Duration(1 + h.Int64N(6*int64(interval)))
	}
	h.cfg.Coarse = h.IntN(4) == 0
	return interval
}

func (h *history) limit() pacer.Limit {
	n := 1 + h.IntN(8)
	period := time.Duration(n) * grain * time.Duration(1+h.IntN(100_000))
	if h.IntN(3) == 0 {
		period += time.Duration(h.Int64N(int64(period))) // not a multiple any more
	}
	l := pacer.Limit{Calls: n, Period: period}
	switch h.IntN(h.kinds) {
	case 1:
		l.Even = true
	case 2:
		l.Bucket = 1 + h.IntN(10)
	case 3, 4:
		l.Calls, l.Cost = 0, 10*n
		l.Unit = []string{"tokens", "points"}[h.IntN(2)]
		if h.IntN(2) == 0 {
			l.Bucket = 20 + h.IntN(80)
		}
	}
	return l
}

func (h *history) act(interval time.Duration) {
	gap := interval/3 + time.Duration(h.Int64N(int64(2*interval)))
	at := time.Duration(0)
	limits := h.cfg.Limits
	for range 50 {
		if h.IntN(3) > 0 {
			at += time.Duration(h.Int64N(int64(3 * gap)))
		}
		d := deed{at: h.moment(at, grain), do: acquire, costs: h.costs()}
		switch h.IntN(20) {
		case 0:
			d.do, d.until = pause, h.pause(d.at, interval)
		case 1, 2:
			d.do, d.costs = allow, nil
		case 3, 4:
			d.do, d.costs = wait, nil
		case 5, 6, 7:
			d.do = try
		case 8, 9, 10, 11, 12:
			d.admit = true
		}
		if h.IntN(4) == 0 {
			d.arrived = max(1, h.moment(at, grain)-time.Duration(h.Int64N(int64(8*interval)))/grain*grain)
		}
		held := d.do == acquire || d.do == try
		waits := d.do == acquire || d.do == wait
		if waits && (h.IntN(3) == 0 || h.cfg.MaxInFlight > 0) {
			d.cancel = h.moment(at+grain, 20*interval)
			if h.IntN(10) == 0 {
				d.cancel = d.at // dead already
			}
		}
		if waits && h.IntN(3) == 0 {
			d.deadline = h.moment(at+2*grain, 10*interval)
		}
		h.deeds = append(h.deeds, d)
		if h.changes && h.IntN(12) == 0 {
			limits = h.otherLimits(limits)
			h.deeds = append(h.deeds, deed{at: h.moment(at, grain), do: change, limits: limits})
			held = false
		}
		if held {
			h.follow(len(h.deeds)-1, at, interval)
		}
	}
}

// pause makes up the end of a pause that begins at a time, and that it is resumed before.
func (h *history) pause(at, interval time.Duration) (until time.Duration) {
	until = h.moment(at+8*grain, 8*interval)
	if back := h.moment(at+grain, until-at-3*grain); back < until {
		h.deeds = append(h.deeds, deed{at: back, do: resume})
	}
	return until
}

func (h *history) costs() map[string]int {
	costs := map[string]int{}
	for _, unit := range []string{"tokens", "points"} {
		if h.IntN(4) > 0 {
			costs[unit] = h.IntN(25)
		}
	}
	switch h.IntN(20) {
	case 0:
		costs["tokens"] = 1000
	case 1:
		costs["points"] = -3
	}
	return costs
}

// quotas makes up what a server says at a time.
func (h *history) quotas(at, interval time.Duration) (said []quota.State) {
	for range 1 + h.IntN(3) {
		s := quota.State{Name: []string{"", "core", "search"}[h.IntN(3)], Unit: []string{"", "", "tokens", "points", "pints"}[h.IntN(5)]}
		scale := 1
		if s.Unit != "" {
			scale = 10
		}
		s.Remaining = h.IntN(5 * scale)
		if h.IntN(2) == 0 {
			s.Limit = 1 + h.IntN(8*scale)
		}
		if h.IntN(6) > 0 {
			s.Reset = h.moment(at+grain, 6*interval) - at
		}
		if h.IntN(3) == 0 {
			s.Window = h.moment(grain, 6*interval)
		}
		said = append(said, s)
	}
	return said
}

// follow makes up what is said of the slot of a deed.
func (h *history) follow(slot int, at, interval time.Duration) {
	for h.learns && h.IntN(2) == 0 {
		d := deed{at: h.moment(at+grain, 6*interval), do: report, slot: slot}
		if d.quotas = h.quotas(d.at, interval); h.IntN(6) == 0 {
			d.until = h.pause(d.at, interval)
		}
		h.deeds = append(h.deeds, d)
	}
	for range h.IntN(4) {
		d := deed{at: h.moment(at+grain, 12*interval), slot: slot}
		switch h.IntN(8) {
		case 0:
			d.do, d.until = report, h.pause(d.at, interval)
		case 1, 2:
			d.do = giveUp
		case 3:
			d.do, d.cost = settle, h.IntN(4)
		default:
			d.do, d.unit, d.cost = settle, []string{"tokens", "points", "pints"}[h.IntN(3)], h.IntN(40)-1
		}
		h.deeds = append(h.deeds, d)
	}
	if h.IntN(5) > 0 {
		h.deeds = append(h.deeds, deed{at: h.moment(at+grain, 6*interval), do: done, slot: slot})
	}
}

// perform does what the history says to p, whose callers call leaf, and returns how each deed
// ended.
func (h *history) perform(parent context.Context, p, leaf *pacer.Pacer) []outcome {
	outcomes := make([]outcome, len(h.deeds))
	slots := make([]*pacer.Slot, len(h.deeds))
	reports := make([]func(pacer.Outcome) time.Time, len(h.deeds))
	begin := time.Now()
	var mu sync.Mutex // of slots; nothing happens at one moment, but the race detector cannot know
	var wg sync.WaitGroup
	for i, d := range h.deeds {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(parent)
			defer cancel()
			if d.cancel > d.at {
				time.AfterFunc(d.cancel, cancel)
			}
			if d.deadline != 0 {
				ctx, cancel = context.WithDeadline(ctx, begin.Add(d.deadline))
				defer cancel()
			}
			for unit, cost := range d.costs {
				ctx = pacer.WithCost(ctx, unit, cost)
			}
			if d.arrived != 0 {
				ctx = pacer.WithArrival(ctx, begin.Add(d.arrived))
			}
			if time.Sleep(d.at); d.cancel != 0 && d.cancel <= d.at {
				cancel()
			}
			mu.Lock()
			slot, tell := slots[d.slot], reports[d.slot]
			mu.Unlock()
			out := &outcomes[i]
			switch d.do {
			case pause:
				p.PauseUntil(begin.Add(d.until))
			case resume:
				p.Resume()
			case allow:
				out.how = denied
				if leaf.Allow() {
					out.how = allowed
				}
			case wait:
				*out = slotOutcome(leaf.Wait(ctx))
			case acquire, try:
				var s *pacer.Slot
				var err error
				var a pacer.Admission
				switch {
				case d.admit:
					err = leaf.Admit(ctx, &a)
					s = a.Slot()
				case d.do == try:
					s, err = leaf.TryAcquire(ctx)
				default:
					s, err = leaf.Acquire(ctx)
				}
				mu.Lock()
				if slots[i], reports[i] = s, s.Report; d.admit {
					reports[i] = a.Report
				}
				mu.Unlock()
				*out = slotOutcome(err)
			case settle:
				out.how = unsettled
				if slot.Settle(d.unit, d.cost) {
					out.how = settled
				}
			case done:
				slot.Done()
			case giveUp:
				slot.Cancel()
			case change:
				if err := p.SetLimits(d.limits...); err != nil {
					out.how = err.Error()
				}
			case report:
				out.how = unchanged
				if tell == nil {
					tell = slot.Report
				}
				if until := tell(d.outcome()); !until.IsZero() {
					out.how, out.wait = lengthened, until.Sub(begin)
				}
			}
			out.at = time.Since(begin)
		})
	}
	wg.Wait()
	return outcomes
}

// outcome is what a report says.
func (d deed) outcome() pacer.Outcome {
	return pacer.Outcome{Throttled: d.until != 0, Delay: max(0, d.until-d.at), Quotas: d.quotas}
}

func slotOutcome(err error) outcome {
	var refusal *pacer.Error
	if !errors.As(err, &refusal) {
		switch {
		case err != nil && err.Error() == "pacer: Wait cannot say when a request is over, which MaxInFlight needs to know: use Acquire":
			return outcome{how: needsSlot}
		case errors.Is(err, context.DeadlineExceeded):
			return outcome{how: expired}
		}
		return outcomeOf(err)
	}
	for kind, how := range map[error]string{pacer.ErrMaxWait: tooLong, pacer.ErrTooCostly: costly, pacer.ErrNotNow: notNow, pacer.ErrPaused: tooPaused} {
		if errors.Is(err, kind) {
			return outcome{how: how, wait: refusal.Wait()}
		}
	}
	return outcomeOf(err)
}

// judge lets the history happen to a Pacer, and the model say what it thinks of that. It
// reports whether the model could not tell, since two things happened at one moment.
func (h *history) judge(t *testing.T, reached map[string]int) (tied bool) {
	var got []outcome
	var stats pacer.Stats
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, h.cfg)
		leaf := p
		for range h.below {
			leaf = pacerWith(t, pacer.Config{Parent: leaf, MaxWaiting: h.cfg.MaxWaiting, MaxWait: h.cfg.MaxWait, MaxPause: h.cfg.MaxPause})
		}
		got = h.perform(t.Context(), p, leaf)
		stats = leaf.Stats()
		stats.InFlight = p.Stats().InFlight
	})
	m := newSlotModel(h.cfg)
	m.below = h.below > 0
	want := m.run(h.deeds, got)
	if m.tied {
		return true
	}
	ended := map[string]int{}
	for i, d := range h.deeds {
		ended[got[i].how]++
		reached[got[i].how]++
		if got[i] != want[i] {
			t.Errorf("deed %d: %+v\nended as %+v\n   want %+v", i, d, got[i], want[i])
		}
	}
	for _, fault := range m.faults {
		t.Error(fault)
	}
	gone := 0
	for _, s := range m.slots {
		if s.canceled {
			gone++
		}
	}
	if int(stats.Granted) != ended[started]+ended[allowed]-gone ||
		int(stats.Rejected) != ended[tooLate]+ended[full]+ended[denied]+ended[tooLong]+ended[tooPaused]+ended[costly]+ended[notNow] ||
		int(stats.Canceled) != ended[canceled]+ended[expired] || stats.Waiting != 0 || stats.InFlight != m.flying {
		t.Errorf("Stats: %+v, want the sums of %v, %d canceled slots and %d in flight", stats, ended, gone, m.flying)
	}
	return false
}

// run returns how every deed ends, given how it ended where that is the Pacer's choice.
func (m *slotModel) run(deeds []deed, got []outcome) []outcome {
	want := make([]outcome, len(deeds))
	type event struct {
		at   time.Duration
		what func()
	}
	var events []event
	for i, d := range deeds {
		events = append(events, event{d.at, func() { m.do(i, d, &want[i], got) }})
		if d.cancel > d.at {
			events = append(events, event{d.cancel, func() { m.leave(i, canceled) }})
		}
		if d.deadline > 0 {
			events = append(events, event{d.deadline, func() { m.leave(i, expired) }})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for len(events) > 0 || len(m.line) > 0 {
		at, what := time.Duration(math.MaxInt64), func() {}
		next := func(t time.Duration, f func()) {
			m.tied = m.tied || t == at && t != math.MaxInt64
			if t < at {
				at, what = t, f
			}
		}
		if len(events) > 0 {
			next(events[0].at, func() { e := events[0]; events = events[1:]; e.what() })
		}
		for _, w := range m.line {
			next(w.latest, func() {
				wait := m.predicted(m.line[:slices.Index(m.line, w)], w.costs) - m.now
				m.leave(w.action, tooLong)
				m.estimated(w, got[w.action], wait)
			})
		}
		if len(m.line) > 0 && !m.full() {
			next(m.due(m.now, m.line[0].costs), func() {})
		}
		if m.tied || at == math.MaxInt64 {
			return want // in the latter case callers wait for ever
		}
		m.now = at
		what()
		m.serve()
	}
	return want
}

// serve lets heads start, or refuses them, as long as there is something to say to one.
func (m *slotModel) serve() {
	for len(m.line) > 0 {
		w := m.line[0]
		at := m.due(m.now, w.costs)
		switch kind := w.misses(at); {
		case kind != "":
			*w.want = outcome{kind, m.now, at - m.now}
		case at > m.now || m.full():
			return
		default:
			*w.want = outcome{how: started, at: m.now}
			m.start(w.action, w.costs, w.held)
		}
		m.line = m.line[1:]
	}
}

func (w *modelWaiter) misses(at time.Duration) string {
	switch {
	case at >= w.deadline && w.deadline != math.MaxInt64:
		return tooLate
	case at > w.latest:
		return tooLong
	}
	return ""
}

func (m *slotModel) leave(action int, how string) {
	for i, w := range m.line {
		if w.action == action {
			*w.want = outcome{how: how, at: m.now}
			m.line = slices.Delete(slices.Clone(m.line), i, i+1)
			return
		}
	}
}

// estimated wants a predicted wait that is not too long, and right where that is known.
func (m *slotModel) estimated(w *modelWaiter, got outcome, wait time.Duration) {
	want := w.want
	want.wait = wait
	if !m.exactFor(w) && got.wait >= 0 && got.wait < wait {
		want.wait = got.wait
	}
}

func (m *slotModel) do(i int, d deed, want *outcome, got []outcome) {
	want.at = m.now
	switch d.do {
	case pause:
		m.pause(d.until, got)
	case resume:
		m.resume()
		m.refuseTooLate(got)
	case allow:
		want.how = denied
		if len(m.line) == 0 && m.cfg.MaxInFlight == 0 && m.due(m.now, nil) == m.now {
			want.how = allowed
			m.start(i, nil, false)
		}
	case settle:
		want.how = unsettled
		ok, charged := m.settle(d.slot, d.unit, d.cost)
		if ok {
			want.how = settled
		}
		if charged {
			m.refuseTooLate(got)
		}
	case done:
		m.done(d.slot)
	case giveUp:
		m.cancel(d.slot)
	case change:
		m.setLimits(d.limits, got)
	case report:
		want.how = unchanged
		if s := m.slots[d.slot]; s != nil && !s.canceled {
			if until := m.report(s, d.outcome(), got); until > 0 {
				want.how, want.wait = lengthened, until
			}
		}
	default:
		m.arrive(i, d, want, got)
	}
}

func (m *slotModel) arrive(i int, d deed, want *outcome, all []outcome) {
	got := all[i]
	w := &modelWaiter{
		action: i, costs: d.costs, want: want, held: d.do != wait && (!d.admit || m.holds()),
		admit: d.admit, heard: d.do != wait, joined: m.now, arrived: m.now, deadline: math.MaxInt64, latest: math.MaxInt64,
	}
	if d.arrived != 0 {
		w.arrived = min(m.now, d.arrived)
	}
	place := len(m.line)
	for place > 0 && m.line[place-1].arrived > w.arrived {
		place--
	}
	at := m.predicted(m.line[:place], w.costs)
	switch {
	case d.do == wait && m.cfg.MaxInFlight > 0:
		want.how = needsSlot
		return
	case d.cancel != 0 && d.cancel <= d.at:
		want.how = canceled
		return
	case m.tooCostly(w.costs):
		want.how, want.wait = costly, math.MaxInt64
		return
	case place == 0 && at == m.now && !m.full() && (d.do == try || len(m.line) == 0):
		want.how = started
		m.start(i, w.costs, w.held)
		m.refuseTooLate(all)
		return
	case d.do == try:
		want.how = notNow
		m.estimated(w, got, at-m.now)
		if want.wait == 0 {
			want.wait = time.Millisecond
		}
		if want.wait < got.wait && got.wait == time.Millisecond && !m.exactFor(w) {
			want.wait = got.wait
		}
		return
	case m.cfg.MaxWaiting > 0 && len(m.line) >= m.cfg.MaxWaiting && w.arrived == m.now:
		want.how = full
		m.estimated(w, got, at-m.now)
		return
	}
	if d.deadline > 0 {
		w.deadline = d.deadline
	}
	if m.cfg.MaxWait > 0 {
		w.latest = m.now + m.cfg.MaxWait
	}
	if m.refuses(w, at, got) {
		return
	}
	m.line = slices.Insert(slices.Clone(m.line), place, w)
	if place < len(m.line)-1 {
		m.refuseTooLate(all)
	}
}

// refuses reports whether w is refused now. Where the future is unknown the Pacer may know
// better than to be right.
func (m *slotModel) refuses(w *modelWaiter, at time.Duration, got outcome) bool {
	kind := w.misses(at)
	did := got.at == m.now && (got.how == tooLate || got.how == tooLong)
	if kind == "" || !did && !m.exactFor(w) {
		return m.isHeldTooLong(w)
	}
	*w.want = outcome{how: kind, at: m.now}
	if !m.exactFor(w) && got.how == tooLong && at > w.latest {
		w.want.how = tooLong // the estimate was past the one and not past the other
	}
	m.estimated(w, got, at-m.now)
	return true
}

func (m *slotModel) pause(until time.Duration, got []outcome) {
	if until <= m.now || until <= m.paused {
		return
	}
	if m.paused <= m.now {
		m.pausedSince, m.era = m.now, m.starts
	}
	m.paused = until
	m.refuseTooLate(got)
}

func (m *slotModel) resume() {
	m.paused, m.era = 0, m.starts
	for _, q := range m.quotas {
		if q.remaining == 0 {
			q.reset, q.ends = 0, 0
			q.from, q.oldest = q.number, q.number
		}
	}
}

// isHeldTooLong reports whether a pause, or a quota that is used up, holds w longer than MaxPause.
func (m *slotModel) isHeldTooLong(w *modelWaiter) bool {
	if m.paused > m.now && m.paused-max(w.joined, m.pausedSince) > m.cfg.MaxPause && m.cfg.MaxPause > 0 {
		*w.want = outcome{how: tooPaused, at: m.now, wait: m.paused - m.now}
		return true
	}
	if reset := m.usedUp(w.costs); reset > m.now && reset-max(w.joined, m.usedSince) > m.cfg.MaxPause+time.Second && m.cfg.MaxPause > 0 {
		*w.want = outcome{how: tooPaused, at: m.now, wait: reset - m.now}
		return true
	}
	return false
}

// refuseTooLate lets those go who would start too late since they start later now.
func (m *slotModel) refuseTooLate(got []outcome) {
	var staying []*modelWaiter
	for _, w := range m.line {
		if !m.refuses(w, m.predicted(staying, w.costs), got[w.action]) {
			staying = append(staying, w)
		}
	}
	m.line = staying
}

// FuzzSlots lets the fuzzer make up the history that the model judges.
func FuzzSlots(f *testing.F) {
	for _, choices := range []string{"", "pacer", "\x00\x00\x00\x00\x00\x00\x00\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(choices))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		h := newHistory(rand.New(&choice{choices, rand.NewPCG(1, uint64(len(choices)))}))
		h.judge(t, map[string]int{})
	})
}

// choice is a source of random numbers that are given at first.
type choice struct {
	given []byte
	rest  rand.Source
}

func (c *choice) Uint64() uint64 {
	if len(c.given) < 8 {
		return c.rest.Uint64()
	}
	n := binary.BigEndian.Uint64(c.given)
	c.given = c.given[8:]
	return n
}
