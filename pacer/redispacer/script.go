package redispacer

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed script.lua
var source string

var errReply = errors.New("redispacer: the script's reply is malformed")

// A script is source with the keys of one quota.
type script struct {
	rdb  redis.Scripter
	lua  *redis.Script
	keys []string
	me   int64 // this process's number
}

// newScript names the quota's keys: the record and the line. The version of what they hold is
// part of the name, so that another version never reads them.
func newScript(rdb redis.Scripter, prefix, key string, me int64) *script {
	name := prefix + "v2:{" + key + "}"
	return &script{rdb: rdb, lua: redis.NewScript(source), keys: []string{name, name + ":line"}, me: me}
}

// A request is what one round trip asks for. Durations count from now.
type request struct {
	rules   *rules
	horizon time.Duration
	epoch   int64         // of the record known of; 0 = none
	given   int64         // when it last gave out a start, in microseconds of the server's clock
	newest  time.Duration // the newest start known there, negative if it has passed
	pause   time.Duration // share a pause of that length; 0 = none
	resume  bool          // before that, end what pause there is for all
	told    bool          // a report asked for the pause
	changes []change
	said    []said
	sent    time.Duration // on the pacer's clock
	wanted  [][]int       // what each start costs, by unit without starts
}

// A change is of what has started, or was to start.
type change struct {
	kind       int
	at, serial int64 // of the start
	unit, cost int
}

const (
	giveBack = 1 // it never was
	settleTo = 2 // it costs less, as if it had never cost more
	charge   = 3 // something costs more, as of now
	probed   = 4 // a probe has worked, or has failed (cost 0)
)

// A reply is what Redis answered to a request. Durations count from when that was decided.
type reply struct {
	epoch    int64 // of the record; 0 = there is none
	now      int64 // when it was decided, in microseconds of the server's clock
	resumes  int64 // the end of the pause, likewise; it may lie in the past for who probes; 0 = none
	told     bool  // a report asked for it
	resumed  int64 // how often a pause was ended so far
	returned int   // how many starts were given back
	ask      time.Duration
	rooms    []time.Duration // when each limit has room
	starts   []granted
}

// A granted start is on the record.
type granted struct{ at, serial int64 }

// back is the change that gives it back.
func (g granted) back() change { return change{kind: giveBack, at: g.at, serial: g.serial} }

// run calls the script by its digest, and sends it whole where Redis does not have it.
func (s *script) run(ctx context.Context, req request) (reply, error) {
	pause := microsUp(min(req.pause, maxPeriod))
	if req.resume {
		pause = -1 - pause
	}
	args := []any{s.me, len(req.wanted), microsUp(req.horizon), req.epoch, req.given, microsUp(req.newest), pause, truth(req.told)}
	args = append(args, req.rules.args...)
	args = append(args, len(req.changes))
	for _, c := range req.changes {
		args = append(args, c.kind, c.at, c.serial, c.unit, c.cost)
	}
	args = append(args, len(req.said))
	for _, q := range req.said {
		args = append(args, number(q.name), q.at, q.serial, q.unit, q.left, microsUp(min(max(0, q.until-req.sent), maxPeriod)))
	}
	for _, costs := range req.wanted {
		for _, cost := range costs {
			args = append(args, cost)
		}
	}
	got, err := s.lua.Run(ctx, s.rdb, s.keys, args...).Int64Slice()
	if err != nil {
		return reply{}, err
	}
	const fields = 7
	limits := len(req.rules.each)
	if len(got) < fields+limits || (len(got)-fields-limits)%2 != 0 || len(got) > fields+limits+2*len(req.wanted) {
		return reply{}, errReply
	}
	r := reply{epoch: got[0], now: got[1], resumes: got[2], told: got[3] != 0, resumed: got[4], returned: int(got[5]), ask: micros(got[6])}
	for _, us := range got[fields : fields+limits] {
		r.rooms = append(r.rooms, micros(us))
	}
	for g := got[fields+limits:]; len(g) > 0; g = g[2:] {
		r.starts = append(r.starts, granted{g[0], g[1]})
	}
	return r, nil
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// microsUp rounds up: limits may only become stricter, pauses only longer.
func microsUp(d time.Duration) int64 {
	us := d.Microseconds()
	if d > micros(us) {
		us++
	}
	return us
}

// micros saturates: predictions of a far future may not fit.
func micros(us int64) time.Duration {
	if us > forever.Microseconds() {
		return forever
	}
	return time.Duration(us) * time.Microsecond
}
