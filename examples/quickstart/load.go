package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// doer is an *http.Client, or something like it.
type doer interface {
	Do(*http.Request) (*http.Response, error)
	CloseIdleConnections()
}

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
	record
	began time.Time
	took  time.Duration
	calls []call
}

// broken says what the paced chain promised and did not keep.
func (r result) broken(cfg config) error {
	if r.contrast {
		return nil
	}
	if r.busiest > cfg.rate {
		return fmt.Errorf("the server counted %d requests in a window that allows %d", r.busiest, cfg.rate)
	}
	for i, c := range r.calls {
		if c.failed() {
			return fmt.Errorf("call %d ended with status %d", i+1, c.status)
		}
	}
	return nil
}

// ideal is the least time in which the requests that the server let in fit its quota.
func (r result) ideal(cfg config) time.Duration {
	last := max(r.admitted-1, 0)
	if r.even {
		return time.Duration(last) * cfg.period / time.Duration(cfg.rate)
	}
	return time.Duration(last/cfg.rate) * cfg.period
}

// A step is how far a scenario has come.
type step struct {
	record
	done, calls int
	took        time.Duration
}

// play makes the calls, each goroutine one after another, and reports every call that is done, one report at a time.
func play(cfg config, s scenario, api *api, base http.RoundTripper, url string, report func(step)) result {
	client := s.client(base)
	defer client.CloseIdleConnections()

	r := result{scenario: s, began: time.Now(), calls: make([]call, cfg.calls)}
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	for range cfg.goroutines {
		wg.Go(func() {
			for n := int(next.Add(1)); n <= cfg.calls; n = int(next.Add(1)) {
				r.calls[n-1] = makeCall(client, url, n, r.began)
				mu.Lock()
				done++
				report(step{api.record(), done, cfg.calls, time.Since(r.began)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.took = time.Since(r.began)
	r.record = api.record()
	return r
}

func makeCall(client doer, url string, n int, began time.Time) (c call) {
	c.begin = time.Since(began)
	defer func() { c.end = time.Since(began) }()

	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return c
	}
	req.Header.Set(callHeader, strconv.Itoa(n))
	resp, err := client.Do(req)
	if err != nil {
		return c
	}
	resp.Body.Close()
	c.status = resp.StatusCode
	c.fallback = resp.Header.Get(fallbackHeader) != ""
	return c
}
