package pacer

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// A modelFair is start-time fair queueing as the paper has it, in fractions and without a heap.
type modelFair struct {
	now, furthest *big.Rat
	classes       []*modelClass
	turns         int
}

type modelClass struct {
	weight int64
	tag    *big.Rat
	turn   int
	ready  bool
}

func (m *modelFair) least() int {
	least := -1
	for i, c := range m.classes {
		if !c.ready {
			continue
		}
		if least < 0 {
			least = i
			continue
		}
		l := m.classes[least]
		if order := c.tag.Cmp(l.tag); order < 0 || order == 0 && c.turn < l.turn {
			least = i
		}
	}
	return least
}

func (m *modelFair) join(c *modelClass) {
	if c.tag.Cmp(m.now) < 0 {
		c.tag = m.now
	}
	m.turns++
	c.turn = m.turns
}

func (m *modelFair) served(c *modelClass, cost, limit int64) {
	m.join(c)
	began := c.tag
	c.tag = new(big.Rat).Add(c.tag, big.NewRat(cost, limit*c.weight))
	if c.tag.Cmp(m.furthest) > 0 {
		m.furthest = c.tag
	}
	if i := m.least(); i >= 0 {
		if least := m.classes[i].tag; least.Cmp(began) < 0 {
			began = least
		}
		if began.Cmp(m.now) > 0 {
			m.now = began
		}
	}
}

func (m *modelFair) rest() {
	if m.least() < 0 {
		m.now = m.furthest
	}
}

// The limit and the weights are powers of two, so that what is equal in truth is equal here too,
// also where a class begins that becomes ready.
func TestFairQueueDoesWhatTheModelDoes(t *testing.T) {
	const limit = 1 << 10
	served := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		var f fair
		m := &modelFair{now: new(big.Rat), furthest: new(big.Rat)}
		classes := make([]*class, 1+r.IntN(12))
		for i := range classes {
			weight := []int64{1, 2, 4, 8, 32, 64}[r.IntN(6)]
			classes[i] = &class{weight: uint64(weight)}
			m.classes = append(m.classes, &modelClass{weight: weight, tag: new(big.Rat)})
		}
		for step := range 300 {
			i := r.IntN(len(classes))
			switch c := m.classes[i]; r.IntN(8) {
			case 0, 1:
				f.ready(classes[i])
				if !c.ready {
					m.join(c)
					c.ready = true
				}
			case 2:
				f.unready(classes[i])
				c.ready = false
			default:
				if least := m.least(); least >= 0 && r.IntN(20) > 0 {
					i = least
				}
				cost := r.Int64N(limit + 1)
				f.served(classes[i], share(uint64(cost), limit))
				m.served(m.classes[i], cost, limit)
				served++
			}
			m.rest()
			got := -1
			if least := f.least(); least != nil {
				got = slices.Index(classes, least)
			}
			if want := m.least(); got != want {
				t.Fatalf("seed %d, step %d: it is class %d's turn, want %d", seed, step, got, want)
			}
			for _, c := range f.heap {
				if c.tag.less(f.now) {
					t.Fatalf("seed %d, step %d: %+v has a tag before %v", seed, step, c, f.now)
				}
			}
		}
	}
	if served < 10_000 {
		t.Errorf("only %d served", served)
	}
}

// All are ready all the time and cost the same.
func TestFairQueueGivesWeightsTheirShares(t *testing.T) {
	for _, limit := range []uint64{1, 7, 100, 1_000_003, math.MaxInt64} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			var f fair
			classes := []*class{{weight: 1}, {weight: 3}, {weight: 9}}
			for _, c := range classes {
				f.ready(c)
			}
			var got [3]int
			for n := 1; n <= 130_000; n++ {
				c := f.least()
				f.served(c, share(1, limit))
				got[slices.Index(classes, c)]++
				if n%13 == 0 && got != [3]int{n / 13, 3 * n / 13, 9 * n / 13} {
					t.Fatalf("after %d starts %v, want 1:3:9", n, got)
				}
				for i := range got {
					for j := range got[:i] { // a start of the lesser is 3 or 9 of the other
						ratio := int(classes[i].weight / classes[j].weight)
						if off := got[j]*ratio - got[i]; off < -1 || off > ratio {
							t.Fatalf("after %d starts %v: class %d is off by more than a start", n, got, j)
						}
					}
				}
			}
		})
	}
}

