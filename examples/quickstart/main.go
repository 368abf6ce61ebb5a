// Command quickstart shows what a pacer under the retries is worth.
//
// It starts a server on loopback that allows a few requests a second, sends it more calls than that through the chain
// Fallback, Retry, Pace, and draws what the server saw: first with the quota used in bursts, then evenly. The same load then
// goes through the same layers as they are usually stacked, with the limiter outside the retries. At last two servers go down,
// and one of their clients notices.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -mode burst -svg docs/quickstart.svg
//	go run ./examples/quickstart -h
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/internal/demo"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// pacedClient is all there is to set up. Every attempt passes Pace, so a retry waits for a slot like any first send.
func pacedClient(p *pacer.Pacer, base http.RoundTripper) *http.Client {
	chain := pacedhttp.New(base,
		pacedhttp.Fallback(olderAnswer),
		pacedhttp.Retry(retrypolicy.Default()),
		pacedhttp.Pace(p),
	)
	return chain.Client()
}

// usualClient has the same layers with the same settings, but for the order of two. That is what comes of a limiter around
// a client or an SDK that retries by itself: it paces calls, while the server counts requests.
func usualClient(p *pacer.Pacer, base http.RoundTripper) *http.Client {
	chain := pacedhttp.New(base,
		pacedhttp.Fallback(olderAnswer),
		pacedhttp.Pace(p),
		pacedhttp.Retry(retrypolicy.Default()),
	)
	return chain.Client()
}

var olderAnswer = pacedhttp.StaticResponse(http.StatusOK, http.Header{fallbackHeader: {"yes"}}, []byte("an older answer"))

// fallbackHeader tells the fallback's answer from the server's.
const fallbackHeader = "X-Fallback"

// A scenario is one way of making the calls.
type scenario struct {
	title, order string
	heading      string                                    // of an SVG
	even         bool                                      // requests are due one by one rather than a quota at a time
	contrast     bool                                      // promises nothing
	client       func(base http.RoundTripper) *http.Client // a nil base is the client's own choice
}

func scenarios(cfg config) []scenario {
	burst := scenario{
		title:   "paced, burst",
		heading: "Pace under Retry",
		order:   "every attempt takes a slot, retries too, as soon as one is free",
		client: func(base http.RoundTripper) *http.Client {
			return pacedClient(pacer.Burst(cfg.Quota, cfg.Period), base)
		},
	}
	drip := scenario{
		title:   "paced, drip",
		heading: "Pace under Retry, evenly",
		order:   "every attempt takes a slot, and the slots are evenly spaced",
		even:    true,
		client: func(base http.RoundTripper) *http.Client {
			return pacedClient(pacer.Drip(cfg.Quota, cfg.Period), base)
		},
	}
	contrast := scenario{
		title:    "usual order",
		heading:  "Pace above Retry, the usual order",
		order:    "the same layers, but a slot is for a call with all its retries",
		contrast: true,
		client: func(base http.RoundTripper) *http.Client {
			return usualClient(pacer.Burst(cfg.Quota, cfg.Period), base)
		},
	}
	switch cfg.mode {
	case "burst":
		return []scenario{burst, contrast}
	case "drip":
		contrast.even = true
		contrast.client = func(base http.RoundTripper) *http.Client {
			return usualClient(pacer.Drip(cfg.Quota, cfg.Period), base)
		}
		return []scenario{drip, contrast}
	default:
		return []scenario{burst, drip, contrast}
	}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 1 if the paced chain broke its promise, 2 for a bad command line.
func run(args []string, stdout *os.File, stderr io.Writer) int {
	cfg, err := parse(args, stdout)
	if err != nil {
		return demo.Refused("quickstart", err, stderr)
	}
	show := screen{demo.NewScreen(stdout, os.Getenv)}
	code := 0
	if cfg.mode != "outage" {
		code = runQuota(cfg, show, stderr)
	}
	if cfg.mode == "outage" || cfg.mode == "all" {
		load := outageLoad(cfg)
		show.outage(load, playOutage(load, onLoopback))
	}
	return code
}

// runQuota shows how the quota is used, and returns the exit code.
func runQuota(cfg config, show screen, stderr io.Writer) int {
	show.intro(cfg)
	var results []result
	for _, s := range scenarios(cfg) {
		api := newAPI(cfg)
		server := httptest.NewServer(api)
		show.title(s)
		r := play(cfg, s, api, nil, server.URL, show.Progress)
		server.Close()
		show.picture(cfg, r)
		results = append(results, r)
	}
	show.summary(cfg, results)
	if cfg.svg != "" {
		if err := os.WriteFile(cfg.svg, []byte(show.svg(cfg, results)), 0o644); err != nil {
			fmt.Fprintf(stderr, "quickstart: %v\n", err)
			return 1
		}
	}
	return verdict(cfg, results, stderr)
}

// newAPI returns a server of whose admitted requests every failEvery-th is answered with 503.
func newAPI(cfg config) *demo.API {
	return demo.NewAPI(cfg.Config, func(_, admitted int) bool { return admitted%cfg.FailEvery == 0 })
}

func verdict(cfg config, results []result, stderr io.Writer) (code int) {
	for _, r := range results {
		if err := r.broken(cfg); err != nil {
			fmt.Fprintf(stderr, "quickstart: %s: %v\n", r.title, err)
			code = 1
		}
	}
	return code
}
