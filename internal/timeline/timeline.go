// Package timeline draws, as text, when calls were made and how every attempt ended.
//
// [Draw] turns a [Picture] into lines: a row for each call, a mark for each attempt, a time axis, and below it what the
// server counted in its window against the quota, so that a window with too many requests stands out. It reads no clock and
// no environment; [Fit] finds the width and the colours that suit a terminal.
package timeline

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A Picture is what [Draw] draws. All times count from the beginning of the picture.
type Picture struct {
	Calls    []Call
	MaxRows  int             // calls drawn, the rest is only mentioned; 0 = all
	Arrivals []time.Duration // when requests reached the server, in any order
	Quota    int             // arrivals allowed in any Window; 0 = draw no load
	Window   time.Duration   // half-open: two arrivals exactly a Window apart do not share one
	Width    int             // columns of text; 0 = 80, and never less than 40
	Color    bool            // ANSI colours
}

// A Call is one row.
type Call struct {
	Label      string // cut after 12 characters
	Process    string // who made the call: its first letter is the mark of what went well; "" = nobody in particular
	Begin, End time.Duration
	Attempts   []Attempt
}

// An Attempt is one mark. Where several share a column, the worst is drawn.
type Attempt struct {
	At      time.Duration
	Outcome Outcome
}

// An Outcome says how an attempt ended; the larger, the worse.
type Outcome uint8

// The outcomes, from the harmless to the worst.
const (
	Sent Outcome = iota // and nothing is known of the answer
	OK
	Unavailable // 503 and every other 5xx
	Throttled   // 429
	Failed      // any other status, or no answer at all
)

// OutcomeOf is the outcome of an attempt that was answered with a status; 0 stands for no answer.
func OutcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status < 400:
		return OK
	case status == 429:
		return Throttled
	case status >= 500 && status < 600:
		return Unavailable
	default:
		return Failed
	}
}

const (
	defaultWidth = 80
	minWidth     = 40
	maxLabel     = 12
)

// Draw returns the picture as lines of at most p.Width columns, each ended by a newline.
func Draw(p Picture) string {
	d := newDrawing(p)
	rows := p.Calls
	if p.MaxRows > 0 && len(rows) > p.MaxRows {
		rows = rows[:p.MaxRows]
	}
	for _, c := range rows {
		d.call(c)
	}
	if hidden := len(p.Calls) - len(rows); hidden > 0 {
		d.notes(note{text: fmt.Sprintf("… and %d more calls", hidden)})
	}
	d.axis()
	if p.Quota > 0 && p.Window > 0 {
		d.load(p.Arrivals, p.Quota, p.Window)
	}
	d.legend()
	return d.text.String()
}

// drawing is a picture half drawn: the scale, and the lines so far.
type drawing struct {
	text    strings.Builder
	margin  int // columns of the labels
	columns int // columns of the time axis
	span    time.Duration
	color   bool

	processes []string // sorted
	waiting   bool     // what the legend has to explain …
	outcomes  [Failed + 1]bool
}

func newDrawing(p Picture) *drawing {
	width := p.Width
	if width == 0 {
		width = defaultWidth
	}
	width = max(width, minWidth)

	d := &drawing{color: p.Color, margin: len("server")}
	var last time.Duration
	for _, c := range p.Calls {
		d.margin = max(d.margin, min(utf8.RuneCountInString(c.Label), maxLabel))
		last = max(last, c.End)
		for _, a := range c.Attempts {
			last = max(last, a.At)
		}
		if c.Process != "" && !slices.Contains(d.processes, c.Process) {
			d.processes = append(d.processes, c.Process)
		}
	}
	slices.Sort(d.processes) // who came first is chance, and would change the colours from run to run
	for _, at := range p.Arrivals {
		last = max(last, at)
	}
	if last <= 0 {
		last = time.Second // nothing took any time: any scale is right
	}
	d.columns = width - d.margin - 1
	// What comes last begins the last column, so that all columns cover the same time.
	d.span = last + last/time.Duration(d.columns-1)
	return d
}

// column is where a moment is drawn.
func (d *drawing) column(at time.Duration) int {
	c := int(float64(at) * float64(d.columns) / float64(d.span))
	return min(max(c, 0), d.columns-1)
}

func (d *drawing) call(c Call) {
	line := make([]cell, d.columns)
	for i := d.column(c.Begin); i <= d.column(c.End); i++ {
		line[i] = waitingCell
	}
	worst := make([]Outcome, d.columns)
	for _, a := range c.Attempts {
		i, o := d.column(a.At), min(a.Outcome, Failed)
		worst[i] = max(worst[i], o)
		line[i] = d.mark(worst[i], c.Process)
		d.outcomes[o] = d.outcomes[o] || line[i] == outcomeCells[o]
	}
	d.waiting = d.waiting || slices.Contains(line, waitingCell)
	d.row(c.Label, line)
}

// axis draws a line with a tick at round times, and the times below it.
func (d *drawing) axis() {
	const room = 8 // columns from tick to tick, at least, for a label and some air
	step := max(roundStep(d.span/time.Duration(d.columns)*room), time.Millisecond)
	line, times := make([]cell, d.columns), make([]cell, d.columns)
	for i := range line {
		line[i] = cell{'─', dim}
	}
	for at := time.Duration(0); at < d.span; at += step {
		i := d.column(at)
		line[i] = cell{'┴', dim}
		label := seconds(at)
		if i+len(label) > d.columns {
			continue
		}
		for j, r := range label {
			times[i+j] = cell{r, plain}
		}
	}
	d.row("", line)
	d.row("", times)
}

// legend explains the marks that were used.
func (d *drawing) legend() {
	var marks []note
	for o := range d.outcomes {
		if o := Outcome(o); d.outcomes[o] {
			marks = append(marks, note{d.mark(o, ""), outcomeNames[o]})
		}
	}
	for _, p := range d.processes {
		marks = append(marks, note{d.mark(OK, p), "ok, by " + shorten(p)})
	}
	if d.waiting {
		marks = append(marks, note{waitingCell, "waiting"})
	}
	d.notes(marks...)
}
