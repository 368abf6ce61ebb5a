package demo

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/timeline"
)

// maxRows keeps a picture on one page however many calls are asked for.
const maxRows = 40

// A Screen is where a demo is shown. What is written to it is printed.
type Screen struct {
	io.Writer
	Width int
	Color bool
	Live  bool // a line can be overwritten
}

// NewScreen returns the screen that f is; getenv is [os.Getenv] but for tests.
func NewScreen(f *os.File, getenv func(string) string) Screen {
	width, color := timeline.Fit(f, getenv)
	return Screen{f, width, color, timeline.IsTerminal(f)}
}

// Server introduces the server.
func (s Screen) Server(cfg Config) {
	fmt.Fprintf(s, "A server on loopback allows %d requests in any %v and answers more with 429.\n", cfg.Quota, cfg.Period)
}

// A Step is how far a demo has come.
type Step struct {
	Record
	Done, Calls int
	Took        time.Duration
}

// Progress is one line, rewritten on a terminal after every call and elsewhere printed after each quarter of them.
func (s Screen) Progress(p Step) {
	line := fmt.Sprintf("  %d of %d calls answered, %d attempts, %d rejected, %s",
		p.Done, p.Calls, len(p.Seen), p.Rejected(), Seconds(p.Took))
	quarter := max(1, p.Calls/4)
	switch last := p.Done == p.Calls; {
	case s.Live:
		fmt.Fprintf(s, "\r%-*s", s.Width-1, line)
		if last {
			fmt.Fprintln(s)
		}
	case last || p.Done%quarter == 0:
		fmt.Fprintln(s, line)
	}
}

// Abort leaves a line of progress that no other will overwrite.
func (s Screen) Abort() {
	if s.Live {
		fmt.Fprintln(s)
	}
}

// Picture is a picture of the calls, of which the first is number 1, with their attempts as the server saw them.
func (s Screen) Picture(cfg Config, began time.Time, calls []timeline.Call, r Record) timeline.Picture {
	p := timeline.Picture{
		Calls:   calls,
		MaxRows: maxRows,
		Quota:   cfg.Quota,
		Window:  cfg.Window(),
		Width:   s.Width,
		Color:   s.Color,
	}
	for _, a := range r.Seen {
		at := a.At.Sub(began)
		p.Arrivals = append(p.Arrivals, at)
		if a.Call >= 1 && a.Call <= len(calls) {
			c := &calls[a.Call-1]
			c.Attempts = append(c.Attempts, timeline.Attempt{At: at, Outcome: timeline.OutcomeOf(a.Status)})
		}
	}
	return p
}

// Seconds is a duration as the screen shows it.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
