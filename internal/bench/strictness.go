package main

import (
	"fmt"
	"slices"
	"time"
)

// strictness has callers flood a limiter of 100 a second.
func strictness(e effort) (table, error) {
	const perSecond, callers = 100, 64
	t := table{
		About: fmt.Sprintf("%d callers flood a limiter of %d calls a second, as the callers see it. An API that counts in "+
			"windows refuses what is more. Where a window opens all its calls come at once, and a caller that the machine wakes "+
			"late is counted late: `Margin` is for that, and for the network.", callers, perSecond),
		Columns: []string{"most starts in a second"},
		Chart:   chart{Name: "strictness", Title: "Most starts in a second, of 100 allowed", Limit: perSecond},
	}
	for _, l := range slices.Concat(inBursts, evenly) {
		starts, err := record(l.make(perSecond), callers, perSecond*(2+int(e)/3))
		if err != nil {
			return t, fmt.Errorf("%s: %w", l.name, err)
		}
		t.add(l.name, float64(most(starts, time.Second)))
	}
	return t, nil
}
