package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"golang.org/x/time/rate"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A nullTransport answers at once, with a response that is new but for its memory: what a layer
// has put around the body of one must not be found around that of the next.
type nullTransport struct{ resp http.Response }

func (n *nullTransport) RoundTrip(*http.Request) (*http.Response, error) {
	n.resp = http.Response{StatusCode: 200, Body: http.NoBody}
	return &n.resp, nil
}

// retrying are chains that pace and retry, whose limiters never make a request wait.
var retrying = []struct {
	name string
	make func(base http.RoundTripper) http.RoundTripper
}{
	{"pacedhttp, Retry and Pace", func(base http.RoundTripper) http.RoundTripper {
		return pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(endless(pacer.Config{})))
	}},
	{"rehttp over x/time/rate", func(base http.RoundTripper) http.RoundTripper { return rehttpOver(never(base)) }},
	{"go-retryablehttp over x/time/rate", func(base http.RoundTripper) http.RoundTripper { return retryable(never(base)) }},
	{"failsafe-go, its limiter", func(base http.RoundTripper) http.RoundTripper {
		return failsafeWith(base, ratelimiter.NewSmoothBuilder[*http.Response](1_000_000_000, time.Second).WithMaxWaitTime(time.Hour).Build())
	}},
}

func never(base http.RoundTripper) http.RoundTripper {
	return limited{base, rate.NewLimiter(1e12, 1_000_000)}
}

// overhead is what a chain costs a request that succeeds at once.
func overhead(e effort) (table, error) {
	t := table{
		About: "What a chain of retries over a limiter costs a request that succeeds at once: in nanoseconds and allocations " +
			"over a transport that answers at once, and over a real connection on loopback as a multiple of the bare client, for " +
			"a GET and for a POST of 200 bytes. Medians of calls in turn. rehttp is cheaper: it gives an attempt no context of its own, " +
			"reads no quotas, and its limiter hears of no failure. A layer that did nothing but give a request a context would add " +
			"one or two per cent on loopback.",
		Columns: []string{"ns", "allocations", "GET", "POST"},
		Chart:   chart{Name: "overhead", Title: "A GET over a transport that answers at once (ns)"},
	}
	req, err := http.NewRequest("GET", "http://api.test/", nil)
	if err != nil {
		return t, err
	}
	var calls []func()
	var allocs []float64
	for _, c := range retrying {
		rt := c.make(new(nullTransport))
		call := func() { rt.RoundTrip(req) }
		allocs = append(allocs, testing.AllocsPerRun(1_000, call))
		calls = append(calls, func() {
			for range 100 {
				call()
			}
		})
	}
	alone := inTurn(1_000*int(e), calls...)
	gets, err := onLoopback(e, http.MethodGet, 0)
	if err != nil {
		return t, err
	}
	posts, err := onLoopback(e, http.MethodPost, 200)
	if err != nil {
		return t, err
	}
	for i, c := range retrying {
		t.add(c.name, float64(alone[i])/100, allocs[i], gets[i], posts[i])
	}
	return t, nil
}

// onLoopback returns how many times as long as with the bare client a request takes.
func onLoopback(e effort, method string, size int) (ratios []float64, err error) {
	server := newLoopback()
	defer server.close()
	var failed error
	call := func(rt http.RoundTripper) func() {
		client := &http.Client{Transport: rt}
		return func() {
			if err := server.call(context.Background(), client, method, size); err != nil {
				failed = err
			}
		}
	}
	calls := []func(){call(server.base)}
	for _, c := range retrying {
		calls = append(calls, call(c.make(server.base)))
	}
	medians := inTurn(1_000*int(e), calls...)
	for _, m := range medians[1:] {
		ratios = append(ratios, float64(m)/float64(medians[0]))
	}
	return ratios, failed
}

var payload = strings.Repeat("x", 200)

// A loopback is a server that reads a request and answers, and the transport to it.
type loopback struct {
	server *httptest.Server
	base   *http.Transport
}

func newLoopback() *loopback {
	return &loopback{
		server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "fine")
		})),
		base: &http.Transport{},
	}
}

func (l *loopback) close() {
	l.base.CloseIdleConnections()
	l.server.Close()
}

func (l *loopback) call(ctx context.Context, client *http.Client, method string, size int) error {
	var body io.Reader
	if size > 0 {
		body = strings.NewReader(payload[:size])
	}
	req, err := http.NewRequestWithContext(ctx, method, l.server.URL, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
