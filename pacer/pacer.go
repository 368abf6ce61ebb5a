package pacer

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
	"github.com/pacedhttp/pacedhttp/pacer/internal/sleep"
)

// A Pacer makes callers wait for their slot. See the package documentation for
// what it guarantees. The zero Pacer refuses everything.
type Pacer struct {
	// What each start looks at comes first, close together.

	mu      mutex
	clock   sleep.Clock
	sleeper *sleep.Sleeper
	keys    atomic.Pointer[[]any] // of units in a context; nil where nothing but starts is counted
	parent  *Pacer

	// successor is set when a Keyed forgets this pacer: whoever still holds it
	// is sent to the key's new one, so that a quota never exists twice. It is told how
	// many calls will come of that.
	successor func(calls uint64) *Pacer

	tree    *tree         // nil without a parent and children
	remote  gate.Remote   // decides instead of schedule, if there is one
	lent    error         // by the fallback of that, or of the root's: why the newest start was; nil if it was not
	learned *learned      // beside either; nil until a server has said something
	came    time.Duration // the newest caller: a moment of its own
	granted uint64
	begun   int64 // starts so far, canceled ones and those that others were settled to count for too
	flights flights
	units   []string // that starts are or were counted in, the first is "", starts themselves; more are only added

	// calm says that states are idle. It is written under mu, and read without it by those who
	// have nothing to say but that a start worked.
	calm atomic.Bool

	queue    queue
	schedule schedule
	states   states // before all of them

	limits     []Limit
	tolerance  time.Duration // how late after its slot a start is not late
	maxWaiting int
	maxWait    time.Duration
	maxPause   time.Duration
	refuses    bool // while down, from the first moment
	passUp     bool
	margin     time.Duration

	failures failures
	ahead    []int         // lent to queue.ahead
	behind   []int         // lent to refuseTooLate
	none     []int         // ahead of whom nobody is
	expires  time.Duration // when the head is to look who is held for too long, or starts too late
	freed    time.Duration // when something was last given back
	revoked  uint64        // of granted: slots that were canceled
	rejected uint64
	canceled uint64
	late     uint64
	uncosted []uint64 // by unit
	totals   []uint64 // what all of them cost, by unit but the first, before anything was given back; it wraps around

	// heirs is set where this is a Keyed's overflow. It returns the pacers that have taken
	// over a start made at a time.
	heirs func(at time.Duration) []*Pacer
}

// Wait blocks until the caller may start and returns nil, or returns why it may
// not; then no slot was used. Nothing more is heard of such a start, so it is an error
// where Config.MaxInFlight is set: use [Pacer.Acquire] there. An uncontended Wait with a
// free slot does not allocate, but where costs are counted.
//
// The error is an [*Error] matching [ErrTooCostly] where the call costs more than a
// limit ever allows; [ErrQueueFull] when too many wait already; [ErrDeadline] and
// [context.DeadlineExceeded], at once, when the slot cannot come before ctx's deadline,
// or no longer can because of a pause, a settlement or a retry ahead; [ErrMaxWait]
// likewise for Config.MaxWait; and an error matching ctx.Err() and context.Cause(ctx) when
// ctx is done, which wins over a slot that is free or due.
func (p *Pacer) Wait(ctx context.Context) error {
	return p.wait(ctx, nil, nil)
}

// Acquire is [Pacer.Wait] for callers who will say how the request went: it returns the
// start's slot, or nil and the error.
func (p *Pacer) Acquire(ctx context.Context) (*Slot, error) {
	s := new(Slot)
	var st start // the slot has all of it
	if err := p.wait(ctx, &st, s); err != nil {
		return nil, err
	}
	return s, nil
}

// An Admission is a start that [Pacer.Admit] granted, or none.
type Admission struct {
	start start
}

// Slot returns the slot, nil where the pacer has no use for one.
func (a *Admission) Slot() *Slot { return a.start.slot }

// Came returns when the call did, a moment that no other call of the pacer has: a retry with
// it in [WithArrival] is of the same call. It is the zero Time for a zero Admission.
func (a *Admission) Came() time.Time { return a.start.came() }

// Waited returns how long the caller waited for its start.
func (a *Admission) Waited() time.Duration { return a.start.at - a.start.joined }

// Fallback is [Slot.Fallback] of the start, with a slot or without one.
func (a *Admission) Fallback() error { return a.start.lent }

// Admit is for layers between a program and its requests. It is [Pacer.Acquire] where it
// makes a difference to p when a request is over or what it costs: where flights are bounded
// or costs are counted. Elsewhere there is no Slot, which costs less; [Admission.Report] and
// [Admission.Cancel] say all there is to say then. Admit notes the start in a, which is zero
// before, and stays so where there is an error.
func (p *Pacer) Admit(ctx context.Context, a *Admission) error { return p.wait(ctx, &a.start, nil) }

