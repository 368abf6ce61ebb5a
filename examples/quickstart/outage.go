package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/internal/demo"
	"github.com/pacedhttp/pacedhttp/internal/timeline"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A server that is down is fed the whole quota by those who only retry. A pacer that is told of failures, as Pace does, lets
// but a probe through now and then.
const (
	downFrom = 500 * time.Millisecond
	downTo   = 2500 * time.Millisecond
)

func isDown(at time.Duration) bool { return at >= downFrom && at < downTo }

// outageLoad is more than one caller, since an outage is what several calls meet.
func outageLoad(cfg config) config {
	cfg.Config = demo.Config{Calls: 150, Goroutines: 50, Quota: 50, Period: time.Second, Tolerance: cfg.Tolerance, FailEvery: 1}
	return cfg
}

func outageScenarios(cfg config) []scenario {
	client := func(outage *pacer.Outage) func(http.RoundTripper) *http.Client {
		return func(base http.RoundTripper) *http.Client {
			return pacedhttp.New(base,
				pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{
					MaxAttempts: 8, Backoff: retrypolicy.Exponential(100*time.Millisecond, time.Second),
				})),
				pacedhttp.Pace(pacer.Must(pacer.Config{
					Limits: []pacer.Limit{{Calls: cfg.Quota, Period: cfg.Period, Even: true}},
					Outage: outage,
				})),
			).Client()
		}
	}
	return []scenario{
		{title: "retries", client: client(nil)},
		{title: "with Outage", client: client(&pacer.Outage{})},
	}
}

// playOutage plays both scenarios at once, each with a server of its own that is down at the same time. serve says where a
// server is found, and returns what stops it.
func playOutage(cfg config, serve func(*demo.API) (base http.RoundTripper, url string, stop func())) []result {
	all := outageScenarios(cfg)
	results := make([]result, len(all))
	began := time.Now()
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			api := demo.NewAPI(cfg.Config, func(int, int) bool { return isDown(time.Since(began)) })
			base, url, stop := serve(api)
			defer stop()
			results[i] = play(cfg, s, api, base, url, func(demo.Step) {})
		})
	}
	wg.Wait()
	return results
}

// onLoopback serves an API for real.
func onLoopback(api *demo.API) (base http.RoundTripper, url string, stop func()) {
	server := httptest.NewServer(api)
	return nil, server.URL, server.Close
}

// fed counts the requests that a server got and failed while it was down.
func (r result) fed() int {
	n := 0
	for _, a := range r.Seen {
		if a.Status == http.StatusServiceUnavailable {
			n++
		}
	}
	return n
}

// outage draws the requests of both in one frame.
func (s screen) outage(cfg config, results []result) {
	fmt.Fprintf(s, "\nOUTAGE: servers that allow %d requests a second are down from %s to %s;\nretries alone, and a pacer with Config.Outage beneath them\n\n",
		cfg.Quota, demo.Seconds(downFrom), demo.Seconds(downTo))
	p := timeline.Picture{Width: s.Width, Color: s.Color}
	for _, r := range results {
		row := timeline.Call{Label: r.title}
		for _, a := range r.Seen {
			row.Attempts = append(row.Attempts, timeline.Attempt{At: a.At.Sub(r.began), Outcome: timeline.OutcomeOf(a.Status)})
		}
		row.Begin, row.End = row.Attempts[0].At, row.Attempts[0].At
		p.Calls = append(p.Calls, row)
	}
	fmt.Fprintln(s, timeline.Draw(p))
	w := tabwriter.NewWriter(s, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tcalls\tattempts\tinto the outage\tfailed\ttime\t")
	for _, r := range results {
		failed := 0
		for _, c := range r.calls {
			if c.failed() {
				failed++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t\n", r.title, len(r.calls), len(r.Seen), r.fed(), failed, demo.Seconds(r.took))
	}
	w.Flush()
}
