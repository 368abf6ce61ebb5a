package pacedhttp_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

var seeds = flag.Int("seeds", worlds, "how many random worlds each program of TestNoCallOfAChainEverExceedsALimit lives in")

// An apiUser is a program that calls an API that says what it limits.
type apiUser struct {
	limits  string // as the API says them
	flights int
	keys    int  // API keys, each with limits of its own; 0 = 1
	streams bool // answers come in many events, what was used in the last
	loop    bool // an event loop instead of a goroutine for each caller

	// Where nothing fails every call is estimated to cost so many tokens and costs so many,
	// and so many are read before the length of time is over.
	estimate, used int
	length         time.Duration
	reads          int
}

var programs = map[string]apiUser{
	"tokens and requests a minute": {limits: "40/min, 4000 tokens/min", estimate: 100, used: 100, length: 10 * time.Minute, reads: 400},
	"estimated too high":           {limits: "4000 tokens/min", estimate: 400, used: 100, length: 10 * time.Minute, reads: 362}, // of 370: 36 that are settled and one that is not fill the window
	"streamed answers":             {limits: "90/min, 4000 tokens/min", streams: true, estimate: 100, used: 100, length: 10 * time.Minute, reads: 400},
	"requests in flight":           {flights: 100, length: 20 * time.Second, reads: 100 * 10},
	"a bucket":                     {limits: "2/s bucket 40", length: 2 * time.Minute, reads: 40 + 2*120 - 1},
	"a bucket of tokens":           {limits: "200 tokens/s bucket 4000", estimate: 100, used: 100, length: 2 * time.Minute, reads: 40 + 2*120 - 1},
	"an event loop":                {limits: "60/min, 6000 tokens/min", flights: 5, loop: true, estimate: 100, used: 100, length: 10 * time.Minute, reads: 600},
	"the first free of three keys": {limits: "20/min, 2000 tokens/min", keys: 3, estimate: 100, used: 100, length: 10 * time.Minute, reads: 600},
	"all at once": {limits: "2/s bucket 10, 70/min, 6000 tokens/min, 500 tokens/s bucket 2000", flights: 10, streams: true,
		estimate: 100, used: 100, length: 10 * time.Minute, reads: 600},
}

// A server that forgives nothing counts each limit itself when it reads a request, which was
// under way for anything up to Config.Margin. Calls fail in all ways there are.
//
// Where no request costs more than was estimated, no limit is exceeded by what they cost in
// truth. Where some do, nobody can know that in time, and what holds is this: each counts as
// what its caller had settled it to when the newest of those read was sent, or as its estimate.
//
// Requests are in flight that were read, not answered to the end and not given up.
func TestNoCallOfAChainEverExceedsALimit(t *testing.T) {
	if *seeds == 0 {
		t.Skip("the race detector crashes on it: see worlds_race_test.go")
	}
	met, lived := map[string]int{}, 0
	for name, p := range programs {
		t.Run(name, func(t *testing.T) {
			reads := 0
			for seed := range uint64(*seeds) {
				w := newWorld(p, seed, flaws{})
				reads += w.run(t, min(p.length, 3*time.Minute))
				for what, n := range w.api.met {
					met[what] += n
				}
				if len(w.api.faults) > 0 {
					t.Fatalf("seed %d: %d times, first %s", seed, len(w.api.faults), w.api.faults[0])
				}
			}
			t.Log(reads, "requests")
			lived++
		})
	}
	t.Log(met)
	if n := met["a worker that waited"]; n > 0 {
		t.Errorf("%d workers of an event loop waited", n)
	}
	if lived < len(programs) {
		return // some were not asked for
	}
	for _, what := range []string{"unreached", "lost", "failed", "throttled", "torn", "answered", "given up on its way",
		"closed early", "canceled", "refused", "too late", "failed for good", "more used than was known"} {
		if met[what] == 0 {
			t.Errorf("nobody met with %q: the worlds are too tame", what)
		}
	}
}

// The server of TestNoCallOfAChainEverExceedsALimit notices what programs do wrong.
func TestAServerSeesWhatIsWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		program string
		flaws
	}{
		"no Margin":                         {"tokens and requests a minute", flaws{noMargin: true}},
		"the vendor's bucket whole":         {"a bucket", flaws{vendorsBucket: true}},
		"the vendor's bucket whole, tokens": {"a bucket of tokens", flaws{vendorsBucket: true}},
		"Pace above Retry":                  {"tokens and requests a minute", flaws{paceAboveRetry: true}},
		"a body that Pace does not see":     {"requests in flight", flaws{bodyHidden: true}},
		"usage that nobody settles":         {"streamed answers", flaws{silent: true}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(100) {
				w := newWorld(programs[tt.program], seed, tt.flaws)
				w.run(t, 3*time.Minute)
				if len(w.api.faults) > 0 {
					t.Log("seed", seed, w.api.faults[0])
					return
				}
			}
			t.Error("no limit was exceeded")
		})
	}
}

// Where nothing fails and all is known, what the API allows is used to the last request.
func TestAllThatAnAPIAllowsIsUsed(t *testing.T) {
	for name, p := range programs {
		t.Run(name, func(t *testing.T) {
			w := newWorld(p, 0, flaws{none: true})
			if reads := w.run(t, p.length); reads != p.reads || len(w.api.faults) > 0 {
				t.Errorf("%d requests, want %d; limits were exceeded %d times", reads, p.reads, len(w.api.faults))
			}
		})
	}
}

// Requests that catch up with each other on their way are in a bucket at once, as many as flow
// back meanwhile. So the bucket must be smaller by that, and by no less.
func TestABucketLessWhatFlowsBackOnTheWayIsEnough(t *testing.T) {
	const way = time.Second
	vendors := pacer.Limit{Calls: 4, Period: time.Second, Bucket: 10}
	for less, want := range map[int]float64{0: 4, 3: 1, flowsBack(vendors, way): 0} {
		t.Run(fmt.Sprint(less, " less"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours := vendors
				ours.Bucket -= less
				p := pacer.Must(pacer.Config{Limits: []pacer.Limit{ours}})
				began := time.Now()
				var read []*inquiry
				most := -1.0
				for range 30 {
					if err := p.Wait(t.Context()); err != nil {
						t.Fatal(err)
					}
					at := time.Now()
					if at.Sub(began) < way {
						at = began.Add(way) // the first take long, the others no time
					}
					read = append(read, &inquiry{read: at})
					most = max(most, drawn(read, vendors, func(*inquiry) int { return 1 }))
				}
				if most != want {
					t.Errorf("%g too many, want %g", most, want)
				}
			})
		})
	}
}
