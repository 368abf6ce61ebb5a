package redispacer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
)

// An oracle is what the script decides, told in the plainest way there is: all starts in a
// list, looked through from end to end. Times are microseconds of the server's clock.
type oracle struct {
	rules   *rules
	now     int64
	resumes int64
	starts  []oracleStart // in order of time
	grids   []int64       // the next slot of each even limit
	settled bool          // a bucket may know less than it could by now
}

type oracleStart struct {
	granted
	costs []int64 // by unit, starts first
	free  bool    // given back before its time
}

func (o *oracle) period(r rule) int64 { return microsUp(r.period) }

func (r rule) interval() int64 { return max(1, microsUp(r.period)/int64(r.amount)) }

// due returns when a start of these costs may happen.
func (o *oracle) due(costs []int64) int64 {
	at := max(o.now, o.resumes)
	var newest int64
	if n := len(o.starts); n > 0 {
		newest = o.starts[n-1].at
	}
	for i, r := range o.rules.each {
		switch r.kind {
		case even:
			at = max(at, newest, o.slot(i))
			fallthrough
		case window:
			at = max(at, o.opens(r))
		case cost:
			at = max(at, o.costOpens(r, costs[r.unit]))
		case bucket:
			at = max(at, newest, o.bucketOpens(r, costs[r.unit]))
		}
	}
	return at
}

func (o *oracle) opens(r rule) int64 {
	if i := len(o.starts) - r.amount; i >= 0 {
		return o.starts[i].at + o.period(r)
	}
	return 0
}

func (o *oracle) slot(i int) int64 {
	r := o.rules.each[i]
	slot := max(o.grids[i], o.opens(r))
	if o.now >= slot+r.interval() {
		return o.now
	}
	return slot
}

func (o *oracle) costOpens(r rule, wanted int64) int64 {
	if wanted == 0 {
		return 0
	}
	times := []int64{o.now}
	for _, s := range o.starts {
		times = append(times, s.at+o.period(r))
	}
	slices.Sort(times)
	for _, t := range times {
		sum := wanted
		for _, s := range o.starts {
			if s.at > t-o.period(r) {
				sum += s.costs[r.unit]
			}
		}
		if t >= o.now && sum <= int64(r.amount) {
			return t
		}
	}
	panic("no room ever")
}

// bucketOpens replays what was drawn, in exact fractions: a unit is a period.
func (o *oracle) bucketOpens(r rule, wanted int64) int64 {
	if wanted == 0 {
		return 0
	}
	var drawn, at int64
	for _, s := range o.starts {
		drawn = max(0, drawn-(s.at-at)*int64(r.rate)) + s.costs[r.unit]*o.period(r)
		at = s.at
	}
	over := drawn + wanted*o.period(r) - int64(r.amount)*o.period(r)
	return at + max(0, (over+int64(r.rate)-1)/int64(r.rate))
}

func (o *oracle) put(g granted, costs []int64) {
	for i, r := range o.rules.each {
		if r.kind == even {
			slot := max(o.grids[i], o.opens(r))
			if g.at >= slot+r.interval() {
				slot = g.at
			}
			o.grids[i] = slot + r.interval()
		}
	}
	i, _ := slices.BinarySearchFunc(o.starts, g.at, func(s oracleStart, at int64) int {
		if s.at <= at {
			return -1
		}
		return 1
	})
	o.starts = slices.Insert(o.starts, i, oracleStart{granted: g, costs: costs})
}

func (o *oracle) find(g granted) int {
	return slices.IndexFunc(o.starts, func(s oracleStart) bool { return s.granted == g })
}

func (o *oracle) remove(i int) {
	last := i == len(o.starts)-1
	o.starts = slices.Delete(o.starts, i, i+1)
	for i, r := range o.rules.each {
		if r.kind == even && last {
			behind := o.now
			if n := len(o.starts); n > 0 {
				behind = max(behind, o.starts[n-1].at+r.interval())
			}
			o.grids[i] = max(0, min(o.grids[i]-r.interval(), behind))
		}
	}
	o.settled = true
}

// expire removes what was given back and taken by nobody in time: the latest first, as the
// script does.
func (o *oracle) expire() {
	for i := len(o.starts) - 1; i >= 0; i-- {
		if s := o.starts[i]; s.free && s.at <= o.now {
			o.remove(i)
		}
	}
}

// broken returns which limit does not hold, in any window.
func (o *oracle) broken() error {
	for _, r := range o.rules.each {
		for i, first := range o.starts {
			var sum int64
			for j := i; j < len(o.starts); j++ {
				s := o.starts[j]
				sum += s.costs[r.unit]
				since := s.at - first.at
				most := int64(r.amount)
				if r.kind == bucket {
					if (sum-most)*o.period(r) > since*int64(r.rate)+o.period(r)/1000 {
						return fmt.Errorf("%+v: %d in %d µs", r, sum, since)
					}
				} else if since < o.period(r) && sum > most {
					return fmt.Errorf("%+v: %d in %d µs", r, sum, since)
				}
			}
		}
	}
	return nil
}