// Whatever starts cost, and whoever comes and goes besides, two classes that stay ready get what
// the theorem says: the difference of what they got, each by its weight, is bounded.
func TestFairQueueIsFairWithinTheLargestStarts(t *testing.T) {
	const limit, largest = 90_000, 5_000
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 4))
		var f fair
		classes := make([]*class, 6)
		for i := range classes {
			classes[i] = &class{weight: 1 + r.Uint64N(20)}
			f.ready(classes[i])
		}
		a, b := classes[0], classes[1]
		bound := float64(largest)/float64(a.weight) + float64(largest)/float64(b.weight)
		got := map[*class]uint64{}
		lowest, highest := 0.0, 0.0 // of the difference so far
		for range 5_000 {
			if c := classes[2+r.IntN(4)]; r.IntN(3) == 0 {
				if c.place > 0 {
					f.unready(c)
				} else {
					f.ready(c)
				}
			}
			c, cost := f.least(), 1+r.Uint64N(largest)
			f.served(c, share(cost, limit))
			got[c] += cost
			difference := float64(got[a])/float64(a.weight) - float64(got[b])/float64(b.weight)
			lowest, highest = min(lowest, difference), max(highest, difference)
			if highest-lowest > bound+1e-6 {
				t.Fatalf("seed %d: between two moments the classes' shares differ by %v, want at most %v", seed, highest-lowest, bound)
			}
		}
		if got[a] == 0 || got[b] == 0 {
			t.Fatalf("seed %d: one got nothing", seed)
		}
	}
}

// Ten thousand classes that have waited long do not make another wait for more than its share.
func TestFairQueueLetsNobodyWaitForWhatItDidNotWant(t *testing.T) {
	var f fair
	busy := make([]class, 10)
	for i := range busy {
		busy[i].weight = 1
		f.ready(&busy[i])
	}
	for range 10_000 {
		f.served(f.least(), share(1, 100))
	}
	late := class{weight: 1}
	f.ready(&late)
	for n := 0; f.least() != &late; n++ {
		if n == len(busy) {
			t.Fatalf("it waits for more than one start of each other")
		}
		f.served(f.least(), share(1, 100))
	}
	// And it has saved nothing up.
	f.served(&late, share(1, 100))
	if f.least() == &late {
		t.Error("it starts twice in a row")
	}
}

func TestFairQueueServesEqualsInTheOrderTheyBecameReady(t *testing.T) {
	var f fair
	classes := make([]class, 100)
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(classes))
	for _, i := range order {
		classes[i].weight = 5
		f.ready(&classes[i])
		f.ready(&classes[i]) // changes nothing
	}
	for round := range 3 {
		for _, i := range order {
			if f.least() != &classes[i] {
				t.Fatalf("round %d: not in order", round)
			}
			f.served(f.least(), share(1, 3))
		}
	}
}

// What was used while nobody waited is held against nobody.
func TestFairQueueForgetsOnceNobodyWaits(t *testing.T) {
	var f fair
	a, b := class{weight: 1}, class{weight: 1}
	f.ready(&b)
	f.ready(&a)
	f.served(&a, share(1, 1)) // ahead of b, who has had nothing
	f.unready(&a)
	f.unready(&b)
	f.unready(&b) // changes nothing
	f.ready(&a)
	f.ready(&b)
	if f.least() != &a {
		t.Error("the first to come is not the first")
	}
}

func TestFairQueueAtExtremes(t *testing.T) {
	var f fair
	light, heavy := class{weight: 1}, class{weight: maxWeight}
	f.now = u128{math.MaxUint64 - 1<<40, 0} // after centuries
	f.ready(&light)
	f.ready(&heavy)
	got := 0
	for range 3 * (maxWeight + 1) {
		c := f.least()
		f.served(c, share(math.MaxInt64, math.MaxInt64))
		if c == &light {
			got++
		}
	}
	if got != 3 {
		t.Errorf("the light one got %d of three million, want 3", got)
	}
	if got := share(0, math.MaxUint64); !got.isZero() {
		t.Errorf("share of nothing: %v", got)
	}
}

func TestAClassIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(class{}); size > 56 {
		t.Errorf("%d bytes, want at most 56", size)
	}
}

// BenchmarkFairQueue is the cost of a start among so many classes, all of which wait.
func BenchmarkFairQueue(b *testing.B) {
	for _, n := range []int{2, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var f fair
			classes := make([]class, n)
			for i := range classes {
				classes[i].weight = uint64(1 + i%9)
				f.ready(&classes[i])
			}
			b.ReportAllocs()
			for b.Loop() {
				f.served(f.least(), share(1, 100))
			}
		})
	}
}
