package redispacer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// TestFaultsOfRealProcessesAllAtOnce is TestWhateverProcessesDoAQuotaThatSomebodyWaitsForIsUsed
// with processes of the system, a redis-server and real time: a minute for each of -faultseeds.
func TestFaultsOfRealProcessesAllAtOnce(t *testing.T) {
	realTime(t)
	for seed := range max(1, uint64(*faultSeeds)) {
		limit := pacer.Limit{Calls: 10, Period: 500 * ms, Even: seed%2 == 1}
		t.Run(fmt.Sprintf("seed %d even %v", seed, limit.Even), func(t *testing.T) {
			d := disaster{t: t, fleet: newFleet(t), ledger: newLedger(limit, seed%3 == 2), random: rand.New(rand.NewPCG(seed, 5))}
			d.last(time.Minute)
		})
	}
}

// A disaster is real processes with faults, by seed.
type disaster struct {
	*fleet
	ledger
	t      *testing.T
	random *rand.Rand
	cut    []*atomic.Int64 // by process, until when it does not reach Redis
}

func (d *disaster) upTo(most time.Duration) time.Duration {
	return time.Duration(d.random.Int64N(int64(most)))
}

// last lets it all happen for so long and checks what came of it.
func (d *disaster) last(span time.Duration) {
	rdb := redis.NewClient(&redis.Options{Addr: d.addr})
	defer rdb.Close()
	d.join(callers{N: 2, Limits: []pacer.Limit{d.limit}}, 0)
	d.started(1)
	began := time.Now()
	act := time.NewTimer(0)
	for now := range time.Tick(20 * ms) {
		record, err := rdb.Get(context.Background(), "pacedhttp:v2:{quota}").Bytes()
		if err != nil && err != redis.Nil {
			d.t.Fatal(err)
		}
		d.look(entries(record))
		if now.Sub(began) > span {
			break
		}
		select {
		case <-act.C:
			d.harm(rdb)
			act.Reset(d.upTo(time.Second))
		default:
		}
	}
	d.check(d.t, began, time.Now(), bound)
	d.t.Logf("by %d processes", len(d.processes))
}

func (d *disaster) harm(rdb *redis.Client) {
	victim := d.random.IntN(len(d.processes))
	what := d.random.IntN(8)
	if victim == 0 { // it always waits, and reaches Redis
		what = 0
	}
	switch what {
	case 0, 1, 2:
		d.joinAny()
	case 3, 4:
		d.kill(victim)
	case 5:
		process := d.processes[victim]
		standStill(process)
		time.AfterFunc(d.upTo(3*time.Second), func() { goOn(process) })
	case 6:
		d.cut[victim].Store(time.Now().Add(d.upTo(3 * time.Second)).UnixNano())
	case 7:
		if d.loses && d.random.IntN(3) == 0 {
			if err := rdb.FlushAll(context.Background()).Err(); err != nil {
				d.t.Fatal(err)
			}
			d.lost()
		}
	}
}

func (d *disaster) joinAny() {
	c := callers{N: 1 + d.random.IntN(30), Limits: []pacer.Limit{d.limit}}
	switch d.random.IntN(6) {
	case 0:
		c.Limits = []pacer.Limit{{Calls: 1 + d.random.IntN(5), Period: []time.Duration{time.Second, 24 * time.Hour}[d.random.IntN(2)], Even: d.random.IntN(2) == 0}}
	case 1:
		c.Leave = 10*ms + d.upTo(300*ms)
	case 2:
		c.Within = 10*ms + d.upTo(500*ms)
	case 3:
		c.N = 300
	}
	d.join(c, d.upTo(farthest))
}

// join starts a process that is so far away, each way.
func (d *disaster) join(c callers, away time.Duration) {
	cut := new(atomic.Int64)
	d.cut = append(d.cut, cut)
	near := d.addr
	defer func() { d.addr = near }()
	if away > 0 {
		d.addr = proxied(d.t, near, func() time.Time {
			due, until := time.Now().Add(away), time.Unix(0, cut.Load())
			if until.After(due) {
				return until
			}
			return due
		})
	}
	d.fleet.join(c)
}
