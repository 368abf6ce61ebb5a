package timeline

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// maxLoadRows bounds the height of the load; what is higher still fills the uppermost row.
const maxLoadRows = 4

var eighths = []rune(" ▁▂▃▄▅▆▇█")

// load draws how full the window was that ended in each column, at its fullest. Each row is one quota high: what rises above
// the lowest row was too much.
func (d *drawing) load(arrivals []time.Duration, quota int, window time.Duration) {
	arrivals = slices.Sorted(slices.Values(arrivals))
	counts := make([]int, d.columns)
	for i := range counts {
		// A window that is full when a column begins counts for it even if nothing arrives in it.
		counts[i] = inWindow(arrivals, d.span*time.Duration(i)/time.Duration(d.columns), window)
	}
	for _, at := range arrivals {
		i := d.column(at)
		counts[i] = max(counts[i], inWindow(arrivals, at, window))
	}

	busiest := slices.Max(counts)
	for row := min((busiest-1)/quota, maxLoadRows-1); row >= 0; row-- {
		line := make([]cell, d.columns)
		for i, n := range counts {
			line[i] = bar(n-row*quota, quota, row > 0)
		}
		label := "server"
		if row > 0 {
			label = "> " + strconv.Itoa(row*quota)
		}
		d.row(label, line)
	}
	d.notes(
		note{text: fmt.Sprintf("in the last %v:", window)},
		note{text: fmt.Sprintf("at most %d requests", busiest)},
		note{text: fmt.Sprintf("quota, one row: %d", quota)},
	)
}

// inWindow counts the sorted arrivals in the half-open window (end-window, end].
func inWindow(sorted []time.Duration, end, window time.Duration) int {
	after := func(t time.Duration) int {
		i, _ := slices.BinarySearch(sorted, t+1)
		return i
	}
	return after(end) - after(end-window)
}

// bar is n of quota as the height of a block. Something is never nothing, and only the whole quota is a full block.
func bar(n, quota int, over bool) cell {
	style := dim
	if over {
		style = red
	}
	switch {
	case n <= 0:
		return cell{}
	case n >= quota:
		return cell{eighths[8], style}
	default:
		return cell{eighths[max(1, n*8/quota)], style}
	}
}
