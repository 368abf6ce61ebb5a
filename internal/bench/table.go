package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A table is what one section shows: a row for each library, ours first.
type table struct {
	Title, About string
	Columns      []string
	Unit         string // of all values; "" where they differ or the columns say it
	Rows         []row
	Chart        chart
}

type row struct {
	Name   string
	Values []float64
}

func (t *table) add(name string, values ...float64) {
	t.Rows = append(t.Rows, row{name, values})
}

// number writes three digits, or all of those before the point.
func number(v float64) string {
	switch {
	case v == math.Trunc(v), math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// cells are a row's values as they are shown.
func (r row) cells() []string {
	cells := make([]string, len(r.Values))
	for i, v := range r.Values {
		cells[i] = number(v)
	}
	return cells
}

// text is t for a terminal.
func (t table) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\t%s\t\n", t.Unit, strings.Join(t.Columns, "\t"))
	for _, r := range t.Rows {
		fmt.Fprintf(w, "%s\t%s\t\n", r.Name, strings.Join(r.cells(), "\t"))
	}
	_ = w.Flush() // to memory
	return b.String()
}

// Markdown is t for the page.
func (t table) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n", t.Unit, strings.Join(t.Columns, " | "))
	fmt.Fprintf(&b, "| --- |%s\n", strings.Repeat(" ---: |", len(t.Columns)))
	for _, r := range t.Rows {
		fmt.Fprintf(&b, "| %s | %s |\n", r.Name, strings.Join(r.cells(), " | "))
	}
	return b.String()
}
