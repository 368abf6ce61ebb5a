package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// A picture draws traces for a terminal of some width.
type picture struct {
	width int
	color bool
}

const nameWidth = 26

// waterfalls draws each trace: the tree of its spans, a bar for each on the time axis of the trace, and what its attributes
// say. Dots before an attempt's bar are its wait for a slot.
func (p picture) waterfalls(spans tracetest.SpanStubs) string {
	byTrace := map[trace.TraceID]tracetest.SpanStubs{}
	for _, s := range spans {
		byTrace[s.SpanContext.TraceID()] = append(byTrace[s.SpanContext.TraceID()], s)
	}
	var all []waterfall
	for _, spans := range byTrace {
		all = append(all, newWaterfall(p, spans))
	}
	slices.SortFunc(all, func(a, b waterfall) int { return a.began.Compare(b.began) })

	var out strings.Builder
	for _, w := range all {
		w.draw(&out)
	}
	return out.String()
}

// A waterfall is one trace.
type waterfall struct {
	picture
	children map[trace.SpanID]tracetest.SpanStubs // in the order of their start; a zero id has the roots
	began    time.Time
	lasted   time.Duration
	barWidth int
}

func newWaterfall(p picture, spans tracetest.SpanStubs) waterfall {
	w := waterfall{picture: p, children: map[trace.SpanID]tracetest.SpanStubs{}, barWidth: max(10, p.width/3)}
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	w.began = spans[0].StartTime
	known := map[trace.SpanID]bool{}
	for _, s := range spans {
		known[s.SpanContext.SpanID()] = true
		w.lasted = max(w.lasted, s.EndTime.Sub(w.began))
	}
	for _, s := range spans {
		parent := s.Parent.SpanID()
		if !known[parent] {
			parent = trace.SpanID{}
		}
		w.children[parent] = append(w.children[parent], s)
	}
	return w
}

func (w waterfall) draw(out *strings.Builder) {
	fmt.Fprintf(out, "%*s 0%*s\n", nameWidth, "", w.barWidth-1, round(w.lasted))
	for _, root := range w.children[trace.SpanID{}] {
		w.span(out, root, "", "")
	}
	out.WriteByte('\n')
}

// span draws a span and those below it; first and rest are what precedes the name on its line and on theirs.
func (w waterfall) span(out *strings.Builder, s tracetest.SpanStub, first, rest string) {
	name := first + s.Name
	if n := utf8.RuneCountInString(name); n > nameWidth {
		name = string([]rune(name)[:nameWidth-1]) + "…"
	}
	pad := strings.Repeat(" ", nameWidth-utf8.RuneCountInString(name))
	line := name + pad + " " + w.bar(s) + " " + round(s.EndTime.Sub(s.StartTime)).String() + notes(s)
	out.WriteString(strings.TrimRight(line, " ") + "\n")

	below := w.children[s.SpanContext.SpanID()]
	for i, child := range below {
		branch, trunk := "├ ", "│ "
		if i == len(below)-1 {
			branch, trunk = "└ ", "  "
		}
		w.span(out, child, rest+branch, rest+trunk)
	}
}

func (w waterfall) bar(s tracetest.SpanStub) string {
	wait := seconds(find(s.Attributes, "pacedhttp.pacing.wait.duration"))
	if s.SpanKind != trace.SpanKindClient {
		wait = 0 // the call's is a sum
	}
	start := min(w.column(s.StartTime), w.barWidth-1)
	slot := min(w.column(s.StartTime.Add(-wait)), start)
	end := max(w.column(s.EndTime.Add(w.lasted/time.Duration(w.barWidth)/2)), start+1)

	glyph := map[trace.SpanKind]string{trace.SpanKindClient: "█", trace.SpanKindServer: "▒"}[s.SpanKind]
	if glyph == "" {
		glyph = "━"
	}
	return strings.Repeat(" ", slot) + strings.Repeat("┈", start-slot) +
		w.paint(s, strings.Repeat(glyph, end-start)) + strings.Repeat(" ", w.barWidth-end)
}

// column returns the column of the time axis that t falls into.
func (w waterfall) column(t time.Time) int {
	if w.lasted <= 0 {
		return 0
	}
	return min(max(0, int(t.Sub(w.began)*time.Duration(w.barWidth)/w.lasted)), w.barWidth)
}

// paint colours a bar: red for an error, green for an attempt that was none.
func (w waterfall) paint(s tracetest.SpanStub, bar string) string {
	switch {
	case !w.color:
		return bar
	case s.Status.Code == codes.Error:
		return "\x1b[31m" + bar + "\x1b[0m"
	case s.SpanKind == trace.SpanKindClient:
		return "\x1b[32m" + bar + "\x1b[0m"
	default:
		return bar
	}
}

// shown are the attributes that a line has room for, and their names there.
var shown = [...]struct {
	key  attribute.Key
	name string
}{
	{"http.response.status_code", ""},
	{"http.request.resend_count", "resend"},
	{"pacedhttp.attempts", "attempts"},
	{"pacedhttp.pacing.wait.duration", "waited"},
	{"pacedhttp.retry.delay", "backed off"},
	{"pacedhttp.reason", "reason"},
	{"pacedhttp.fallback.used", "fallback"},
	{"error.type", "error"},
}

func notes(s tracetest.SpanStub) string {
	var b strings.Builder
	for _, a := range shown {
		value := find(s.Attributes, a.key)
		text := fmt.Sprint(value.AsInterface())
		if value.Type() == attribute.FLOAT64 {
			text = round(seconds(value)).String()
		}
		if value.AsInterface() == nil || text == "0s" {
			continue
		}
		b.WriteString("  ")
		if a.name != "" {
			b.WriteString(a.name + " ")
		}
		b.WriteString(text)
	}
	return b.String()
}

func find(attrs []attribute.KeyValue, key attribute.Key) attribute.Value {
	for _, a := range attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func seconds(v attribute.Value) time.Duration {
	return time.Duration(v.AsFloat64() * float64(time.Second))
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
