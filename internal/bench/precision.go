package main

import (
	"fmt"
	"time"
)

// precision is how evenly callers who always wait are started.
func precision(e effort) (table, error) {
	t := table{
		About:   "The share of gaps between starts that are within 10 % of the interval, as the callers see them, by rate and number of callers. The last column is the share of the rate held, at its worst.",
		Columns: []string{"1,000/s, 1", "1,000/s, 64", "5,000/s, 1", "5,000/s, 64", "rate held"},
		Unit:    "%",
		Chart:   chart{Name: "precision", Title: "Gaps within 10 % of the interval, 1,000 a second, 64 callers (%)", Column: 1},
	}
	for _, l := range evenly {
		var row []float64
		worst := 1.0
		for _, perSecond := range []int{1_000, 5_000} {
			for _, callers := range []int{1, 64} {
				starts, err := record(l.make(perSecond), callers, perSecond*int(e)/3)
				if err != nil {
					return t, fmt.Errorf("%s: %w", l.name, err)
				}
				within, held := evenness(starts, time.Second/time.Duration(perSecond))
				row = append(row, 100*within)
				worst = min(worst, held)
			}
		}
		t.add(l.name, append(row, 100*worst)...)
	}
	return t, nil
}
