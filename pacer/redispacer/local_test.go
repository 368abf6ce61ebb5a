package redispacer

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A visit is a call of Wait in a random history. Times are microseconds, as in the script.
type visit struct {
	after    time.Duration // the one before
	deadline time.Duration // 0 = far
	patience time.Duration // until it is canceled; 0 = for ever
}

// TestDecidesLikeTheLocalPacer lets callers come, leave and be refused at random: alone on
// its quota and without a network, this pacer lets the same callers start as the local one does,
// at the same moments. Deadlines only where it foresees as much: whom it refuses later may start
// after all, when another has left.
func TestDecidesLikeTheLocalPacer(t *testing.T) {
	configs := [][]pacer.Limit{
		burst(1, time.Second), burst(5, time.Second), drip(1, time.Second), drip(4, time.Second),
		append(burst(2, time.Second), burst(5, 4*time.Second)...),
		append(burst(3, time.Second), drip(5, time.Second)...),
	}
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		some := func(most time.Duration) time.Duration {
			return time.Duration(random.Int64N(most.Microseconds())+1) * time.Microsecond
		}
		limits := configs[random.IntN(len(configs))]
		var visits []visit
		for range 60 {
			v := visit{after: some(600 * ms)}
			switch random.IntN(4) {
			case 0:
				if len(limits) == 1 && (limits[0].Even || limits[0].Calls == 1) {
					v.deadline = some(5 * time.Second)
				}
			case 1:
				v.patience = some(3 * time.Second)
			case 2:
				v.after = 0
			}
			visits = append(visits, v)
		}
		var local, shared []string
		synctest.Test(t, func(t *testing.T) {
			p, err := pacer.New(pacer.Config{Limits: limits})
			if err != nil {
				t.Fatal(err)
			}
			local = outcomes(t, p, visits)
		})
		synctest.Test(t, func(t *testing.T) {
			shared = outcomes(t, mustNew(t, newFakeRedis(t), Config{Limits: limits}), visits)
		})
		if !slices.Equal(local, shared) {
			for i := range local {
				if local[i] != shared[i] {
					t.Fatalf("seed %d, %v: %d, %+v: %s, want %s", seed, limits, i, visits[i], shared[i], local[i])
				}
			}
		}
	}
}

// outcomes returns what became of each visit, and when.
func outcomes(t *testing.T, p pacedhttp.Waiter, visits []visit) []string {
	began := time.Now()
	got := make([]string, len(visits))
	var wg sync.WaitGroup
	for i, v := range visits {
		time.Sleep(v.after)
		ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(v.deadline, time.Hour))
		if v.patience > 0 {
			time.AfterFunc(v.patience, cancel)
		}
		wg.Go(func() {
			defer cancel()
			if err := p.Wait(ctx); err != nil {
				got[i] = "did not start"
				return
			}
			got[i] = fmt.Sprint("started at ", time.Since(began))
		})
		synctest.Wait()
	}
	wg.Wait()
	synctest.Wait()
	return got
}
