package main

import (
	"net/http"
	"sync"
	"time"
)

// naiveClient is the client that is usually written first: wait for the limiter, then call, and the call retries by itself.
//
// Nothing in it is rigged. The limiter is a sound token bucket, set to the server's own rate with a burst of one period's
// worth, as rate.NewLimiter(5, 5) of golang.org/x/time is. The loop has a pause and a last attempt, as a retry library has
// whose client or transport is put under a limiter, because that is where it plugs in. Two things go wrong between them:
//
//   - The retries never meet the limiter. It paces calls, while the server counts requests.
//   - A token bucket refills while its burst is being spent, so that up to 2·rate-1 calls pass within one period.
type naiveClient struct {
	bucket *tokenBucket
	http   *http.Client
}

// What a retry loop written by hand tends to have.
const (
	naiveRetries = 3
	naivePause   = 500 * time.Millisecond
)

func newNaiveClient(rate int, period time.Duration, base http.RoundTripper) *naiveClient {
	return &naiveClient{
		bucket: newTokenBucket(rate, period),
		http:   &http.Client{Transport: base},
	}
}

func (c *naiveClient) Do(req *http.Request) (*http.Response, error) {
	c.bucket.take()
	for retry := 0; ; retry++ {
		resp, err := c.http.Do(req)
		good := err == nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests
		if good || retry == naiveRetries {
			return resp, err
		}
		if err == nil {
			resp.Body.Close()
		}
		time.Sleep(naivePause)
	}
}

func (c *naiveClient) CloseIdleConnections() { c.http.CloseIdleConnections() }

// tokenBucket holds up to size tokens and gains one every interval.
type tokenBucket struct {
	interval time.Duration
	size     float64

	mu     sync.Mutex
	tokens float64 // below zero: promised to callers that wait
	at     time.Time
}

func newTokenBucket(rate int, period time.Duration) *tokenBucket {
	return &tokenBucket{
		interval: period / time.Duration(rate),
		size:     float64(rate),
		tokens:   float64(rate),
		at:       time.Now(),
	}
}

// take takes a token, waiting for it if there is none.
func (b *tokenBucket) take() {
	b.mu.Lock()
	now := time.Now()
	gained := float64(now.Sub(b.at)) / float64(b.interval)
	b.tokens = min(b.size, b.tokens+gained) - 1
	b.at = now
	wait := time.Duration(-b.tokens * float64(b.interval))
	b.mu.Unlock()
	time.Sleep(wait)
}
