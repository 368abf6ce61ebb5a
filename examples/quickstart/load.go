package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// A call is one call as its maker saw it. Times count from the beginning of the load.
type call struct {
	begin, end time.Duration
	status     int // 0 = no answer
	fallback   bool
}

func (c call) failed() bool { return c.status != http.StatusOK }

// A result is what a scenario came to: what the callers got, and what the server saw.
type result struct {
	scenario
	demo.Record
	began time.Time
	took  time.Duration
	calls []call
}

// broken says what the paced chain promised and did not keep.
func (r result) broken(cfg config) error {
	if r.contrast {
		return nil
	}
	if err := cfg.Check(r.Record); err != nil {
		return err
	}
	for i, c := range r.calls {
		if c.failed() {
			return fmt.Errorf("call %d ended with status %d", i+1, c.status)
		}
	}
	return nil
}

// ideal is the least time in which the requests that the server let in fit its quota, and are spaced as they should be.
func (r result) ideal(cfg config) time.Duration {
	if r.even {
		return time.Duration(max(r.Admitted-1, 0)) * cfg.Period / time.Duration(cfg.Quota)
	}
	return cfg.Ideal(r.Record)
}

// play makes the calls, each goroutine one after another, and reports every call that is done, one report at a time.
func play(cfg config, s scenario, api *demo.API, base http.RoundTripper, url string, report func(demo.Step)) result {
	client := s.client(base)
	defer client.CloseIdleConnections()

	r := result{scenario: s, began: time.Now(), calls: make([]call, cfg.Calls)}
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	for range cfg.Goroutines {
		wg.Go(func() {
			for n := int(next.Add(1)); n <= cfg.Calls; n = int(next.Add(1)) {
				r.calls[n-1] = makeCall(client, url, n, r.began)
				mu.Lock()
				done++
				report(demo.Step{Record: api.Record(), Done: done, Calls: cfg.Calls, Took: time.Since(r.began)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.took = time.Since(r.began)
	r.Record = api.Record()
	return r
}

func makeCall(client *http.Client, url string, n int, began time.Time) (c call) {
	c.begin = time.Since(began)
	resp, err := demo.Call(context.Background(), client, url, n)
	c.end = time.Since(began)
	if err == nil {
		c.status = resp.StatusCode
		c.fallback = resp.Header.Get(fallbackHeader) != ""
	}
	return c
}
