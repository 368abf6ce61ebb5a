package pacer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// refuseTooLate passes over many who are in time, and finds those that looking at each does.
func TestEveryoneWhoIsTooLateIsFound(t *testing.T) {
	for _, limits := range [][]Limit{
		{{Calls: 3, Period: time.Second}},
		{{Calls: 3, Period: time.Second, Even: true}, {Calls: 5, Period: 3 * time.Second}},
		{{Calls: 3, Period: time.Second, Bucket: 7}, {Cost: 10, Unit: "tokens", Period: time.Second}},
		{{Cost: 10, Unit: "tokens", Period: time.Second, Bucket: 30}, {Cost: 10, Unit: "points", Period: 700 * time.Millisecond}},
	} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(1, 2))
				refused, looked := 0, 0
				for range 300 {
					p := Must(Config{Limits: limits})
					now := p.clock.Now()
					var all []*waiter
					for i := range time.Duration(1 + random.IntN(200)) {
						w := &waiter{arrived: i, deadline: forever, latest: forever, wake: make(chan struct{}, 1)}
						if len(p.units) > 1 {
							w.slot = &Slot{costs: []int{1}}
							for range len(p.units) - 1 {
								w.slot.costs = append(w.slot.costs, random.IntN(11))
							}
						}
						switch at := p.predict(w, now); random.IntN(4) {
						case 0:
							w.deadline = at + time.Duration(random.Int64N(int64(20*time.Second)))
						case 1:
							w.latest = at + time.Duration(random.Int64N(int64(20*time.Second)))
						}
						p.queue.join(w)
						all = append(all, w)
					}
					p.gate().Pause(now+time.Duration(random.Int64N(int64(10*time.Second))), false)
					var want []*waiter
					ahead := make([]int, len(p.units))
					for i, w := range all {
						ahead[0] = i - len(want)
						if w.misses(p.predictBehind(ahead, w, now)) != nil {
							want = append(want, w)
							continue
						}
						w.slot.addTo(ahead)
					}
					p.refuseTooLate(now)
					for _, w := range all {
						if (w.refused != nil) != slices.Contains(want, w) {
							t.Fatalf("%d refused: %t", w.arrived, w.refused != nil)
						}
					}
					refused += len(want)
					looked += len(all)
				}
				if refused < looked/100 || refused > looked/3 {
					t.Errorf("%d of %d are too late: that proves little", refused, looked)
				}
			})
		})
	}
}