// TestTheScriptDecidesLikeItsOracle lets processes ask, give back, settle and pause at random,
// on a clock of the test's own.
func TestTheScriptDecidesLikeItsOracle(t *testing.T) {
	t.Parallel()
	rdb := startServer(t).client(t)
	withClock := scriptWithClock()
	for seed := range seeds(150, 3000) {
		random := rand.New(rand.NewPCG(seed, 3))
		if err := compare(t, rdb, withClock, random, fmt.Sprint("quota", seed), 1+int(seed%3)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func someLimits(random *rand.Rand) []pacer.Limit {
	all := []pacer.Limit{
		{Calls: 1 + random.IntN(8), Period: time.Second},
		{Calls: 3 + random.IntN(8), Period: 3 * time.Second},
		{Calls: 1 + random.IntN(6), Period: time.Second, Even: true},
		{Cost: 20 + random.IntN(50), Unit: "tokens", Period: 2 * time.Second},
		{Cost: 10, Unit: "points", Period: time.Second},
		{Calls: 1 + random.IntN(5), Period: time.Second, Bucket: 1 + random.IntN(8)},
		{Cost: 7, Unit: "tokens", Period: time.Second, Bucket: 20 + random.IntN(9)},
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+random.IntN(3)]
}

func compare(t *testing.T, rdb redis.UniversalClient, lua *redis.Script, random *rand.Rand, key string, processes int) error {
	limits := someLimits(random)
	var gates []gate.Limit
	costs := false
	for _, l := range limits {
		gates = append(gates, gate.Limit(l))
		costs = costs || l.Cost > 0
	}
	units := unitsOf(gates)
	o := &oracle{rules: newRules(gates, units, 0), now: 1_800_000_000_000_000, grids: make([]int64, len(limits))}
	var epoch, given int64
	for step := range 120 {
		o.now += random.Int64N(200_000)
		if random.IntN(30) == 0 {
			o.now += random.Int64N(5_000_000)
		}
		rdb.Set(t.Context(), "clock", o.now, 0)
		s := newScript(rdb, "", key, 1+random.Int64N(int64(processes)))
		s.lua = lua
		req := request{rules: o.rules, horizon: []time.Duration{10 * ms, 300 * ms}[random.IntN(2)], epoch: epoch, given: given}
		if random.IntN(40) == 0 {
			req.pause = time.Duration(random.Int64N(2_000_000)) * time.Microsecond
			o.resumes = max(o.resumes, o.now+microsUp(req.pause))
		} else if random.IntN(40) == 0 {
			req.resume, o.resumes = true, 0
		}
		// Then what has started is changed.
		o.expire()
		returned := 0
		for range random.IntN(3) {
			if len(o.starts) == 0 || epoch == 0 {
				break
			}
			i := max(0, len(o.starts)-1-random.IntN(6))
			one := o.starts[i]
			if one.free {
				continue
			}
			repeat := 1 + random.IntN(2)
			if unit := random.IntN(len(units)); unit > 0 {
				less := random.IntN(int(one.costs[unit]) + 1)
				req.changes = append(req.changes, slices.Repeat([]change{{settleTo, one.at, one.serial, unit, less}}, repeat)...)
				one.costs[unit] = int64(less)
				o.settled = true
				continue
			}
			req.changes = append(req.changes, slices.Repeat([]change{one.back()}, repeat)...)
			returned++
			frees := 0
			for _, s := range o.starts {
				if s.free {
					frees++
				}
			}
			if one.at > o.now && len(units) == 1 && one.at > o.resumes && frees < 8 {
				o.starts[i].free = true
			} else {
				o.remove(i)
			}
		}
		for range random.IntN(4) {
			var wanted []int
			for range units[1:] {
				wanted = append(wanted, random.IntN(8))
			}
			req.wanted = append(req.wanted, wanted)
		}
		got, err := s.run(t.Context(), req)
		if err != nil {
			return err
		}
		if got.now != o.now || got.returned != returned {
			return fmt.Errorf("step %d, %v: at %d, %d returned; want %d at %d", step, limits, got.now, got.returned, returned, o.now)
		}
		horizon := o.now + microsUp(req.horizon)
		for i, wanted := range req.wanted {
			all := []int64{1}
			for _, c := range wanted {
				all = append(all, int64(c))
			}
			due, free := o.due(all), -1
			for i, s := range o.starts {
				if s.free && s.at >= o.resumes {
					if s.at <= due {
						due, free = s.at, i
					}
					break
				}
			}
			late := int64(0)
			if slices.ContainsFunc(o.rules.each, func(r rule) bool { return r.kind == bucket }) {
				late = 20 // parts of a unit are rounded
				if o.settled {
					late = 1 << 60 // a bucket forgets when it was empty
				}
			}
			if i >= len(got.starts) {
				if due+late <= o.now || processes == 1 && due+late <= horizon {
					return fmt.Errorf("step %d, %v: no start for %v, want one at %d, now is %d", step, limits, wanted, due, o.now)
				}
				if got.ask <= 0 || got.ask > poll {
					return fmt.Errorf("step %d: to ask again in %v", step, got.ask)
				}
				break
			}
			g := got.starts[i]
			if g.at < due || g.at-due > late || g.at > horizon {
				return fmt.Errorf("step %d, %v: a start for %v at %d, want %d, now is %d", step, limits, wanted, g.at, due, o.now)
			}
			if free >= 0 {
				if o.find(g) >= 0 {
					return fmt.Errorf("step %d: %v once more", step, g)
				}
				o.starts[free].granted, o.starts[free].free = g, false
			} else {
				o.put(g, all)
			}
			epoch, given = got.epoch, got.now
		}
		if err := o.broken(); err != nil {
			return fmt.Errorf("step %d, %v: %w", step, limits, err)
		}
	}
	return nil
}
