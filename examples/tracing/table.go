package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// table lists every series of the metrics. The server's address and port, which all have, are left out.
func table(all metricdata.ResourceMetrics) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "METRIC\tATTRIBUTES\tCOUNT\tMEAN\tMAX")
	for _, scope := range all.ScopeMetrics {
		slices.SortFunc(scope.Metrics, func(a, b metricdata.Metrics) int { return cmp.Compare(a.Name, b.Name) })
		for _, m := range scope.Metrics {
			for _, line := range rows(m) {
				fmt.Fprintln(w, line)
			}
		}
	}
	_ = w.Flush() // a strings.Builder does not fail
	var lines strings.Builder
	for line := range strings.Lines(out.String()) {
		lines.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return lines.String()
}

func rows(m metricdata.Metrics) []string {
	var lines []string
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			largest, _ := p.Max.Value()
			lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%.3f %s\t%.3f %[5]s", m.Name, series(p.Attributes), p.Count, p.Sum/float64(p.Count), m.Unit, largest))
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			largest, _ := p.Max.Value()
			lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%.1f\t%d", m.Name, series(p.Attributes), p.Count, float64(p.Sum)/float64(p.Count), largest))
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t\t", m.Name, series(p.Attributes), p.Value))
		}
	}
	slices.Sort(lines)
	return lines
}

func series(set attribute.Set) string {
	var pairs []string
	for _, kv := range set.ToSlice() {
		switch kv.Key {
		case "server.address", "server.port":
		default:
			short := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(string(kv.Key), "pacedhttp."), "http.request."), "http.response.")
			pairs = append(pairs, fmt.Sprintf("%s=%v", short, kv.Value.AsInterface()))
		}
	}
	return strings.Join(pairs, " ")
}