// Cancel says that nothing was sent, as [Slot.Cancel] does, which it calls where there is a
// Slot. Where there is none, call it at most once: a second call would give back another's
// start. On the zero Admission it does nothing.
func (a *Admission) Cancel() {
	p := a.start.pacer
	if a.start.slot != nil || p == nil {
		a.start.slot.Cancel()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.revoked++
	p.giveBack(&a.start, now)
	p.turn(now, func() { p.states.forget(now, a.start.number) })
	p.changed(now)
}

// Free says that the server does not count the request, as Slot.Settle("", 0) does, which it
// calls where there is a Slot. How it went may still be said. Where there is no Slot, call it
// at most once. On the zero Admission it does nothing.
func (a *Admission) Free() {
	p := a.start.pacer
	if a.start.slot != nil || p == nil {
		a.start.slot.Settle("", 0)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.giveBack(&a.start, now)
	p.changed(now)
}

// giveBack makes a start without a slot count no more. It needs p.mu.
func (p *Pacer) giveBack(of *start, now time.Duration) {
	p.take(now, taken{number: of.number, cost: 1, in: ^uint16(0), spent: true, inFlight: true})
	p.gate().Settle(now, of.at, 0, 1, 0)
}

// TryAcquire returns a slot if the caller may start now. It never waits, and overtakes
// nobody who came before it; by [WithArrival] it may go before those who wait. Otherwise the
// error matches [ErrNotNow], and its Wait says when to ask again; or it is one of Acquire's,
// where waiting would not help.
func (p *Pacer) TryAcquire(ctx context.Context) (*Slot, error) {
	s := p.estimate(ctx, new(Slot))
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next(1).TryAcquire(ctx)
	}
	defer p.mu.Unlock()
	s = p.complete(ctx, s)
	if err := p.unfit(ctx, s); err != nil {
		return nil, err
	}
	now := p.clock.Now()
	w := waiter{pacer: p, ctx: ctx, slot: s, heard: true, arrived: p.arrival(ctx, now)}
	w.back = p.stepsBack(w.arrived)
	if p.free(&w, now) {
		p.startOf(nil, s, w.arrived, now, now)
		p.rouse() // the head, if there is one, has become later
		p.refuseTooLate(now)
		if p.tree != nil {
			p.refuseBehind(now)
		}
		return s, nil
	}
	left := p.predict(&w, now) - now
	if left == 0 {
		left = time.Millisecond // a flight or a waiter is in the way: time alone does not tell
	}
	return nil, p.refuse(ErrNotNow, left)
}

// Allow reports whether the caller may start now, and takes the slot if so. It
// never waits, and never overtakes those who do: while there is a queue the
// answer is false. The start costs 1 in every unit. Where Config.MaxInFlight is set the
// answer is false: see [Pacer.TryAcquire].
func (p *Pacer) Allow() bool {
	s := p.estimate(context.Background(), nil)
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		return next(1).Allow()
	}
	defer p.mu.Unlock()
	s = p.complete(context.Background(), s)
	if p.sleeper != nil && p.queue.len == 0 && !p.holds() {
		now := p.clock.Now()
		if p.free(&waiter{pacer: p, ctx: context.Background(), slot: s, arrived: now}, now) {
			if p.tree != nil {
				p.refresh(now)
				p.refuseBehind(now)
			}
			return true
		}
	}
	p.rejected++
	return false
}

// PauseUntil lets no caller start before t, those who wait already included. It
// never shortens an earlier pause; a t in the past does nothing. Waiting callers
// whose deadline the pause makes unreachable, or whose Config.MaxWait, or whom it holds for
// longer than Config.MaxPause, are refused at once, as by Wait. When it is over, callers of
// Wait start as the limits allow, and others after a probe. [Pacer.Resume] ends it.
func (p *Pacer) PauseUntil(t time.Time) {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		next(0).PauseUntil(t)
		return
	}
	defer p.mu.Unlock()
	left := time.Until(t) // before now is read: what passes in between may lengthen the pause, never shorten it
	if now := p.clock.Now(); left > 0 && p.sleeper != nil {
		p.turn(now, func() { p.states.pause(now, add(now, left), false) })
	}
}

// charge counts what a start of the same key, made on another pacer, was settled to further.
func (p *Pacer) charge(unit string, cost int) {
	p.mu.Lock()
	if next := p.successor; next != nil {
		p.mu.Unlock()
		next(0).charge(unit, cost)
		return
	}
	defer p.mu.Unlock()
	if u := slices.Index(p.units, unit); u >= 0 && p.counts(u) {
		now := p.clock.Now()
		p.further(u, cost, now)
		p.changed(now)
		p.refuseLater(now)
	}
}

// elsewhere returns the pacers that callers of the key of a start may be on by now, besides p.
func (p *Pacer) elsewhere(at time.Duration) []*Pacer {
	p.mu.Lock()
	next, heirs := p.successor, p.heirs
	p.mu.Unlock()
	switch {
	case next != nil:
		return []*Pacer{next(0)}
	case heirs != nil:
		return heirs(at)
	default:
		return nil
	}
}
