package sdks_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A contest is a program that makes calls of an SDK, alone and with us.
type contest struct {
	sdk, call      string
	calls, workers int
	limits         string        // that the vendor documents, as pacer.ParseLimits reads them
	inFlight       int           // at once, that the vendor documents
	maxPause       time.Duration // of the wiring, where it is not the default
	api            func(limits []pacer.Limit) *vendor.API
	alone          func(base http.RoundTripper) program
	paced          func(base http.RoundTripper, quota pacer.Config) program
}

// A program makes the call of that number.
type program func(ctx context.Context, call int) error

var contests = []contest{
	githubContest,
	openaiContest,
	anthropicContest,
	s3Contest,
	dynamoContest,
	stripeContest,
	slackContest,
	connectContest,
	kubernetesContest,
}

// A result is what a contest came to.
type result struct {
	vendor.Tally
	finished int
	took     time.Duration
	live     uint64 // bytes on the heap at the worst moment, of the SDK, the server and us
	err      error  // of one that did not finish
}

func TestWithUsEverySDKFinishesWhatItFinishesAloneAndKeepsTheLimits(t *testing.T) {
	var rows []row
	for _, c := range contests {
		limits := parse(t, c.limits)
		for _, trouble := range vendor.Troubles {
			t.Run(c.sdk+"/"+trouble.Name, func(t *testing.T) {
				alone := c.run(t, limits, trouble, c.alone)
				paced := c.run(t, limits, trouble, func(base http.RoundTripper) program { return c.paced(base, c.quota(limits)) })
				rows = append(rows, row{c, trouble, alone, paced})
				if paced.finished < alone.finished {
					t.Errorf("%d of %d calls finished, alone %d; one ended with %v", paced.finished, c.calls, alone.finished, paced.err)
				}
				if paced.finished < c.calls {
					t.Errorf("%d of %d calls finished; one ended with %v", paced.finished, c.calls, paced.err)
				}
				if paced.Refused > 0 {
					t.Errorf("%d of %d requests exceeded a limit", paced.Refused, paced.Requests)
				}
			})
		}
	}
	report(t, rows)
}

// quota is how a program configures its pacer.
func (c contest) quota(limits []pacer.Limit) pacer.Config {
	return pacer.Config{Limits: limits, MaxInFlight: c.inFlight, MaxPause: c.maxPause, Outage: &pacer.Outage{}}
}

// run makes the calls, each worker one after another.
func (c contest) run(t *testing.T, limits []pacer.Limit, trouble vendor.Trouble, wire func(http.RoundTripper) program) (r result) {
	synctest.Test(t, func(t *testing.T) {
		api := c.api(limits)
		api.InFlight = c.inFlight
		api.Trouble = trouble
		base, stop := vendor.Serve(api)
		defer stop()
		call := wire(base)
		most := mostAlive(t.Context())
		began := time.Now()
		next := make(chan int, c.calls)
		for i := range c.calls {
			next <- i
		}
		close(next)
		var mu sync.Mutex
		var workers sync.WaitGroup
		for range c.workers {
			workers.Go(func() {
				for i := range next {
					err := call(t.Context(), i)
					mu.Lock()
					if err == nil {
						r.finished++
					} else {
						r.err = err
					}
					mu.Unlock()
				}
			})
		}
		workers.Wait()
		r.took = time.Since(began)
		r.live = most()
		r.Tally = api.Tally()
	})
	return r
}

func parse(t testing.TB, s string) []pacer.Limit {
	limits, err := pacer.ParseLimits(s)
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

// must is for what cannot fail in a test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
