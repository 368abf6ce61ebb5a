package quota

import (
	"math"
	"strings"
)

// readUsed reads what is used of how much: Shopify's "32/40" leaves 8.
func (all *readings) readUsed(lines []string) {
	for value := range elements(lines) {
		used, limit, _ := strings.Cut(value, "/")
		u, ok := parseNumber(used, 1) // rounded up
		l, legible := parseCount(limit)
		if ok && legible {
			all.add(State{Remaining: max(0, l-int(min(u, math.MaxInt))), Limit: l, Reset: unsaid})
		}
	}
}

// readAzureResource reads what remains of the quotas of one of Azure's resource
// providers: "Microsoft.Compute/HighCostGet3Min;159,Microsoft.Compute/HighCostGet30Min;1199".
func (all *readings) readAzureResource(lines []string) {
	for value := range elements(lines) {
		name, remaining, _ := strings.Cut(value, ";")
		if n, ok := parseCount(remaining); ok {
			all.add(State{Name: name, Remaining: n, Reset: unsaid})
		}
	}
}
