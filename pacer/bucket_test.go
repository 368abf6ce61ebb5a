package pacer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestBucketTimeline(t *testing.T) {
	for _, test := range []struct {
		limit Limit
		want  []time.Duration // when so many start who come at once
	}{
		{Limit{Calls: 2, Period: time.Second, Bucket: 4}, []time.Duration{0, 0, 0, 0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond}},
		{Limit{Calls: 3, Period: time.Second, Bucket: 1}, []time.Duration{0, 333333334, 666666668, 1000000002}}, // each rounded up from where it began
		{Limit{Calls: 1, Period: time.Hour, Bucket: 2}, []time.Duration{0, 0, time.Hour, 2 * time.Hour}},
	} {
		t.Run(test.limit.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := Must(Config{Limits: []Limit{test.limit}, Margin: time.Minute}) // which does not stretch a bucket
				began := time.Now()
				for i, want := range test.want {
					if err := p.Wait(t.Context()); err != nil {
						t.Fatal(err)
					}
					if got := time.Since(began); got != want {
						t.Errorf("start %d at %v, want %v", i, got, want)
					}
				}
			})
		})
	}
}

// Whatever is drawn and settled, in limits from the smallest to the largest: no window of
// length t holds more than size + t·rate/period, by the arithmetic of package big, and
// nobody waits a nanosecond longer than that asks for.
func TestNoWindowHoldsMoreThanABucketAllows(t *testing.T) {
	type drawn struct {
		at   time.Duration
		cost int
	}
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 3))
		size, rate, period := extreme(random), extreme(random), time.Duration(extreme(random))
		b := newBucket(size, rate, period)
		// fits reports whether all windows that end with a draw at a time hold to the limit.
		fits := func(draws []drawn, at time.Duration, cost int) bool {
			held := big.NewInt(int64(cost))
			for _, d := range slices.Backward(draws) {
				held.Add(held, big.NewInt(int64(d.cost)))
				// (held - size) · period <= (at - d.at) · rate
				over := new(big.Int).Sub(held, big.NewInt(int64(size)))
				over.Mul(over, big.NewInt(int64(period)))
				flowed := new(big.Int).Mul(big.NewInt(int64(at-d.at)), big.NewInt(int64(rate)))
				if over.Cmp(flowed) > 0 {
					return false
				}
			}
			return true
		}
		var draws []drawn
		now := time.Duration(0)
		for range 30 {
			cost := 1 + random.IntN(size)>>random.IntN(4)
			due := b.due(cost)
			if due == forever {
				break
			}
			if due > now {
				if fits(draws, due-1, cost) {
					t.Fatalf("seed %d: %d of %d, %d per %v: waits until %v for no reason", seed, cost, size, rate, period, due)
				}
				now = due
			}
			if !fits(draws, now, cost) {
				t.Fatalf("seed %d: %d of %d, %d per %v: too early at %v", seed, cost, size, rate, period, now)
			}
			b.charge(now, cost)
			draws = append(draws, drawn{now, cost})
			if i := random.IntN(len(draws)); random.IntN(3) == 0 && draws[i].cost > 1 && (i == len(draws)-1 || draws[i+1].at != draws[i].at) && (i == 0 || draws[i-1].at != draws[i].at) {
				less := 1 + random.IntN(draws[i].cost-1)
				if add(draws[i].at, b.memory()) > now {
					b.settle(now, draws[i].at, less)
					draws[i].cost -= less
				}
			}
			if random.IntN(3) == 0 {
				now = add(now, time.Duration(extreme(random)))
			}
			if now == forever {
				break
			}
		}
	}
}

// extreme returns a number of any size that an int has room for, each size as often.
func extreme(random *rand.Rand) int {
	return 1 + int(random.Uint64()&math.MaxInt)>>random.IntN(strconv.IntSize-1)&(math.MaxInt-1)
}

func TestExtremeBucketsAndCosts(t *testing.T) {
	for _, l := range []Limit{
		{Calls: math.MaxInt, Period: forever, Bucket: math.MaxInt},
		{Calls: math.MaxInt, Period: 1, Bucket: 1},
		{Calls: 1, Period: forever, Bucket: math.MaxInt},
		{Calls: 1, Period: 1, Bucket: math.MaxInt},
		{Cost: math.MaxInt, Unit: "tokens", Period: forever, Bucket: math.MaxInt},
		{Cost: math.MaxInt, Unit: "tokens", Period: forever},
		{Cost: math.MaxInt, Unit: "tokens", Period: 1},
	} {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := Must(Config{Limits: []Limit{l}, Margin: forever})
				ctx := WithCost(t.Context(), "tokens", math.MaxInt)
				s, err := p.TryAcquire(ctx)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				for range 5 {
					s.Settle(l.Unit, 0)
					if l.Unit != "" {
						s.Settle(l.Unit, math.MaxInt)
					}
				}
				if got := p.Stats().Limits[0]; got.Used < 0 || got.Left < 0 {
					t.Errorf("%+v", got)
				}
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				_, err = p.Acquire(ctx)
				if refusal, ok := errors.AsType[*Error](err); ok && refusal.Wait() <= 0 {
					t.Errorf("a predicted wait of %v", refusal.Wait())
				}
				s.Cancel()
			})
		})
	}
}
