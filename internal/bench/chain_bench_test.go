package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"golang.org/x/time/rate"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// BenchmarkChain is what a retry layer with a limiter beneath it costs a GET that succeeds at
// once. The two are called in turn, a hundred times each, and compared by their medians.
func BenchmarkChain(b *testing.B) {
	base := new(nullTransport)
	ours := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(endless(pacer.Config{})))
	theirs := rehttp.NewTransport(limited{base, rate.NewLimiter(1e12, 1_000_000)},
		rehttp.RetryAll(rehttp.RetryMaxRetries(3), rehttp.RetryTemporaryErr()), rehttp.ExpJitterDelay(time.Second, time.Minute))
	req, err := http.NewRequest("GET", "http://api.test/", nil)
	if err != nil {
		b.Fatal(err)
	}
	times := func(rt http.RoundTripper) func() {
		return func() {
			for range 100 {
				rt.RoundTrip(req)
			}
		}
	}
	compare(b, times(ours), times(theirs), 100)
}

// A bodyTransport answers at once, with a body that must be read.
type bodyTransport struct{}

func (bodyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("fine")), Request: req}, nil
}

// BenchmarkSlot is what it costs a GET to hold a slot until its body has been read, and to be
// estimated and settled. In turn with it, as theirs, is the same chain where neither flights
// nor costs are limited.
func BenchmarkSlot(b *testing.B) {
	calls := pacer.Limit{Calls: 1_000_000, Period: time.Nanosecond}
	tokens := pacer.Limit{Cost: 1_000_000, Unit: "tokens", Period: time.Nanosecond}
	for _, bench := range []struct {
		name string
		cfg  pacer.Config
		cost bool
	}{
		{"plain", pacer.Config{Limits: []pacer.Limit{calls}}, false},
		{"flight", pacer.Config{Limits: []pacer.Limit{calls}, MaxInFlight: 10}, false},
		{"cost", pacer.Config{Limits: []pacer.Limit{calls, tokens}}, true},
		{"cost and flight", pacer.Config{Limits: []pacer.Limit{calls, tokens}, MaxInFlight: 10}, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			req, err := http.NewRequest("GET", "http://api.test/", nil)
			if err != nil {
				b.Fatal(err)
			}
			call := func(rt http.RoundTripper, cost bool) func() {
				return func() {
					resp, err := rt.RoundTrip(req)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if cost {
						pacedhttp.Settle(resp, "tokens", 5)
					}
				}
			}
			layers := []pacedhttp.Middleware{pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Must(bench.cfg))}
			if bench.cost {
				layers = slices.Insert(layers, 0, pacedhttp.Cost("tokens", func(*http.Request) int { return 7 }))
			}
			held := call(pacedhttp.New(bodyTransport{}, layers...), bench.cost)
			plain := call(pacedhttp.New(bodyTransport{}, pacedhttp.Retry(nil), pacedhttp.Pace(endless(pacer.Config{}))), false)
			hundred := func(f func()) func() {
				return func() {
					for range 100 {
						f()
					}
				}
			}
			compare(b, hundred(held), hundred(plain), 100)
			b.ReportMetric(testing.AllocsPerRun(100, held), "ours-allocs")
			b.ReportMetric(testing.AllocsPerRun(100, plain), "theirs-allocs")
		})
	}
}

// BenchmarkLoopback is what the layers cost beside the client alone, over a real connection. In
// a context that never ends net/http need not watch one for the client alone, and must as soon
// as anybody between gives the request a context of its own; most programs' contexts can end.
func BenchmarkLoopback(b *testing.B) {
	server := newLoopback()
	defer server.close()
	ends, cancel := context.WithCancel(b.Context())
	defer cancel()
	for _, bench := range []struct {
		name, method string
		size         int
		ctx          context.Context
	}{
		{"GET", "GET", 0, context.Background()},
		{"POST", "POST", 200, context.Background()},
		{"GET that may be canceled", "GET", 0, ends},
		{"POST that may be canceled", "POST", 200, ends},
	} {
		b.Run(bench.name, func(b *testing.B) {
			call := func(client *http.Client) func() {
				return func() {
					if err := server.call(bench.ctx, client, bench.method, bench.size); err != nil {
						b.Fatal(err)
					}
				}
			}
			ours := pacedhttp.New(server.base, pacedhttp.Retry(nil), pacedhttp.Pace(endless(pacer.Config{}))).Client()
			compare(b, call(ours), call(&http.Client{Transport: server.base}), 1)
		})
	}
}

// compare calls both in turn, each doing n calls, and reports the medians of a call.
func compare(b *testing.B, ours, theirs func(), n int) {
	medians := inTurn(b.N, ours, theirs)
	b.ReportMetric(float64(medians[0])/float64(n), "ours-ns")
	b.ReportMetric(float64(medians[1])/float64(n), "theirs-ns")
	b.ReportMetric(float64(medians[0])/float64(medians[1]), "ratio")
	b.ReportMetric(0, "ns/op")
}
