package redispacer

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// maxTrips bounds the round trips that reserve, and so the connections in use.
	maxTrips = 8

	// No start is made longer than freshness after Redis last answered: it is asked
	// again then whether there is a pause.
	freshness = 100 * time.Millisecond
)

// trips is what is on its way to Redis or has to go there. It is guarded by Pacer.mu.
type trips struct {
	running    int
	asked      int // starts asked for and not answered yet
	generation int // a failure begins a new one: nobody waits for earlier round trips

	returns  []slot        // to give back, newest first
	pause    time.Duration // the end of a pause that is to be shared; in the past if there is none
	carrying bool          // a round trip takes the above along; one at a time, so that they arrive in order
	checking bool          // a round trip only asks for pauses

	heard   time.Duration // when the last answer came
	took    time.Duration // how long it took to come
	epoch   int64         // of the state last seen
	learned time.Duration // when it was first seen
	given   int64         // when that last gave out a start, on the server's clock
	newest  time.Duration // the newest of these starts, on this process's clock
	lives   time.Duration // until then the state cannot have expired; zero if it gave out none
}

// A trip is one call of the script.
type trip struct {
	request
	waiters    []*waiter // who the budgets belong to
	pauseEnd   time.Duration
	carried    []slot
	carrying   bool
	checking   bool
	probing    bool
	generation int
	sent       time.Duration
	late       bool // nobody waits for it any more
}

// The methods below need p.mu, but for travel and its ends.

// depart begins the round trips that are called for now. What is to be given back while
// Redis is avoided waits for the probe: if it is the newest still, it was not late.
func (p *Pacer) depart(now time.Duration) {
	for p.trips.running < maxTrips && !p.health.avoids(now) {
		t := &trip{probing: p.health.cause != nil}
		n := p.demand()
		if t.probing {
			n = min(n, 1)
		}
		for range n {
			w := p.queue.ask()
			budget := time.Duration(-1)
			if w.deadline != forever {
				budget = max(0, w.deadline-now)
			}
			t.waiters = append(t.waiters, w)
			t.budgets = append(t.budgets, budget)
		}
		t.carrying = !p.trips.carrying && (len(p.trips.returns) > 0 || p.trips.pause > now)
		if n == 0 && !t.carrying {
			return
		}
		p.begin(t, now)
	}
}

// ask begins a round trip that only asks whether there is a pause.
func (p *Pacer) ask(now time.Duration) {
	if !p.trips.checking {
		p.begin(&trip{checking: true, probing: p.health.cause != nil}, now)
	}
}

// lookAgain returns until when the head may sleep for a slot at due. If stale, Redis is to
// be asked for a pause then; otherwise the slot is good.
func (p *Pacer) lookAgain(due, now time.Duration) (until time.Duration, stale bool) {
	if due-p.trips.heard <= freshness || p.health.avoids(now) {
		return due, false
	}
	return due - p.trips.took - freshness/2, true
}

func (p *Pacer) begin(t *trip, now time.Duration) {
	t.sent, t.generation = now, p.trips.generation
	if now < p.trips.lives {
		t.epoch, t.given, t.newest = p.trips.epoch, p.trips.given, p.trips.newest-now
	}
	if t.carrying {
		t.carried, p.trips.returns = p.trips.returns, nil
		for _, s := range t.carried {
			t.returns = append(t.returns, s.serial)
		}
		t.pauseEnd = p.trips.pause
		t.pause = max(0, t.pauseEnd-now)
		p.trips.carrying = true
	}
	p.trips.checking = p.trips.checking || t.checking
	p.health.probing = p.health.probing || t.probing
	p.trips.asked += len(t.waiters)
	p.trips.running++
	p.counts.RoundTrips++
	go p.travel(t)
}

// travel makes the call. When it takes too long the waiters are released, but the call
// itself is left to the client, which need not heed a context: what it reserves after all
// is given back.
func (p *Pacer) travel(t *trip) {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	late := fmt.Errorf("redispacer: no answer within %v", p.timeout)
	intime := context.AfterFunc(ctx, func() { p.settle(t, reply{}, late) })
	answer, err := p.script.run(ctx, t.request)
	switch {
	case intime():
		p.settle(t, answer, err)
	case err == nil:
		p.salvage(t, answer)
	default:
		p.explain(late, err)
	}
}

