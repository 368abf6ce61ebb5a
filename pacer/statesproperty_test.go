package pacer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// TestStatesKeepTheirPromises lets callers of all kinds meet a server that works, fails, is
// silent and throttles in turn, and a program that pauses and resumes. It judges what they saw
// by the sentences of the documentation.
func TestStatesKeepTheirPromises(t *testing.T) { judgeWorlds(t, func(*world) {}) }

// Children that leave what servers say to their Parent keep its promises together.
func TestStatesKeepTheirPromisesInATree(t *testing.T) {
	judgeWorlds(t, func(w *world) { w.children = 1 + w.IntN(4) })
}

func judgeWorlds(t *testing.T, change func(*world)) {
	reached := map[string]int{}
	for seed := range uint64(*seeds) {
		w := newWorld(rand.New(rand.NewPCG(seed, 11)))
		change(w)
		synctest.Test(t, func(t *testing.T) { w.run(t) })
		for _, fault := range w.faults {
			t.Error(fault)
		}
		for what, n := range w.reached {
			reached[what] += n
		}
		if t.Failed() {
			t.Fatalf("seed %d: %+v, Outage %+v", seed, w.cfg, w.cfg.Outage)
		}
	}
	for _, what := range []string{
		"paused", "probing", "down", "started while probing", "started while down", "refused as paused", "refused as down",
		"refused for its deadline", "paused by a report", "started by Wait while probing",
	} {
		if reached[what] < *seeds/4 {
			t.Errorf("only %d times %s: the worlds are too tame", reached[what], what)
		}
	}
	t.Log(reached)
}

// A world is a pacer, its callers and a server, and what has happened there.
type world struct {
	*rand.Rand
	cfg   pacer.Config
	most  int
	pacer *pacer.Pacer
	began time.Time

	children int // of pacer; callers are its own where there is none
	below    []*pacer.Pacer

	reached map[string]int

	mu      sync.Mutex
	state   pacer.State
	entered time.Duration // the state, as far as it was seen
	outage  bool          // the last state but probing was down
	paused  time.Duration // until when, as the program said or was told
	turned  time.Duration // the last pause, outage or end of either by a success or Resume
	good    time.Duration // when last something worked, or limits alone decided
	resumed time.Duration
	failing map[time.Time]bool // calls that have failed since the last success
	starts  []*worldStart
	early   []*worldRefusal // for the sake of a deadline
	faults  []string
}

type worldStart struct {
	at      time.Duration
	joined  time.Duration
	heard   bool // is reported, if the server is not silent
	told    bool // was reported
	worked  bool
	gone    bool // canceled
	probing bool // made while probing
}

type worldRefusal struct {
	at, deadline time.Duration
	heard        bool
}

func newWorld(r *rand.Rand) *world {
	w := &world{Rand: r, reached: map[string]int{}, failing: map[time.Time]bool{}, most: 64}
	n := 1 + r.IntN(20)
	l := pacer.Limit{Calls: n, Period: time.Second}
	switch r.IntN(4) {
	case 0:
		l.Even = true
	case 1:
		l.Bucket = 1 + r.IntN(30)
	}
	w.cfg.Limits, w.most = []pacer.Limit{l}, n
	if r.IntN(3) > 0 {
		w.cfg.Outage = &pacer.Outage{After: 1 + r.IntN(4), Refuse: r.IntN(3) == 0}
	}
	w.cfg.MaxPause = time.Duration(5+r.IntN(40)) * time.Second
	return w
}

