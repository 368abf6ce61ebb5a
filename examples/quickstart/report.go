package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/timeline"
)

// maxRows keeps a picture on one page however many calls are asked for.
const maxRows = 40

// screen is where the demo is shown.
type screen struct {
	out   io.Writer
	width int
	color bool
	live  bool // a line can be overwritten
}

func newScreen(f *os.File, getenv func(string) string) screen {
	width, color := timeline.Fit(f, getenv)
	return screen{out: f, width: width, color: color, live: timeline.IsTerminal(f)}
}

func (s screen) intro(cfg config) {
	fmt.Fprintf(s.out, "A server on loopback allows %d requests in any %v and answers more with 429.\n", cfg.rate, cfg.period)
	if cfg.failEvery > 0 {
		fmt.Fprintf(s.out, "One in %d of those it lets in fails with 503.\n", cfg.failEvery)
	}
	fmt.Fprintf(s.out, "It gets %d calls, made by %d goroutines.\n", cfg.calls, cfg.goroutines)
}

func (s screen) title(sc scenario) {
	fmt.Fprintf(s.out, "\n%s: %s\n", strings.ToUpper(sc.title), sc.order)
}

// progress is one line, rewritten on a terminal after every call and elsewhere printed after each quarter of them.
func (s screen) progress(p step) {
	line := fmt.Sprintf("  %d of %d calls answered, %d attempts, %d rejected, %s",
		p.done, p.calls, len(p.seen), p.rejected(), seconds(p.took))
	quarter := max(1, p.calls/4)
	switch last := p.done == p.calls; {
	case s.live:
		fmt.Fprintf(s.out, "\r%-*s", s.width-1, line)
		if last {
			fmt.Fprintln(s.out)
		}
	case last || p.done%quarter == 0:
		fmt.Fprintln(s.out, line)
	}
}

func (s screen) picture(cfg config, r result) {
	p := timeline.Picture{
		Calls:   make([]timeline.Call, len(r.calls)),
		MaxRows: maxRows,
		Quota:   cfg.rate,
		Window:  cfg.period - cfg.tolerance,
		Width:   s.width,
		Color:   s.color,
	}
	for i, c := range r.calls {
		p.Calls[i] = timeline.Call{Label: "call " + strconv.Itoa(i+1), Begin: c.begin, End: c.end}
	}
	for _, a := range r.seen {
		at := a.at.Sub(r.began)
		p.Arrivals = append(p.Arrivals, at)
		if a.call >= 1 && a.call <= len(p.Calls) {
			c := &p.Calls[a.call-1]
			c.Attempts = append(c.Attempts, timeline.Attempt{At: at, Outcome: timeline.OutcomeOf(a.status)})
		}
	}
	fmt.Fprintf(s.out, "\n%s", timeline.Draw(p))
}

func (s screen) summary(cfg config, results []result) {
	fmt.Fprintln(s.out)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
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
		fmt.Fprintf(w, "%s\t%d\t%d\t%d of %d\t%d\t%d\t%d\t%s\t%s\t\n", r.title, len(r.calls), len(r.seen),
			r.busiest, cfg.rate, r.rejected(), fallbacks, failed, seconds(r.took), seconds(r.ideal(cfg)))
	}
	w.Flush()
	fmt.Fprintf(s.out, `
busiest    the most requests the server counted in any %v, of %d allowed: the
           period less %v, as what starts a period apart may arrive closer
429        requests over the quota
fallbacks  calls that failed for good and were answered by the fallback
ideal      the least time in which the requests the server let in fit its quota
`, cfg.period-cfg.tolerance, cfg.rate, cfg.tolerance)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
