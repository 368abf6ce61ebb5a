package redispacer

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

//go:embed script.lua
var source string

var errReply = errors.New("redispacer: the script's reply is malformed")

// A script is source with what is the same in every call of one Pacer.
type script struct {
	rdb    redis.Scripter
	lua    *redis.Script
	keys   []string
	limits []any
}

// A request is what one round trip asks for. Durations count from now.
type request struct {
	pause   time.Duration   // share a pause of that length; 0 = none
	epoch   int64           // of the state known of; 0 = none
	given   int64           // when it last gave out a start, in microseconds of the server's clock
	newest  time.Duration   // the newest start known there, negative if it has passed
	returns []int64         // serials of starts to give back, newest first
	budgets []time.Duration // the wait each caller can bear; negative = any
}

// A reply is what Redis answered to a request.
type reply struct {
	epoch    int64   // of the state; 0 = there is none
	now      int64   // when it was decided, in microseconds of the server's clock
	resumes  int64   // the end of the pause, likewise; 0 = none
	returned int     // how many of the request's returns were given back
	grants   []grant // one for each budget
}

// A grant is a start reserved, or a refusal.
type grant struct {
	wait   int64 // in microseconds
	serial int64
}

func (g grant) refused() bool { return g.serial < 0 }

func newScript(rdb redis.UniversalClient, key string, limits []pacer.Limit) *script {
	s := &script{rdb: rdb, lua: redis.NewScript(source), keys: []string{"pacedhttp:{" + key + "}"}}
	s.limits = append(s.limits, len(limits))
	for _, l := range limits {
		interval := int64(0)
		if l.Even {
			interval = max(1, (l.Period / time.Duration(l.Calls)).Microseconds())
		}
		s.limits = append(s.limits, l.Calls, microsUp(l.Period), interval)
	}
	return s
}

// run calls the script by its digest, and sends it whole where Redis does not have it.
func (s *script) run(ctx context.Context, req request) (reply, error) {
	args := make([]any, 0, len(s.limits)+5+len(req.returns)+len(req.budgets))
	args = append(args, s.limits...)
	args = append(args, microsUp(min(req.pause, maxPeriod)), req.epoch, req.given, microsUp(req.newest))
	args = append(args, len(req.returns))
	for _, serial := range req.returns {
		args = append(args, serial)
	}
	for _, b := range req.budgets {
		if b < 0 {
			args = append(args, -1)
		} else {
			args = append(args, min(b, maxPeriod).Microseconds())
		}
	}
	got, err := s.lua.Run(ctx, s.rdb, s.keys, args...).Int64Slice()
	if err != nil {
		return reply{}, err
	}
	if len(got) != 4+2*len(req.budgets) {
		return reply{}, errReply
	}
	r := reply{epoch: got[0], now: got[1], resumes: got[2], returned: int(got[3])}
	for g := got[4:]; len(g) > 0; g = g[2:] {
		r.grants = append(r.grants, grant{g[0], g[1]})
	}
	return r, nil
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
