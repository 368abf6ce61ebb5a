package sdks_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A contest is a program that makes calls of an SDK, alone and with us.
type contest struct {
	sdk            string
	calls, workers int
	limits         string // that the vendor documents, as pacer.ParseLimits reads them
	api            func(limits []pacer.Limit) *vendor.API
	alone          func(base http.RoundTripper) program
	paced          func(base http.RoundTripper, limits []pacer.Limit) program
}

// A program makes the call of that number.
type program func(ctx context.Context, call int) error

var contests = []contest{
	githubContest,
	openaiContest,
	anthropicContest,
	s3Contest,
	dynamoContest,
}

// A result is what a contest came to.
type result struct {
	vendor.Tally
	finished  int
	took      time.Duration
	allocated uint64 // bytes, by the SDK, the server and us
	err       error  // of one that did not finish
}

func TestWithUsEverySDKFinishesWhatItFinishesAloneAndKeepsTheLimits(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "SDK\ttrouble\tcalls\tfinished\trequests\trefused\ttime\tKiB/call\t with us: finished\trequests\trefused\ttime\tKiB/call\t")
	for _, c := range contests {
		limits := parse(t, c.limits)
		for _, trouble := range vendor.Troubles {
			t.Run(c.sdk+"/"+trouble.Name, func(t *testing.T) {
				alone := c.run(t, limits, trouble, c.alone)
				paced := c.run(t, limits, trouble, func(base http.RoundTripper) program { return c.paced(base, limits) })
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t\n", c.sdk, trouble.Name, c.calls, alone.row(c), paced.row(c))
				if paced.finished < alone.finished {
					t.Errorf("%d of %d calls finished, alone %d; one ended with %v", paced.finished, c.calls, alone.finished, paced.err)
				}
				if trouble.Outage == 0 && paced.finished < c.calls {
					t.Errorf("%d of %d calls finished; one ended with %v", paced.finished, c.calls, paced.err)
				}
				if paced.Refused > 0 {
					t.Errorf("%d of %d requests exceeded a limit", paced.Refused, paced.Requests)
				}
			})
		}
	}
	w.Flush()
	t.Log("\n" + table.String())
}

func (r result) row(c contest) string {
	return fmt.Sprintf("%d\t%d\t%d\t%v\t%d", r.finished, r.Requests, r.Refused, r.took.Round(100*time.Millisecond), r.allocated/1024/uint64(c.calls))
}

// run makes the calls, each worker one after another.
func (c contest) run(t *testing.T, limits []pacer.Limit, trouble vendor.Trouble, wire func(http.RoundTripper) program) (r result) {
	synctest.Test(t, func(t *testing.T) {
		api := c.api(limits)
		api.Trouble = trouble
		base, stop := vendor.Serve(api)
		defer stop()
		call := wire(base)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
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
		runtime.ReadMemStats(&after)
		r.allocated = after.TotalAlloc - before.TotalAlloc
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
