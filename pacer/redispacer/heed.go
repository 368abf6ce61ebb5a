package redispacer

import (
	"slices"
	"time"
)

// What answers mean. The methods need the queue's lock.

// heed takes in an answer. Starts count from its arrival, not from the sending: the script ran
// somewhere between the two, so that no start comes early.
func (r *remote) heed(t *trip, answer reply, now time.Duration) {
	if answer.epoch != r.trips.epoch {
		if t.sent < r.trips.learned {
			r.counts.Lost += uint64(len(answer.starts))
			return // overtaken by what it did not know
		}
		r.forget()
		r.trips.epoch, r.trips.learned, r.trips.newest, r.trips.lives = answer.epoch, now, now, 0
		r.trips.resumed = answer.resumed
		if r.paused > now {
			r.trips.pause = r.paused // it was lost with the rest
			r.tell(true)
		}
	}
	r.counts.Returned += uint64(answer.returned)
	if answer.now >= r.trips.heard { // else what it says of others has been said anew since
		r.trips.heard = answer.now
		r.heedPauses(t, answer, now)
		if t.rules == r.rules {
			r.heedPlace(t, answer, now)
		}
	}
	for i, g := range answer.starts {
		wait := micros(g.at - answer.now)
		due, soonest := add(now, wait), add(t.sent, wait) // the script did not run before that
		r.trips.given = max(r.trips.given, answer.now)
		r.trips.newest = max(r.trips.newest, due)
		r.trips.lives = max(r.trips.lives, add(soonest, 2*r.rules.span))
		if t.late || soonest < now-tooLate-r.trips.took || due < r.paused || t.rules != r.rules {
			r.change(g.back())
			continue
		}
		r.reserved = insert(r.reserved, reserved{g, due, t.wanted[i]})
	}
	r.Left()
}

// heedPlace takes in when to ask again, and when there is room.
func (r *remote) heedPlace(t *trip, answer reply, now time.Duration) {
	if len(t.wanted) > 0 || t.frees() {
		r.next = add(now, answer.ask)
	}
	r.rooms, r.roomsFor = r.rooms[:0], nil
	for _, room := range answer.rooms {
		r.rooms = append(r.rooms, add(t.sent, room))
	}
	if n := len(answer.starts); n < len(t.wanted) {
		r.roomsFor = t.wanted[n]
	}
}

// frees reports whether others, so that also callers of this process, may start by what it told.
func (t *trip) frees() bool {
	return t.resume || slices.ContainsFunc(t.changes, func(c change) bool { return c.kind != charge })
}

// heedPauses takes in what others did about pauses. A pause that this process began meanwhile is
// not what they ended.
func (r *remote) heedPauses(t *trip, answer reply, now time.Duration) {
	own := t.pause > 0 && answer.resumes == answer.now+microsUp(t.pause)
	if answer.resumed > r.trips.resumed && r.trips.pause <= now {
		r.trips.resumed = answer.resumed
		if !t.resume && !own && r.paused > now {
			r.paused, r.agreed = longAgo, 0
			r.queue.Resume(now)
		}
	}
	if answer.resumes <= r.agreed || t.sent < r.trips.ended {
		return
	}
	r.agreed = answer.resumes
	if until := add(now, micros(max(0, answer.resumes-answer.now))); !own && until > r.paused {
		r.paused = until
		r.pauseBegan(now)
		r.queue.Pause(now, until, answer.told)
	}
}

// forget drops all that is part of a record which is no more. To use it would break the
// limits, since the next record knows nothing of it.
func (r *remote) forget() {
	r.counts.Lost += uint64(len(r.reserved))
	r.reserved, r.trips.changes, r.rooms = nil, nil, nil
	r.taken.clear()
	r.trips.given, r.trips.heard, r.agreed = 0, 0, 0
	r.next = longAgo
}
