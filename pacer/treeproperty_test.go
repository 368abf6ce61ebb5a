package pacer

import (
	"cmp"
	"context"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var treeSeeds = flag.Int("treeseeds", 300, "how many random histories TestRandomTrees judges")

// A grove is a tree of three levels under random operations, and what became of them.
type grove struct {
	t      *testing.T
	rnd    *rand.Rand
	began  time.Time
	pacers []*Pacer
	limits [][]Limit // of each, the loosest that it ever had
	flying []int     // by pacer
	most   []int
	record []treeStart
	joined []int // callers by pacer, in order
	costs  bool  // some limit counts costs: then who stands for a pacer may wait though another's cheaper call had room
}

type treeStart struct {
	at     time.Duration
	pacer  int
	number int // among those who joined there
	waited bool
	cost   int
	slot   *Slot
}

func (g *grove) above(i int) (path []int) {
	for p := g.pacers[i]; p != nil; p = p.parent {
		path = append(path, slices.Index(g.pacers, p))
	}
	return path
}

func (g *grove) grow() {
	parents := []int{-1, 0, 0, 1, 1, 2}
	for _, parent := range parents {
		cfg := Config{MaxPause: time.Hour}
		if parent < 0 || g.rnd.IntN(3) > 0 {
			calls := 1 + g.rnd.IntN(6)
			cfg.Limits = append(cfg.Limits, Limit{Calls: calls, Period: time.Duration(calls+g.rnd.IntN(4)) * time.Second, Even: g.rnd.IntN(3) == 0})
		}
		if g.costs && g.rnd.IntN(3) == 0 {
			cfg.Limits = append(cfg.Limits, Limit{Cost: 10 + g.rnd.IntN(20), Unit: "tokens", Period: time.Duration(1+g.rnd.IntN(9)) * time.Second})
		}
		if g.rnd.IntN(4) == 0 {
			cfg.MaxInFlight = 1 + g.rnd.IntN(4)
		}
		if parent >= 0 {
			cfg.Parent, cfg.Weight, cfg.PassUp = g.pacers[parent], g.rnd.IntN(10), g.rnd.IntN(3) == 0
		}
		g.pacers = append(g.pacers, child(g.t, cfg))
		g.limits, g.most = append(g.limits, cfg.Limits), append(g.most, cfg.MaxInFlight)
		g.flying, g.joined = append(g.flying, 0), append(g.joined, 0)
	}
}

// call lets a caller of a pacer come, and some time after its start be done.
func (g *grove) call(i int) {
	ctx, cancel := context.WithCancel(WithCost(context.Background(), "tokens", g.rnd.IntN(10)))
	life := time.Duration(g.rnd.IntN(3000)) * time.Millisecond
	if g.rnd.IntN(6) == 0 {
		time.AfterFunc(life, cancel)
	}
	if g.rnd.IntN(6) == 0 {
		ctx, cancel = context.WithTimeout(ctx, 5*life+1)
	}
	cost, _ := CostFromContext(ctx, "tokens")
	number := g.joined[i]
	g.joined[i]++
	ends := g.rnd.IntN(5)
	go func() {
		defer cancel()
		came := time.Now()
		s, err := g.pacers[i].Acquire(ctx)
		if err != nil {
			return
		}
		recording.Lock()
		g.record = append(g.record, treeStart{time.Since(g.began), i, number, time.Now().After(came), cost, s})
		for _, q := range g.above(i) {
			g.flying[q]++
			if most := g.most[q]; most > 0 && g.flying[q] > most {
				g.t.Errorf("pacer %d: %d in flight, the most is %d", q, g.flying[q], most)
			}
		}
		recording.Unlock()
		time.Sleep(life)
		recording.Lock()
		for _, q := range g.above(i) {
			g.flying[q]--
		}
		recording.Unlock()
		if ends == 0 {
			s.Report(Outcome{Throttled: true, Delay: life})
		} else {
			s.Report(Outcome{})
		}
		s.Done()
	}()
	synctest.Wait()
}

// working checks that nobody waits for nothing: whoever goes first of a pacer's own callers, and
// whom all levels let start, has.
func (g *grove) working() {
	root := g.pacers[0]
	root.mu.Lock()
	defer root.mu.Unlock()
	now := root.clock.Now()
	for i, p := range g.pacers {
		w := p.first(now)
		free := w != nil
		for q := p; free && q != nil; q = q.parent {
			free = q.dueFor(w.slotAt(q), true, now) <= now
		}
		if free && !g.costs {
			g.t.Errorf("at %v the head of pacer %d could start and waits", time.Since(g.began), i)
		}
	}
}

func (g *grove) judge() {
	for q := range g.pacers {
		var all []treeStart
		for _, s := range g.record {
			if slices.Contains(g.above(s.pacer), q) {
				all = append(all, s)
			}
		}
		if got := g.pacers[q].Stats().Granted; got != uint64(len(all)) {
			g.t.Errorf("pacer %d counts %d starts, want the %d of its own callers and those below", q, got, len(all))
		}
		for _, l := range g.limits[q] {
			for i, first := range all {
				used := 0
				for _, s := range all[i:] {
					if s.at-first.at >= l.Period {
						break
					}
					if used++; l.Cost > 0 {
						used += s.cost - 1
					}
				}
				if used > max(l.Calls, l.Cost) {
					g.t.Errorf("pacer %d, %v: %d in the window from %v", q, l, used, first.at)
				}
			}
		}
		last := -1
		slices.SortStableFunc(all, func(a, b treeStart) int {
			return cmp.Compare(a.slot.level(g.pacers[q]).number, b.slot.level(g.pacers[q]).number)
		})
		for _, s := range all {
			if s.pacer == q && s.waited {
				if s.number < last {
					g.t.Errorf("pacer %d: caller %d started after %d", q, s.number, last)
				}
				last = max(last, s.number)
			}
		}
	}
}

func TestRandomTrees(t *testing.T) {
	for seed := range uint64(*treeSeeds) {
		synctest.Test(t, func(t *testing.T) {
			g := &grove{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), began: time.Now()}
			g.costs = seed%2 == 0
			g.grow()
			for range 60 {
				i := g.rnd.IntN(len(g.pacers))
				switch p := g.pacers[i]; g.rnd.IntN(12) {
				case 0:
					time.Sleep(time.Duration(g.rnd.IntN(3000)) * time.Millisecond)
				case 1:
					p.PauseUntil(time.Now().Add(time.Duration(g.rnd.IntN(5000)) * time.Millisecond))
				case 2:
					p.Resume()
				case 3:
					if limits := slices.Clone(g.limits[i]); len(limits) > 0 {
						limits[0].Calls /= 2
						limits[0].Cost = (limits[0].Cost + 1) / 2
						if limits[0].Calls+limits[0].Cost > 0 {
							p.SetLimits(limits...) // stricter: the first limits are still held to
						}
					}
				default:
					g.call(i)
				}
				synctest.Wait()
				g.working()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			for i, p := range g.pacers {
				if s := p.Stats(); s.Waiting > 0 || s.InFlight > 0 {
					t.Errorf("pacer %d: %d wait and %d fly in the end", i, s.Waiting, s.InFlight)
				}
			}
			g.judge()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
