package redispacer

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// maxTrips bounds the round trips, and so the connections in use.
	maxTrips = 8

	// maxBatch is for how many callers one asks: more would hold up others in Redis.
	maxBatch = 256

	minTimeout  = 250 * time.Millisecond
	coldTimeout = 3 * time.Second // until a connection has answered: several round trips
	minHorizon  = 10 * time.Millisecond
	maxHorizon  = 2 * time.Second
)

// trips is what is on its way to Redis or has to go there. It is guarded by the queue's lock.
type trips struct {
	running    int
	reading    bool // the topology was read less than readEvery ago
	asked      int  // starts asked for and not answered yet
	looking    bool // depart is about to run
	generation int  // a failure begins a new one: nobody waits for earlier round trips
	answered   bool // the last round trip was, so that there is a connection
	measured   bool
	took       time.Duration // a round trip, as measured lately
	slow       time.Duration // how long to wait at least, since waiting for less was in vain lately

	changes      []change
	said         []said
	later        bool          // a timer runs after which it is due
	due          bool          // the above does not wait for a request any more that it can ride along with
	pause        time.Duration // the end of a pause that is to be shared; in the past if there is none
	told, resume bool
	ended        time.Duration // when a pause was last ended by this process
	carrying     bool          // a round trip takes the above along; one at a time, so that they arrive in order
	polling      bool          // a timer runs that asks whether a pause still is

	epoch   int64         // of the record last seen
	learned time.Duration // when it was first seen
	heard   int64         // when the newest answer was decided, on the server's clock
	given   int64         // when that last gave out a start, on the server's clock
	newest  time.Duration // the newest of these starts, on this process's clock
	lives   time.Duration // until then the record cannot have expired; zero if it gave out none
	resumed int64         // how often pauses were ended
}

// A trip is one call of the script.
type trip struct {
	request
	pauseEnd   time.Duration
	carrying   bool
	generation int
	warm       bool // a connection had answered before
	late       bool // nobody waits for it any more
}

// The methods below need the queue's lock, but for depart, travel and its ends.

// look has Redis asked if there may be a reason to.
func (r *remote) look(now time.Duration) {
	if r.next <= now && r.trips.running < maxTrips && !r.health.avoids(now) {
		r.soon()
	}
}

// soon has depart run once the queue's lock is free.
func (r *remote) soon() {
	if !r.trips.looking {
		r.trips.looking = true
		go r.depart()
	}
}

// later has depart run in a while.
func (r *remote) later(in time.Duration) {
	if r.trips.later {
		return
	}
	r.trips.later = true
	time.AfterFunc(in, func() {
		r.queue.Lock()
		defer r.queue.Unlock()
		r.trips.later = false
		if !r.toldAll(r.queue.Now()) {
			r.tell(true)
		}
	})
}

// depart asks for those who have no start reserved, gives back what is reserved for those who
// have left, and takes along what is to be told, if nothing else is on its way with that. Both
// go in one round trip, so that what is given back is there for those who ask.
func (r *remote) depart() {
	r.queue.Lock()
	defer r.queue.Unlock()
	now := r.queue.Now()
	wanted := r.wanted(now)
	r.trips.looking = false
	switch tells := r.tells(now); {
	case r.health.avoids(now):
		if tells && !r.health.probing && now-r.health.since < tellAgain {
			r.later(r.health.probeAt - now)
		}
	case r.trips.running < maxTrips && (tells || len(wanted) > 0):
		r.begin(&trip{request: request{wanted: wanted}}, now)
		return
	}
	if r.health.cause != nil {
		r.queue.Wake() // who waits for this one to be a probe
	}
}

// tellAgain is how long after a failure what is to be told is worth probes of its own: a failover
// is over by then.
const tellAgain = 10 * time.Second

// wanted returns what those cost for whom nothing is reserved and nothing is asked, if it is
// time to ask. For what is reserved beyond those who wait it is time to go back.
func (r *remote) wanted(now time.Duration) (wanted [][]int) {
	n, ahead, most := 0, len(r.reserved)+r.trips.asked, maxBatch
	switch {
	case r.next > now && !r.tells(now): // who goes anyway asks as well
		most = 0
	case r.health.cause != nil:
		most = 1
	}
	r.queue.Next(now, func(costs []int) bool {
		if n++; n > ahead && n <= ahead+most {
			wanted = append(wanted, slices.Clone(costs[1:]))
		}
		return n < ahead+most
	})
	r.giveBack(n)
	return wanted
}

// tells reports whether it is time to tell something, and nothing else is on its way with that.
func (r *remote) tells(now time.Duration) bool {
	return r.trips.due && !r.trips.carrying && !r.toldAll(now)
}

func (r *remote) toldAll(now time.Duration) bool {
	return len(r.trips.changes) == 0 && len(r.trips.said) == 0 && r.trips.pause <= now && !r.trips.resume
}

