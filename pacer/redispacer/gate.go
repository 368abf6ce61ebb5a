package redispacer

import (
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// A start that is missed by more than tooLate, by a process that was stopped or an answer
// that took so much longer than others, is given up: to make up for all that were missed would
// be a bunch.
const tooLate = time.Second

// A remote is the gate between a pacer's queue and starts that are kept in Redis. All but the
// first fields are guarded by the queue's lock, which its methods are called with.
type remote struct {
	queue    gate.Queue
	script   *script
	fixed    time.Duration // Config.Timeout; 0 = follows the round trip
	fallback pacedhttp.Waiter
	margin   time.Duration

	units    []string
	rules    *rules
	reserved []reserved
	taken    taken
	next     time.Duration   // when this process has promised to ask again; in the past if it has not
	rooms    []time.Duration // when each limit had room, as far as is known; nil = nothing is
	roomsFor []int           // for a start of these costs, by unit without starts

	paused time.Duration // the end of the pause
	agreed int64         // that Redis last told of, on the server's clock

	trips  trips
	health health
	lent   lent
	counts gate.Stats
}

var _ gate.Remote = (*remote)(nil)

// Ask implements [gate.Gate].
func (r *remote) Ask(now time.Duration, costs []int) gate.Answer {
	r.dropLate(now)
	if len(r.reserved) > 0 && !r.reserved[0].fits(costs) {
		r.giveBack(0) // who it was for has left, or lets another go first
	}
	if len(r.reserved) > 0 {
		first := r.reserved[0]
		if first.due > now {
			r.look(now)
			at := first.due
			if r.next > now {
				at = min(at, r.next)
			}
			return gate.Answer{At: at}
		}
		r.reserved = slices.Delete(r.reserved, 0, 1)
		r.taken.add(takenStart{first.granted, now, r.queue.Begun() + 1, slices.Clone(costs)}, r.rules.span)
		r.look(now)
		return gate.Answer{At: first.due}
	}
	if r.health.cause != nil {
		return r.without(now, costs)
	}
	r.look(now)
	if r.next > now {
		return gate.Answer{At: r.next, Again: true}
	}
	return gate.Answer{At: forever, Again: true} // until an answer comes
}

// Bound implements [gate.Gate].
func (r *remote) Bound(now time.Duration, ahead, costs []int) time.Duration {
	at := now
	for i := range r.rules.each {
		at = max(at, r.rules.each[i].bound(now, r.Due(i), r.roomsFor, ahead, costs))
	}
	return at
}

// Due implements [gate.Remote].
func (r *remote) Due(limit int) time.Duration {
	if r.health.cause != nil || limit >= len(r.rooms) {
		return longAgo
	}
	return r.rooms[limit]
}

// Charge implements [gate.Gate].
func (r *remote) Charge(now time.Duration, unit, more int) {
	if unit == 0 {
		more = min(more, maxFurther)
	}
	r.change(change{kind: charge, unit: unit, cost: more})
}

// maxFurther is how many further starts one may be settled to count for.
const maxFurther = 1000

// Settle implements [gate.Gate]. What was charged later cannot be given back.
func (r *remote) Settle(now, at time.Duration, unit, from, to int) bool {
	s := r.taken.find(at, unit, from)
	if s == nil || add(at, r.rules.span) <= now {
		return false
	}
	given := s.costs[0] == 0 // with all its costs
	s.costs[unit] = to
	switch {
	case given:
	case unit == 0:
		r.change(s.granted.back())
	default:
		r.change(change{kind: settleTo, at: s.granted.at, serial: s.serial, unit: unit, cost: to})
	}
	r.rooms = nil
	return true
}

// Pause implements [gate.Gate]. What is reserved goes back.
func (r *remote) Pause(until time.Duration, told bool) bool {
	if until <= r.paused {
		return false
	}
	now := r.queue.Now()
	r.paused = until
	r.trips.pause, r.trips.told = until, told
	r.pauseBegan(now)
	r.tell(true)
	return true
}

// pauseBegan gives back what is reserved, and has Redis asked now and then whether the pause has
// ended before its time.
func (r *remote) pauseBegan(now time.Duration) {
	r.giveBack(0)
	if r.paused-now > poll && !r.trips.polling {
		r.trips.polling = true
		time.AfterFunc(poll, r.pollPause)
	}
}

// poll is how late a process in which somebody waits learns of what others did.
const poll = time.Second

func (r *remote) pollPause() {
	r.queue.Lock()
	defer r.queue.Unlock()
	now := r.queue.Now()
	if r.trips.polling = r.paused > now; !r.trips.polling {
		return
	}
	if r.queue.Waiting() > 0 && !r.health.avoids(now) && r.trips.running == 0 {
		r.begin(&trip{}, now)
	}
	time.AfterFunc(poll, r.pollPause)
}

// Resume implements [gate.Gate].
func (r *remote) Resume() {
	r.paused, r.agreed, r.rooms = longAgo, 0, nil
	r.trips.pause, r.trips.resume, r.trips.ended = 0, true, r.queue.Now()
	r.tell(true)
}

// Limit implements [gate.Remote]. What is reserved goes back: it was by other limits.
func (r *remote) Limit(limits []gate.Limit, units []string) error {
	if err := allows("SetLimits: limits", limits); err != nil {
		return err
	}
	r.units = slices.Clone(units)
	r.rules = newRules(limits, units, r.margin)
	for i := range r.taken.starts {
		s := &r.taken.starts[i]
		s.costs = append(s.costs, make([]int, len(units)-len(s.costs))...)
	}
	r.rooms, r.next = nil, longAgo
	r.giveBack(0)
	return nil
}

// Left implements [gate.Remote].
func (r *remote) Left() {
	waiting := r.queue.Waiting()
	if waiting == 0 {
		r.lent.giveBack()
	}
	if waiting < len(r.reserved) {
		r.soon()
	}
}

// Stats implements [gate.Remote].
func (r *remote) Stats() gate.Stats {
	stats := r.counts
	stats.Reserved = len(r.reserved)
	stats.RoundTrip = r.trips.took
	stats.Err = r.health.cause
	return stats
}

// dropLate gives up starts that were missed.
func (r *remote) dropLate(now time.Duration) {
	for len(r.reserved) > 0 && r.reserved[0].due < now-tooLate {
		late := r.reserved[0]
		r.reserved = slices.Delete(r.reserved, 0, 1)
		r.change(late.back())
	}
}

// giveBack gives back what is reserved, but for the first n.
func (r *remote) giveBack(n int) {
	if n >= len(r.reserved) {
		return
	}
	for _, s := range r.reserved[n:] {
		r.change(s.back())
	}
	r.reserved = slices.Delete(r.reserved, n, len(r.reserved))
	r.next = longAgo // others ask now; so do we
}
