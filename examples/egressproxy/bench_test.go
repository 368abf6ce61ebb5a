package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkOverhead compares a request through the proxy, with all of its layers and telemetry, to
// one through a bare httputil.ReverseProxy. Batches of both go in turn, so that whatever else the
// machine does is the same for both. Reported are the medians, in microseconds a request, and
// their ratio: the median of each two batches that followed each other.
func BenchmarkOverhead(b *testing.B) {
	for _, load := range []struct {
		name           string
		clients, batch int
		sent, answered int
	}{
		{"GET", 1, 200, 0, 100},
		{"POST-1KiB", 1, 200, 1 << 10, 100},
		{"GET-16-clients", 16, 400, 0, 100},
		{"GET-16MiB", 1, 1, 0, 16 << 20},
		{"POST-16MiB", 1, 1, 16 << 20, 100},
	} {
		b.Run(load.name, func(b *testing.B) {
			answer, sent := make([]byte, load.answered), make([]byte, load.sent)
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = w.Write(answer)
			}))
			defer upstream.Close()
			bare, ours := barely(b, upstream.URL), proxied(b, upstream.URL)
			defer bare.Close()
			defer ours.Close()

			batch := func(url string) time.Duration {
				var all sync.WaitGroup
				began := time.Now()
				for range load.clients {
					all.Go(func() {
						for range load.batch / load.clients {
							if err := exchange(url, sent, load.answered); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				return time.Since(began)
			}
			http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = load.clients
			defer http.DefaultClient.CloseIdleConnections()
			batch(bare.URL)
			batch(ours.URL)
			var bares, ourses, ratios []float64
			for b.Loop() {
				first := float64(batch(bare.URL))
				second := float64(batch(ours.URL))
				bares, ourses, ratios = append(bares, first), append(ourses, second), append(ratios, second/first)
			}
			each := float64(load.batch) * float64(time.Microsecond)
			b.ReportMetric(median(bares)/each, "bare-µs")
			b.ReportMetric(median(ourses)/each, "ours-µs")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func exchange(url string, body []byte, answered int) error {
	method := "GET"
	if len(body) > 0 {
		method = "POST"
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(answered) {
		return fmt.Errorf("%s, %d bytes, %w", resp.Status, n, err)
	}
	return nil
}

// barely is a server with nothing but a ReverseProxy, over a transport like the proxy's.
func barely(b *testing.B, upstream string) *httptest.Server {
	target, err := url.Parse(upstream)
	if err != nil {
		b.Fatal(err)
	}
	base := newBase()
	b.Cleanup(base.CloseIdleConnections)
	return httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: base,
	})
}

func proxied(b *testing.B, upstream string) *httptest.Server {
	provider, _, err := newMetrics()
	if err != nil {
		b.Fatal(err)
	}
	base := newBase()
	b.Cleanup(base.CloseIdleConnections)
	cfg := parse(b, fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: %q, limits: "1000000/s, 100000000/h", flights: 1000, outage: {}}]`, upstream))
	p, err := newProxy(cfg, provider, base, slog.New(slog.NewJSONHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	return httptest.NewServer(newService(p, nil).clients.Handler)
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
