package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pacedhttp/pacedhttp/internal/demo"
	"github.com/pacedhttp/pacedhttp/internal/timeline"
)

// screen is where the demo is shown.
type screen struct{ demo.Screen }

func (s screen) intro(cfg config) {
	s.Server(cfg.Config)
	if cfg.FailEvery > 0 {
		fmt.Fprintf(s, "One in %d of those it lets in fails with 503.\n", cfg.FailEvery)
	}
	fmt.Fprintf(s, "It gets %d calls, made by %d goroutines.\n", cfg.Calls, cfg.Goroutines)
}

func (s screen) title(sc scenario) {
	fmt.Fprintf(s, "\n%s: %s\n", strings.ToUpper(sc.title), sc.order)
}

func (s screen) picture(cfg config, r result) {
	fmt.Fprintf(s, "\n%s", timeline.Draw(s.pictureOf(cfg, r)))
}

func (s screen) pictureOf(cfg config, r result) timeline.Picture {
	calls := make([]timeline.Call, len(r.calls))
	for i, c := range r.calls {
		calls[i] = timeline.Call{Label: "call " + strconv.Itoa(i+1), Begin: c.begin, End: c.end}
	}
	return s.Picture(cfg.Config, r.began, calls, r.Record)
}

// svg draws all pictures below one another.
func (s screen) svg(cfg config, results []result) string {
	var panels []timeline.Panel
	for _, r := range results {
		panels = append(panels, timeline.Panel{
			Title:   fmt.Sprintf("%s: %d requests for %d calls, %d answered 429", r.heading, len(r.Seen), len(r.calls), r.Rejected()),
			Note:    r.order,
			Picture: s.pictureOf(cfg, r),
		})
	}
	return timeline.SVG(fmt.Sprintf("%d calls to a server that allows %d requests per %v, each request a mark", cfg.Calls, cfg.Quota, cfg.Period), panels...)
}

func (s screen) summary(cfg config, results []result) {
	fmt.Fprintln(s)
	w := tabwriter.NewWriter(s, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tcalls\tattempts\tbusiest\t429\tfallbacks\tfailed\ttime\tideal\t")
	for _, r := range results {
		fallbacks, failed := 0, 0
		for _, c := range r.calls {
			if c.fallback {
				fallbacks++
			}
			if c.failed() {
				failed++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d of %d\t%d\t%d\t%d\t%s\t%s\t\n", r.title, len(r.calls), len(r.Seen),
			r.Busiest, cfg.Quota, r.Rejected(), fallbacks, failed, demo.Seconds(r.took), demo.Seconds(r.ideal(cfg)))
	}
	w.Flush()
	fmt.Fprintf(s, `
busiest    the most requests the server counted in any %v, of %d allowed: the
           period less %v, as what starts a period apart may arrive closer
429        requests over the quota
fallbacks  calls that failed for good and were answered by the fallback
ideal      the least time in which the requests the server let in fit its quota
`, cfg.Window(), cfg.Quota, cfg.Tolerance)
}