// faultf and all below need w.mu.
func (w *world) faultf(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf("%v: ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *world) fate(seed uint64, i int) *fate {
	f := &fate{rand.New(rand.NewPCG(seed, uint64(i))), w, w.pacer, time.Duration(i) * 10 * time.Microsecond}
	if w.children > 0 {
		f.pacer = w.below[i%w.children]
	}
	return f
}

// A fate is what chance holds for one goroutine of a world, whatever the others do meanwhile.
type fate struct {
	*rand.Rand
	w     *world
	pacer *pacer.Pacer
	own   time.Duration // the part of a millisecond at which its moments lie
}

// moment returns a span of time that ends at a moment of its own.
func (f *fate) moment(most time.Duration) time.Duration {
	f.own++
	now := time.Since(f.w.began)
	return (now+time.Duration(f.Int64N(int64(most))))/time.Millisecond*time.Millisecond + time.Millisecond + f.own - now
}

// look notes which state the pacer is in.
func (w *world) look() pacer.Stats {
	now, stats := time.Since(w.began), w.pacer.Stats()
	for _, p := range w.below {
		stats.Waiting += p.Stats().Waiting
	}
	if stats.State == pacer.StateFlowing {
		w.good = now
	}
	if stats.State != w.state {
		w.reached[stats.State.String()]++
		if stats.State == pacer.StateDown || w.state == pacer.StateDown {
			w.turned = now
		}
		if stats.State == pacer.StateProbing {
			w.outage = w.state == pacer.StateDown
		}
		if w.state == pacer.StateDown {
			clear(w.failing) // also where a caller of Wait has ended it
		}
		w.state, w.entered = stats.State, now
	}
	if stats.State == pacer.StateDown && now > w.entered+w.cfg.MaxPause && stats.Waiting > 0 {
		w.faultf("%d wait in an outage that is older than MaxPause", stats.Waiting)
	}
	return stats
}

// started judges a start.
func (w *world) started(s *worldStart) {
	was, entered := w.state, w.entered
	w.look()
	if s.at < w.paused {
		w.faultf("started in a pause until %v", w.paused)
	}
	if dark := s.at - max(s.joined, w.goodBefore(s.at)); w.state != pacer.StateFlowing && dark > w.cfg.MaxPause+10*time.Second+w.cfg.Limits[0].Period {
		w.faultf("held in the dark for %v", dark)
	}
	if was == pacer.StateDown && w.state == pacer.StateDown {
		w.reached["started while down"]++
		for _, o := range w.starts {
			if o.at >= entered && !o.gone && (s.at-o.at < 100*time.Millisecond || !o.told && s.at-o.at < 10*time.Second) {
				w.faultf("two probes of an outage, of %v and %v", o.at, s.at)
			}
		}
		if !s.heard {
			w.faultf("a start by Wait in an outage")
		}
	}
	w.starts = append(w.starts, s)
	if w.state != pacer.StateProbing {
		return
	}
	w.reached["started while probing"]++
	if !s.heard {
		w.reached["started by Wait while probing"]++
	}
	s.probing = true
	flying, worked := 0, 0
	for _, o := range w.starts {
		silent := s.at - o.at
		switch {
		case o.at < w.turned || o.at < w.paused || !o.heard || o.gone:
		case o.worked, !o.told && !w.outage && silent >= time.Second:
			worked++
		case !o.told && silent < 10*time.Second:
			flying++
		}
	}
	if flying > 1+worked {
		w.faultf("%d starts without a report after %d successes", flying, worked)
	}
}

// goodBefore returns when last something worked, silence included.
func (w *world) goodBefore(at time.Duration) time.Duration {
	good := w.good
	for _, s := range w.starts {
		if s.heard && !s.told && s.at+time.Second <= at {
			good = max(good, s.at+time.Second)
		}
	}
	return good
}

// report tells the pacer how a start went, and judges what comes of it.
func (w *world) report(tell func(pacer.Outcome) time.Time, s *worldStart, call time.Time, o pacer.Outcome) {
	w.look()
	now, counts := time.Since(w.began), s.at >= w.turned
	inPause := now < w.paused
	until := tell(o)
	s.told = true
	if !until.IsZero() {
		w.reached["paused by a report"]++
		if !inPause {
			w.turned = now
		}
		w.paused = until.Sub(w.began)
	}
	switch {
	case o.Throttled:
		if counts && !inPause && until.IsZero() {
			w.faultf("a throttling changes nothing")
		}
		if counts && o.Delay > 0 && w.paused < now+o.Delay {
			w.faultf("paused until %v though asked for %v", w.paused, o.Delay)
		}
		if !counts && !inPause && !until.IsZero() {
			w.faultf("a throttling of an older start pauses")
		}
	case o.Failed && counts:
		w.failing[call] = true
	case counts && !inPause:
		s.worked = true
		w.good = now
		clear(w.failing)
	}
	before := w.state
	w.look()
	if w.state == pacer.StateDown && before != pacer.StateDown && len(w.failing) < w.cfg.Outage.After {
		w.faultf("down after failures of %d calls", len(w.failing))
	}
	if !until.IsZero() || w.state == pacer.StateDown && before != w.state {
		clear(w.failing)
	}
	if o.Failed && !o.Throttled && counts && w.cfg.Outage != nil && w.state == pacer.StateFlowing && len(w.failing) >= w.cfg.Outage.After {
		w.faultf("%v though %d calls have failed in a row", w.state, len(w.failing))
	}
}

// refused judges a refusal.
func (w *world) refused(err error, joined, deadline time.Duration, heard bool) {
	now, stats := time.Since(w.began), w.look()
	var refusal *pacer.Error
	switch {
	case !errors.As(err, &refusal):
		w.faultf("ended by %v", err)
	case errors.Is(err, pacer.ErrDown):
		w.reached["refused as down"]++
		if refusal.Wait() <= 0 || w.state != pacer.StateDown {
			w.faultf("ErrDown, to wait %v, while %v", refusal.Wait(), w.state)
		}
	case errors.Is(err, pacer.ErrPaused):
		w.reached["refused as paused"]++
		if held := max(w.paused, now) - joined; held < w.cfg.MaxPause || stats.State != pacer.StatePaused && stats.State != pacer.StateProbing {
			w.faultf("ErrPaused while %v, though held only for %v", w.state, held)
		}
	case errors.Is(err, pacer.ErrDeadline):
		w.reached["refused for its deadline"]++
		if stats.Waiting == 0 && (w.state == pacer.StatePaused || w.state == pacer.StateDown) { // else those ahead may have left
			w.early = append(w.early, &worldRefusal{now, deadline, heard})
		}
	}
}

// run lets things happen until all callers have ended, and judges what is known then.
func (w *world) run(t *testing.T) {
	w.pacer, w.began = pacerWith(t, w.cfg), time.Now()
	for i := range w.children {
		parent := w.pacer
		if i > 1 {
			parent = w.below[i/2]
		}
		w.below = append(w.below, pacerWith(t, pacer.Config{Parent: parent, Weight: 1 + i, MaxPause: w.cfg.MaxPause}))
	}
	var wg sync.WaitGroup
	seeds, events := make([]uint64, 3+w.IntN(12)), w.IntN(6)
	for i := range seeds {
		seeds[i] = w.Uint64()
	}
	for i, seed := range seeds {
		wg.Go(func() { w.call(t.Context(), w.fate(seed, i)) })
	}
	for i := range events {
		f := w.fate(seeds[0], len(seeds)+i)
		d, length, resumes := f.moment(60*time.Second), time.Duration(f.IntN(40))*time.Second, f.IntN(3) == 0
		wg.Go(func() {
			time.Sleep(d)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.look()
			now := time.Since(w.began)
			if resumes {
				w.pacer.Resume()
				w.paused, w.turned, w.resumed, w.good = 0, now, now, now
				clear(w.failing)
				if w.look(); w.state != pacer.StateFlowing {
					w.faultf("%v after Resume", w.state)
				}
			} else if length > 0 {
				w.pacer.PauseUntil(w.began.Add(now + length))
				if now >= w.paused {
					w.turned = now
					clear(w.failing)
				}
				w.paused = max(w.paused, now+length)
				if w.look(); w.state != pacer.StatePaused {
					w.faultf("%v after PauseUntil", w.state)
				}
			}
		})
	}
	wg.Wait() // everybody gets an answer
	l := w.cfg.Limits[0]
	starts := slices.DeleteFunc(w.starts, func(s *worldStart) bool { return s.gone })
	for i, s := range starts {
		if j := i + max(l.Calls, l.Calls*min(1, l.Bucket)+l.Bucket); j < len(starts) && starts[j].at < s.at+l.Period {
			w.faultf("%d starts in the Period from %v on", j-i+1, s.at)
		}
		for _, r := range w.early {
			if s.heard == r.heard && s.joined > r.at && s.at < r.deadline && w.resumed < r.at {
				w.faultf("one who came at %v started at %v, though at %v one was refused who had until %v", s.joined, s.at, r.at, r.deadline)
			}
		}
	}
}
