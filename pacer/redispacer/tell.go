package redispacer

import "time"

// What Redis is to be told: it rides along with a request for a start, or has a round trip of its
// own. The methods need the queue's lock.

// change has a change told to Redis: at once if somebody may start by it, else with the next
// request for a start, or in a while.
func (r *remote) change(c change) {
	r.trips.changes = append(r.trips.changes, c)
	r.tell(c.kind == giveBack || c.kind == probed)
}

// tell has what is to be told carried to Redis, at once or in a while.
func (r *remote) tell(atOnce bool) {
	if atOnce {
		r.trips.due = true
		r.soon()
	} else {
		r.later(ride)
	}
}

// ride is how long what is to be told waits for a request that it can ride along with.
const ride = 100 * time.Millisecond

// later has what is to be told then carried to Redis in a while.
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

// tells reports whether it is time to tell something, and nothing else is on its way with that.
func (r *remote) tells(now time.Duration) bool {
	return r.trips.due && !r.trips.carrying && !r.toldAll(now)
}

// toldAll reports whether there is nothing to tell.
func (r *remote) toldAll(now time.Duration) bool {
	return len(r.trips.changes) == 0 && len(r.trips.said) == 0 && r.trips.pause <= now && !r.trips.resume
}

// tellAgain is how long after a failure what is to be told is worth probes of its own: a failover
// is over by then.
const tellAgain = 10 * time.Second