// settle takes in the answer of a round trip, or that there is none.
func (p *Pacer) settle(t *trip, answer reply, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.trips.running--
	if t.carrying {
		p.trips.carrying = false
	}
	if t.checking {
		p.trips.checking = false
	}
	current := t.generation == p.trips.generation
	if current {
		p.trips.asked -= len(t.waiters)
	}
	if err != nil {
		p.counts.Failures++
		p.counts.Lost += uint64(len(t.carried))
		if current {
			p.health.failed(err, now)
			p.trips.generation++
			p.trips.asked = 0
		}
		p.balance(now)
		return
	}
	p.health.succeeded()
	p.trips.heard, p.trips.took = now, now-t.sent
	if p.trips.pause == t.pauseEnd {
		p.trips.pause = 0
	}
	p.counts.Returned += uint64(answer.returned)
	p.counts.Lost += uint64(len(t.carried) - answer.returned)
	p.take(t, answer, now)
	p.balance(now)
}

// salvage gives back what was reserved by an answer that came too late.
func (p *Pacer) salvage(t *trip, answer reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	t.late = true
	p.take(t, answer, now)
	p.balance(now)
}

// explain says why there was no answer in time. Clients repeat what failed, and so fail
// late.
func (p *Pacer) explain(late, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.health.cause == late {
		p.health.cause = fmt.Errorf("%w: %w", late, err)
	}
}

// take adds the answer's slots. They count from the answer's arrival, not from the
// sending: the script ran somewhere between the two, so that no start comes early.
func (p *Pacer) take(t *trip, answer reply, now time.Duration) {
	if answer.epoch != p.trips.epoch {
		if t.sent < p.trips.learned {
			for _, g := range answer.grants {
				if !g.refused() {
					p.counts.Lost++
				}
			}
			return // overtaken by what it did not know
		}
		p.forget()
		p.trips.epoch, p.trips.learned, p.trips.newest, p.trips.lives = answer.epoch, now, now, 0
		if p.resumes > now {
			p.trips.pause = max(p.trips.pause, p.resumes) // it was lost with the rest
		}
	}
	if answer.resumes > p.agreed {
		p.agreed = answer.resumes
		p.resumes = max(p.resumes, add(now, micros(answer.resumes-answer.now)))
	}
	for i, g := range answer.grants {
		if g.refused() {
			if w := t.waiters[i]; !w.left {
				p.putOut(w, p.refuse(micros(g.wait)))
			}
			continue
		}
		at := add(now, micros(g.wait))
		soonest := add(t.sent, micros(g.wait)) // the script did not run before that
		p.trips.given = max(p.trips.given, answer.now)
		p.trips.newest = max(p.trips.newest, at)
		p.trips.lives = max(p.trips.lives, add(soonest, 2*p.span))
		s := slot{at: at, server: answer.now + g.wait, serial: g.serial}
		if t.late || soonest < now-tooLate {
			p.giveBack(s)
		} else {
			p.slots.add(s)
		}
	}
	p.losePaused()
	p.refuseBehind(now)
}

// refuseBehind refuses those for whom a start behind all that is reserved comes too late.
func (p *Pacer) refuseBehind(now time.Duration) {
	if len(p.slots) == 0 {
		return
	}
	last := p.slots.last().at
	for w := p.queue.unasked; w != nil; {
		next := w.next
		if w.misses(last) {
			p.putOut(w, p.refuse(last-now))
		}
		w = next
	}
}

// forget drops all that is part of a state which is no more. To use it would break the
// limits, since the next state knows nothing of it.
func (p *Pacer) forget() {
	p.counts.Lost += uint64(len(p.slots) + len(p.trips.returns))
	p.slots, p.trips.returns = nil, nil
	p.trips.given, p.agreed = 0, 0
}

// giveBack sends a slot back to Redis that nobody wants any more.
func (p *Pacer) giveBack(s slot) {
	i, _ := slices.BinarySearchFunc(p.trips.returns, s, func(a, b slot) int { return b.compare(a) })
	p.trips.returns = slices.Insert(p.trips.returns, i, s)
}
