package pacer

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var treeSeeds = flag.Int("treeseeds", 300, "how many random histories TestRandomTrees judges")

// TestRandomTrees lets callers of all kinds come to trees of three levels with random limits,
// flights and weights, while pauses, reports and changes of limits happen at any level, and
// judges what became of them by what the documentation says.
func TestRandomTrees(t *testing.T) {
	reached := map[string]int{}
	for seed := range uint64(*treeSeeds) {
		synctest.Test(t, func(t *testing.T) {
			g := &grove{T: t, rnd: rand.New(rand.NewPCG(seed, 1)), began: time.Now(), reached: reached}
			g.costs = seed%2 == 0
			g.grow()
			for range 60 {
				g.act()
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
	for _, what := range []string{"started at once", "started after a wait", "refused and judged", "not now and judged", "limits raised", "limits lowered"} {
		if reached[what] < *treeSeeds {
			t.Errorf("only %d times %s: the trees are too tame", reached[what], what)
		}
	}
	t.Log(reached)
}

// A grove is a tree of three levels under random operations, and what became of them.
type grove struct {
	*testing.T
	rnd      *rand.Rand
	began    time.Time
	pacers   []*Pacer
	limits   [][]treeLimits // of each, in order of time
	flying   []int          // by pacer
	most     []int
	record   []*treeStart
	refusals []func()        // that judge them
	lines    [][]*treeCaller // who waits, by pacer
	joined   []int           // callers by pacer
	costs    bool            // some limit counts costs: then who stands for a pacer may wait though another's cheaper call had room
	reached  map[string]int
}

// treeLimits are limits from a time on.
type treeLimits struct {
	from   time.Duration
	limits []Limit
}

// A treeCaller is one that waits, or would.
type treeCaller struct {
	pacer  int
	number int // among those who joined there
	heard  bool
	cost   int
}

type treeStart struct {
	treeCaller
	at     time.Duration
	waited bool
	slot   *Slot // nil for Wait
}

func (g *grove) now() time.Duration { return time.Since(g.began) }

// path returns the pacers that a start of one is of: that one first, the root last.
func (g *grove) path(i int) (path []int) {
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
		g.pacers = append(g.pacers, child(g.T, cfg))
		g.limits, g.most = append(g.limits, []treeLimits{{0, cfg.Limits}}), append(g.most, cfg.MaxInFlight)
		g.flying, g.joined, g.lines = append(g.flying, 0), append(g.joined, 0), append(g.lines, nil)
	}
}

func (g *grove) act() {
	i := g.rnd.IntN(len(g.pacers))
	switch p := g.pacers[i]; g.rnd.IntN(12) {
	case 0:
		time.Sleep(time.Duration(g.rnd.IntN(3000)) * time.Millisecond)
	case 1:
		if g.rnd.IntN(2) == 0 {
			p.PauseUntil(time.Now().Add(time.Duration(g.rnd.IntN(5000)) * time.Millisecond))
		}
	case 2:
		p.Resume()
	case 3:
		g.change(i)
	default:
		g.call(i)
	}
}

// change changes how much limits allow, and not over which Period: so they remember enough.
func (g *grove) change(i int) {
	limits := slices.Clone(g.limits[i][len(g.limits[i])-1].limits)
	if len(limits) == 0 {
		return
	}
	l, what := &limits[g.rnd.IntN(len(limits))], "limits raised"
	if raise := g.rnd.IntN(2) == 0; raise && l.Cost > 0 {
		l.Cost += 1 + g.rnd.IntN(10)
	} else if raise {
		l.Calls += 1 + g.rnd.IntN(3)
	} else {
		l.Calls, l.Cost, what = (l.Calls+1)/2, (l.Cost+1)/2, "limits lowered"
	}
	recording.Lock()
	g.limits[i] = append(g.limits[i], treeLimits{g.now(), limits})
	g.reached[what]++
	recording.Unlock()
	if err := g.pacers[i].SetLimits(limits...); err != nil {
		g.Error(err)
	}
}

// call lets a caller of a pacer come, and some time after its start be done.
func (g *grove) call(i int) {
	ctx, cancel := context.WithCancel(WithCost(context.Background(), "tokens", g.rnd.IntN(10)))
	life := time.Duration(g.rnd.IntN(3000)) * time.Millisecond
	if g.rnd.IntN(6) == 0 {
		time.AfterFunc(life, cancel)
	}
	if g.rnd.IntN(4) == 0 {
		ctx, cancel = context.WithTimeout(ctx, 5*life+1)
	}
	cost, _ := CostFromContext(ctx, "tokens")
	c := &treeCaller{pacer: i, number: g.joined[i], cost: cost}
	g.joined[i]++
	kind, ends := g.rnd.IntN(4), g.rnd.IntN(6)
	go func() {
		defer cancel()
		s := &treeStart{}
		var err error
		began := g.now()
		g.join(c)
		switch kind {
		case 0:
			err = g.pacers[i].Wait(ctx)
		case 1:
			c.heard = true
			s.slot, err = g.pacers[i].TryAcquire(ctx)
		default:
			c.heard = true
			s.slot, err = g.pacers[i].Acquire(ctx)
		}
		if !g.leave(c, s, err, began) {
			return
		}
		time.Sleep(life)
		recording.Lock()
		for _, q := range g.path(i) {
			g.flying[q]--
		}
		recording.Unlock()
		switch ends {
		case 0:
			s.slot.Report(Outcome{Throttled: true, Delay: life})
		case 1:
			s.slot.Cancel()
		default:
			s.slot.Report(Outcome{})
		}
		s.slot.Done()
	}()
	synctest.Wait()
}

func (g *grove) join(c *treeCaller) {
	recording.Lock()
	defer recording.Unlock()
	g.lines[c.pacer] = append(g.lines[c.pacer], c)
}

// leave notes how c ended, and reports whether it started.
func (g *grove) leave(c *treeCaller, s *treeStart, err error, came time.Duration) bool {
	recording.Lock()
	defer recording.Unlock()
	ahead := g.lines[c.pacer][:slices.Index(g.lines[c.pacer], c)]
	bounded := slices.ContainsFunc(g.path(c.pacer), func(q int) bool { return g.most[q] > 0 })
	if !c.heard && bounded != errors.Is(err, errHolds) {
		if _, refused := errors.AsType[*Error](err); bounded || !refused && err != nil {
			g.Errorf("Wait: %v, where flights are bounded: %t", err, bounded)
		}
	}
	if refusal, ok := errors.AsType[*Error](err); ok {
		g.refused(c, refusal, ahead)
	}
	g.lines[c.pacer] = slices.DeleteFunc(slices.Clone(g.lines[c.pacer]), func(o *treeCaller) bool { return o == c })
	if err != nil {
		return false
	}
	s.treeCaller, s.at, s.waited = *c, g.now(), g.now() > came
	if g.reached["started at once"]++; s.waited {
		g.reached["started at once"]--
		g.reached["started after a wait"]++
	}
	g.record = append(g.record, s)
	for _, q := range g.path(c.pacer) {
		g.flying[q]++
		if most := g.most[q]; most > 0 && g.flying[q] > most {
			g.Errorf("pacer %d: %d in flight, the most is %d", q, g.flying[q], most)
		}
	}
	return true
}
