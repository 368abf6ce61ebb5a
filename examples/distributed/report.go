package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/timeline"
)

// maxRows keeps the picture on one page however many calls are asked for.
const maxRows = 40

// screen is where the show is shown.
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

func (s screen) intro(cfg config, redis store) {
	fmt.Fprintf(s.out, "A server on loopback allows %d requests in any %v and answers more with 429.\n", cfg.quota, cfg.period)
	if cfg.failEvery > 0 {
		fmt.Fprintf(s.out, "One call in %d is first answered with 503 and tried again.\n", cfg.failEvery)
	}
	last := ""
	if cfg.procs > 1 {
		last = " to " + names[cfg.procs-1]
	}
	fmt.Fprintf(s.out, "It gets %d calls from %d processes, %s%s.\n", cfg.calls, cfg.procs, names[0], last)
	fmt.Fprintf(s.out, "They share it through %s.\n\n", redis.about)
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

// abort leaves a line of progress that no other will overwrite.
func (s screen) abort() {
	if s.live {
		fmt.Fprintln(s.out)
	}
}

// picture has the calls in the order in which they were answered, so that the slots are seen to pass from process to process.
func (s screen) picture(cfg config, r result) {
	p := timeline.Picture{
		Calls:   make([]timeline.Call, len(r.calls)),
		MaxRows: maxRows,
		Quota:   cfg.quota,
		Window:  cfg.period - cfg.tolerance,
		Width:   s.width,
		Color:   s.color,
	}
	for i, c := range r.calls {
		name := names[r.process(i+1)]
		p.Calls[i] = timeline.Call{Label: fmt.Sprintf("%s %d", name, i/cfg.procs+1), Process: name, Begin: c.begin, End: c.end}
	}
	for _, a := range r.seen {
		at := a.at.Sub(r.began)
		p.Arrivals = append(p.Arrivals, at)
		if a.call >= 1 && a.call <= len(p.Calls) {
			c := &p.Calls[a.call-1]
			c.Attempts = append(c.Attempts, timeline.Attempt{At: at, Outcome: timeline.OutcomeOf(a.status)})
		}
	}
	slices.SortStableFunc(p.Calls, func(a, b timeline.Call) int { return cmp.Compare(a.End, b.End) })
	fmt.Fprintf(s.out, "\n%s", timeline.Draw(p))
}

// row is a line of the summary.
type row struct {
	calls, attempts, errors, rejected, failed int
	roundTrips                                uint64
}

func (s screen) summary(cfg config, r result) {
	rows, all := r.rows()
	fmt.Fprintln(s.out)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "process\tcalls\tattempts\t503\t429\tfailed\tround trips\t")
	for i, row := range append(rows, all) {
		name := "all"
		if i < len(rows) {
			name = names[i]
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, row.calls, row.attempts, row.errors, row.rejected, row.failed, row.roundTrips)
	}
	w.Flush()
	fmt.Fprintf(s.out, `
busiest      %d requests, of %d allowed: the most the server counted in any
             %v, the period less %v, as what starts a period apart
             may arrive closer
time         %s of at least %s, in which the requests let in fit the quota
round trips  %.2f to Redis for each attempt: to reserve a start, and again
             shortly before one that is far off, in case of a pause
`, r.busiest, cfg.quota, cfg.period-cfg.tolerance, cfg.tolerance,
		seconds(r.took), seconds(r.ideal(cfg)), float64(all.roundTrips)/float64(max(all.attempts, 1)))
}

// rows are the sums of each process and of all.
func (r result) rows() (rows []row, all row) {
	rows = make([]row, len(r.roundTrips))
	for i, n := range r.roundTrips {
		rows[i].roundTrips = n
	}
	for i, c := range r.calls {
		row := &rows[r.process(i+1)]
		row.calls++
		if c.failed() {
			row.failed++
		}
	}
	for _, a := range r.seen {
		if a.call < 1 || a.call > len(r.calls) {
			continue // somebody else's
		}
		row := &rows[r.process(a.call)]
		row.attempts++
		switch a.status {
		case http.StatusServiceUnavailable:
			row.errors++
		case http.StatusTooManyRequests:
			row.rejected++
		}
	}
	for _, row := range rows {
		all.calls += row.calls
		all.attempts += row.attempts
		all.errors += row.errors
		all.rejected += row.rejected
		all.failed += row.failed
		all.roundTrips += row.roundTrips
	}
	return rows, all
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