func (r *remote) begin(t *trip, now time.Duration) {
	t.sent, t.generation, t.warm = now, r.trips.generation, r.trips.answered
	t.rules, t.horizon = r.rules, min(max(minHorizon, 2*r.trips.took), maxHorizon)
	if now < r.trips.lives {
		t.epoch, t.given, t.newest = r.trips.epoch, r.trips.given, r.trips.newest-now
	}
	if !r.trips.carrying && !r.toldAll(now) {
		t.carrying, r.trips.carrying = true, true
		t.changes, r.trips.changes = r.trips.changes, nil
		t.said, r.trips.said = r.trips.said, nil
		t.pauseEnd, t.told, t.resume = r.trips.pause, r.trips.told, r.trips.resume
		t.pause = max(0, t.pauseEnd-now)
		r.trips.resume, r.trips.due = false, false
	}
	if r.health.cause != nil {
		r.health.probing = true
		r.readTopology()
	}
	r.trips.asked += len(t.wanted)
	r.trips.running++
	r.counts.RoundTrips++
	go r.travel(t, r.timeout())
}

// patience is timeout for who does not hold the queue's lock.
func (r *remote) patience() time.Duration {
	r.queue.Lock()
	defer r.queue.Unlock()
	return r.timeout()
}

// timeout is how long an answer may take.
func (r *remote) timeout() time.Duration {
	patience := r.fixed
	if patience == 0 {
		patience = max(minTimeout, 4*r.trips.took, r.trips.slow)
	}
	if !r.trips.answered || r.fixed == 0 && !r.trips.measured {
		patience = max(patience, coldTimeout)
	}
	return patience
}

// travel makes the call. When it takes too long the waiters are released, but the call
// itself is left to the client, which need not heed a context: what it reserves after all
// is given back.
func (r *remote) travel(t *trip, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	late := fmt.Errorf("redispacer: no answer within %v", patience)
	intime := context.AfterFunc(ctx, func() {
		r.doubt(patience)
		r.arrive(t, reply{}, late)
	})
	answer, err := r.script.run(ctx, t.request)
	switch {
	case intime():
		r.arrive(t, answer, err)
	case err == nil:
		r.salvage(t, answer)
	default:
		r.explain(late, err)
	}
}

// doubt has more patience from now on: round trips may have become longer for good.
func (r *remote) doubt(patience time.Duration) {
	r.queue.Lock()
	defer r.queue.Unlock()
	r.slowed(patience)
}

// slowed has the next answers waited for at least twice as long as one took.
func (r *remote) slowed(took time.Duration) {
	r.trips.slow = max(r.trips.slow, min(2*took, coldTimeout))
}

// arrive takes in the answer of a round trip, or that there is none.
func (r *remote) arrive(t *trip, answer reply, err error) {
	r.queue.Lock()
	defer r.queue.Unlock()
	now := r.queue.Now()
	r.trips.running--
	if t.carrying {
		r.trips.carrying = false
	}
	current := t.generation == r.trips.generation
	if current {
		r.trips.asked -= len(t.wanted)
	}
	if err != nil {
		r.fail(t, err, current, now)
	} else {
		r.succeed(t, now)
		r.heed(t, answer, now)
	}
	if r.tells(now) {
		r.soon()
	}
	r.queue.Wake()
}

// fail keeps for the next time what the round trip was to tell. Told twice it breaks no limit, though
// what was charged then counts twice.
func (r *remote) fail(t *trip, err error, current bool, now time.Duration) {
	r.counts.Failures++
	r.trips.answered = false
	if t.carrying {
		r.trips.changes = append(t.changes, r.trips.changes...)
		r.trips.said = append(t.said, r.trips.said...)
		if over := len(r.trips.changes) - maxTaken; over > 0 {
			r.trips.changes = r.trips.changes[over:]
			r.counts.Lost += uint64(over)
		}
		r.trips.resume = r.trips.resume || t.resume
		r.trips.due = true
	}
	if current {
		r.health.failed(err, now)
		r.readTopology()
		r.trips.generation++
		r.trips.asked = 0
		r.next = longAgo
	}
}

func (r *remote) succeed(t *trip, now time.Duration) {
	r.lent.giveBack()
	r.health.succeeded()
	r.trips.answered = true
	if t.warm {
		took := now - t.sent
		r.trips.slow -= r.trips.slow / 8
		r.slowed(took)
		if !r.trips.measured {
			r.trips.took, r.trips.measured = took, true
		} else { // a connection that was opened for it is no measure
			r.trips.took += (min(took, 2*r.trips.took+time.Millisecond) - r.trips.took) / 8
		}
	}
	if r.trips.pause == t.pauseEnd {
		r.trips.pause = 0
	}
}

// salvage gives back what was reserved by an answer that came too late.
func (r *remote) salvage(t *trip, answer reply) {
	r.queue.Lock()
	defer r.queue.Unlock()
	now := r.queue.Now()
	t.late = true
	r.slowed(now - t.sent)
	r.heed(t, answer, now)
}

// explain says why there was no answer in time. Clients repeat what failed, and so fail
// late.
func (r *remote) explain(late, err error) {
	r.queue.Lock()
	defer r.queue.Unlock()
	if r.health.cause == late {
		r.health.cause = fmt.Errorf("%w: %w", late, err)
	}
}

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

// warm makes one call of the script that asks for nothing.
func (r *remote) warm(ctx context.Context) error {
	r.queue.Lock()
	t := &trip{request: request{rules: r.rules, sent: r.queue.Now()}, generation: -1}
	r.queue.Unlock()
	answer, err := r.script.run(ctx, t.request)
	if err != nil {
		return err
	}
	r.queue.Lock()
	defer r.queue.Unlock()
	now := r.queue.Now()
	r.succeed(t, now)
	if answer.epoch != 0 {
		r.heed(t, answer, now)
	}
	r.queue.Wake()
	return nil
}
