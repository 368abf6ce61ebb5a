package timeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// cell is one column of one line; the zero cell is blank.
type cell struct {
	glyph rune
	style style
}

// style is the parameter of an ANSI "select graphic rendition" sequence (ECMA-48 §8.3.117).
type style string

const (
	plain   style = ""
	dim     style = "2"
	red     style = "31"
	green   style = "32"
	yellow  style = "33"
	magenta style = "35"
)

var (
	waitingCell  = cell{'┈', dim}
	outcomeCells = [...]cell{
		Sent:        {'○', plain},
		OK:          {'●', green},
		Unavailable: {'▲', yellow},
		Throttled:   {'×', red},
		Failed:      {'!', magenta},
	}
	outcomeNames = [...]string{
		Sent:        "sent",
		OK:          "ok",
		Unavailable: "503",
		Throttled:   "429",
		Failed:      "error",
	}
	processStyles = []style{green, "36", "34", "92", "96", "94"}
)

// mark is an outcome's cell. What went well belongs to whoever made it; trouble looks alike everywhere.
func (d *drawing) mark(o Outcome, process string) cell {
	if o != OK || process == "" {
		return outcomeCells[o]
	}
	letter, _ := utf8.DecodeRuneInString(process)
	return cell{letter, processStyles[slices.Index(d.processes, process)%len(processStyles)]}
}

// row adds a line: a label at the right of the margin, then the cells, without blanks at the end.
func (d *drawing) row(label string, line []cell) {
	for len(line) > 0 && line[len(line)-1] == (cell{}) {
		line = line[:len(line)-1]
	}
	text := fmt.Sprintf("%*s ", d.margin, shorten(label))
	if len(line) == 0 {
		text = strings.TrimRight(text, " ")
	}
	d.text.WriteString(text)
	for len(line) > 0 {
		same := 1
		for same < len(line) && line[same].style == line[0].style {
			same++
		}
		d.text.WriteString(d.paint(line[:same]...))
		line = line[same:]
	}
	d.text.WriteByte('\n')
}

// A note is a few words below the time axis, with the mark they explain if there is one.
type note struct {
	mark cell
	text string
}

// notes puts notes side by side, on as many lines as they need.
func (d *drawing) notes(all ...note) {
	const gap = 3
	column := 0
	for _, n := range all {
		text, width := n.text, utf8.RuneCountInString(n.text)
		if n.mark != (cell{}) {
			text, width = d.paint(n.mark)+" "+text, width+2
		}
		switch {
		case column == 0:
			fmt.Fprintf(&d.text, "%*s ", d.margin, "")
		case column+gap+width > d.columns:
			fmt.Fprintf(&d.text, "\n%*s ", d.margin, "")
			column = 0
		default:
			fmt.Fprintf(&d.text, "%*s", gap, "")
			column += gap
		}
		d.text.WriteString(text)
		column += width
	}
	if column > 0 {
		d.text.WriteByte('\n')
	}
}

// paint renders cells of one style.
func (d *drawing) paint(cells ...cell) string {
	glyphs := make([]rune, len(cells))
	for i, c := range cells {
		glyphs[i] = c.glyph
		if c.glyph == 0 {
			glyphs[i] = ' '
		}
	}
	if s := cells[0].style; d.color && s != plain {
		return "\x1b[" + string(s) + "m" + string(glyphs) + "\x1b[0m"
	}
	return string(glyphs)
}

func shorten(label string) string {
	if utf8.RuneCountInString(label) <= maxLabel {
		return label
	}
	return string([]rune(label)[:maxLabel-1]) + "…"
}

// roundStep is the smallest of 1, 2 and 5 times a power of ten that is not below d.
func roundStep(d time.Duration) time.Duration {
	for step := time.Duration(1); ; step *= 10 {
		for _, m := range []time.Duration{1, 2, 5} {
			if step*m >= d {
				return step * m
			}
		}
	}
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
