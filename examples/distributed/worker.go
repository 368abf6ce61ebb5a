package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// workerEnv makes this program one of the processes that call. It reads a job from its standard input, reports on its
// standard output, and ends when its input does: it never outlives the show.
const workerEnv = "PACEDHTTP_EXAMPLE_WORKER"

// A job is what one process is to do.
type job struct {
	Redis, Key string
	Quota      int
	Period     time.Duration

	URL                string
	First, Step, Calls int // the calls First, First+Step, First+2*Step … of Calls in all
	Goroutines         int
}

// A report is what a process says of its job. It holds no times: the clock of whoever reads it is the only one, so that no
// two have to agree.
type report struct {
	Event      string
	Call       int    `json:",omitempty"`
	Status     int    `json:",omitempty"` // 0 = no answer
	Error      string `json:",omitempty"` // why
	RoundTrips uint64 `json:",omitempty"` // to Redis
}

// The events of a report, in the order in which they happen.
const (
	ready = "ready" // and waiting for a line of input
	begin = "begin" // of a call
	end   = "end"   // of a call
	done  = "done"
)

// runWorker returns the exit code.
func runWorker() int {
	signal.Ignore(os.Interrupt) // a terminal sends it to all processes, and the parent knows best what to do
	if err := work(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(in io.Reader, out io.Writer) error {
	orders := json.NewDecoder(in)
	var j job
	if err := orders.Decode(&j); err != nil {
		return fmt.Errorf("no job: %w", err)
	}
	rdb := newRedisClient(j.Redis)
	defer rdb.Close()
	if err := rdb.Ping(context.Background()).Err(); err != nil { // dials, so that the first call finds all in place
		return fmt.Errorf("cannot use the Redis at %s: %w", j.Redis, err)
	}
	p, err := sharedQuota(rdb, j.Key, j.Quota, j.Period)
	if err != nil {
		return err
	}
	client := pacedClient(p)
	defer client.CloseIdleConnections()

	var mu sync.Mutex
	reports := json.NewEncoder(out)
	tell := func(r report) {
		mu.Lock()
		defer mu.Unlock()
		reports.Encode(r) // if nobody listens, the input has ended too
	}

	tell(report{Event: ready})
	var start bool
	if err := orders.Decode(&start); err != nil {
		return fmt.Errorf("not started: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		io.Copy(io.Discard, in)
		cancel()
	}()

	var taken atomic.Int64
	var wg sync.WaitGroup
	for range j.Goroutines {
		wg.Go(func() {
			for {
				n := j.First + j.Step*int(taken.Add(1)-1)
				if n > j.Calls {
					return
				}
				tell(report{Event: begin, Call: n})
				status, err := makeCall(ctx, client, j.URL, n)
				r := report{Event: end, Call: n, Status: status}
				if err != nil {
					r.Error = err.Error()
				}
				tell(r)
			}
		})
	}
	wg.Wait()
	tell(report{Event: done, RoundTrips: p.Stats().Shared.RoundTrips})
	return nil
}

func makeCall(ctx context.Context, client *http.Client, url string, n int) (status int, err error) {
	resp, err := demo.Call(ctx, client, url, n)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}
