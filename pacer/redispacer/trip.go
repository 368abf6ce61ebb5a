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

// The methods below need the queue's lock, but for depart, patience, travel and its ends, and warm.

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

// fail keeps for the next time what the round trip was to tell. Told twice it breaks no limit,
// though what was charged then counts twice.
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
