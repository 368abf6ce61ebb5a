package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/rehttp"
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

// limited is what a program writes to put a limiter beneath its retries.
type limited struct {
	next    http.RoundTripper
	limiter *rate.Limiter
}

func (t limited) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.limiter.Wait(req.Context()); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(req)
}

// never refuses a slot.
func free() *pacer.Pacer { return pacer.Burst(1_000_000, time.Nanosecond) }

// BenchmarkChain is what a retry layer with a limiter beneath it costs a GET that succeeds at
// once. The two are called in turn, a hundred times each, and compared by their medians.
func BenchmarkChain(b *testing.B) {
	base := new(nullTransport)
	ours := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(free()))
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
	inTurn(b, times(ours), times(theirs), 100)
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
			plain := call(pacedhttp.New(bodyTransport{}, pacedhttp.Retry(nil), pacedhttp.Pace(free())), false)
			hundred := func(f func()) func() {
				return func() {
					for range 100 {
						f()
					}
				}
			}
			inTurn(b, hundred(held), hundred(plain), 100)
			b.ReportMetric(testing.AllocsPerRun(100, held), "ours-allocs")
			b.ReportMetric(testing.AllocsPerRun(100, plain), "theirs-allocs")
		})
	}
}

// BenchmarkLoopback is what the layers cost beside the client alone, over a real connection. In
// a context that never ends net/http need not watch one for the client alone, and must as soon
// as anybody between gives the request a context of its own; most programs' contexts can end.
func BenchmarkLoopback(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "fine")
	}))
	defer server.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	payload := strings.Repeat("x", 200)
	ends, cancel := context.WithCancel(b.Context())
	defer cancel()
	for _, bench := range []struct {
		name, method string
		ctx          context.Context
	}{
		{"GET", "GET", context.Background()},
		{"POST", "POST", context.Background()},
		{"GET that may be canceled", "GET", ends},
		{"POST that may be canceled", "POST", ends},
	} {
		b.Run(bench.name, func(b *testing.B) {
			call := func(client *http.Client) func() {
				return func() {
					var body io.Reader
					if bench.method == "POST" {
						body = strings.NewReader(payload)
					}
					req, err := http.NewRequestWithContext(bench.ctx, bench.method, server.URL, body)
					if err != nil {
						b.Fatal(err)
					}
					resp, err := client.Do(req)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			ours := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(free())).Client()
			inTurn(b, call(ours), call(&http.Client{Transport: base}), 1)
		})
	}
}

// inTurn measures a and b in turn, each doing n calls, and reports the medians of a call.
func inTurn(b *testing.B, ours, theirs func(), n int) {
	var a, z []time.Duration
	clock := func(f func()) time.Duration {
		began := time.Now()
		f()
		return time.Since(began)
	}
	for b.Loop() {
		a = append(a, clock(ours))
		z = append(z, clock(theirs))
	}
	slices.Sort(a)
	slices.Sort(z)
	ourMedian, theirMedian := float64(a[len(a)/2]), float64(z[len(z)/2])
	b.ReportMetric(ourMedian/float64(n), "ours-ns")
	b.ReportMetric(theirMedian/float64(n), "theirs-ns")
	b.ReportMetric(ourMedian/theirMedian, "ratio")
	b.ReportMetric(0, "ns/op")
}
