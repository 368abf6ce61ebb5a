package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"text/tabwriter"

	"github.com/pacedhttp/pacedhttp/internal/demo"
	"github.com/pacedhttp/pacedhttp/internal/timeline"
)

// screen is where the show is shown.
type screen struct{ demo.Screen }

func (s screen) intro(cfg config, redis store) {
	s.Server(cfg.Config)
	if cfg.FailEvery > 0 {
		fmt.Fprintf(s, "One call in %d is first answered with 503 and tried again.\n", cfg.FailEvery)
	}
	last := ""
	if cfg.procs > 1 {
		last = " to " + names[cfg.procs-1]
	}
	fmt.Fprintf(s, "It gets %d calls from %d processes, %s%s.\n", cfg.Calls, cfg.procs, names[0], last)
	fmt.Fprintf(s, "They share it through %s.\n\n", redis.about)
}

// picture has the calls in the order in which they were answered, so that the slots are seen to pass from process to process.
func (s screen) picture(cfg config, r result) {
	calls := make([]timeline.Call, len(r.calls))
	for i, c := range r.calls {
		name := names[r.process(i+1)]
		calls[i] = timeline.Call{Label: fmt.Sprintf("%s %d", name, i/cfg.procs+1), Process: name, Begin: c.begin, End: c.end}
	}
	p := s.Picture(cfg.Config, r.began, calls, r.Record)
	slices.SortStableFunc(p.Calls, func(a, b timeline.Call) int { return cmp.Compare(a.End, b.End) })
	fmt.Fprintf(s, "\n%s", timeline.Draw(p))
}

// row is a line of the summary.
type row struct {
	calls, attempts, errors, rejected, failed int
	roundTrips                                uint64
}

func (s screen) summary(cfg config, r result) {
	rows, all := r.rows()
	fmt.Fprintln(s)
	w := tabwriter.NewWriter(s, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "process\tcalls\tattempts\t503\t429\tfailed\tround trips\t")
	for i, row := range append(rows, all) {
		name := "all"
		if i < len(rows) {
			name = names[i]
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, row.calls, row.attempts, row.errors, row.rejected, row.failed, row.roundTrips)
	}
	w.Flush()
	fmt.Fprintf(s, `
busiest      %d requests, of %d allowed: the most the server counted in any
             %v, the period less %v, as what starts a period apart
             may arrive closer
time         %s of at least %s, in which the requests let in fit the quota
round trips  %.2f to Redis for each attempt: to reserve a start, or to be
             told when to ask for one that is far off
`, r.Busiest, cfg.Quota, cfg.Window(), cfg.Tolerance,
		demo.Seconds(r.took), demo.Seconds(cfg.Ideal(r.Record)), float64(all.roundTrips)/float64(max(all.attempts, 1)))
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
	for _, a := range r.Seen {
		if a.Call < 1 || a.Call > len(r.calls) {
			continue // somebody else's
		}
		row := &rows[r.process(a.Call)]
		row.attempts++
		switch a.Status {
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
