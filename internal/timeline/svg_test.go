package timeline

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var twoPanels = []Panel{
	{Title: "first & <best>", Note: "within", Picture: Picture{
		Calls: []Call{
			{End: 10 * ms, Attempts: []Attempt{{0, OK}}},
			{End: 4 * s, Attempts: []Attempt{{1 * s, Unavailable}, {4 * s, OK}}},
		},
		Arrivals: []time.Duration{4 * s, 0, 1 * s}, Quota: 2, Window: s,
	}},
	{Title: "second", Note: "too many", Picture: Picture{
		Calls:    []Call{{Begin: 2 * s, End: 2 * s, Attempts: []Attempt{{2 * s, Throttled}, {2 * s, Outcome(99)}}}},
		Arrivals: []time.Duration{2 * s, 2 * s, 2 * s, 2 * s}, Quota: 2, Window: s,
	}},
}

func TestSVGIsWellFormedAndSaysWhatItIs(t *testing.T) {
	got := SVG("a <description>", twoPanels...)
	var text []string
	for d := xml.NewDecoder(strings.NewReader(got)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, got)
		}
		if words, ok := token.(xml.CharData); ok {
			text = append(text, strings.TrimSpace(string(words)))
		}
	}
	all := strings.Join(text, "\n")
	for _, want := range []string{"a <description>", "first & <best>", "within", "second", "too many", "503", "429", "waiting", "prefers-color-scheme: dark"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

// marks returns where in an SVG the marks of an outcome are, but that of the legend.
func marks(svg string, o Outcome) (xs []string) {
	for _, m := range regexp.MustCompile(`<use href="#`+svgOutcomes[o]+`" x="([0-9.]+)"`).FindAllStringSubmatch(svg, -1) {
		xs = append(xs, m[1])
	}
	return xs[:max(0, len(xs)-1)]
}

func TestSVGHasAMarkForEachAttemptOnOneScaleOfTime(t *testing.T) {
	got := SVG("", twoPanels...)
	for o, want := range map[Outcome]string{
		OK:          "64.0 738.0",
		Unavailable: "232.5",
		Throttled:   "401.0",
		Failed:      "401.0",
		Sent:        "",
	} {
		if xs := strings.Join(marks(got, o), " "); xs != want {
			t.Errorf("%s: at %q, want %q", svgOutcomes[o], xs, want)
		}
	}
}

// One request of two in a window ends half a quota below the line, four of two a quota above.
func TestSVGShowsWhatIsOverTheQuota(t *testing.T) {
	got := SVG("", twoPanels...)
	lines := regexp.MustCompile(`<path d="M64 ([0-9.]+)H738.0" class="quota"/>`).FindAllStringSubmatch(got, -1)
	loads := regexp.MustCompile(`<path d="M64 [0-9.]+([^"]*)" class="over"`).FindAllStringSubmatch(got, -1)
	if len(lines) != 2 || len(loads) != 2 {
		t.Fatalf("%d lines of a quota and %d loads, want 2 of each", len(lines), len(loads))
	}
	for i, over := range []float64{-svgQuota / 2, svgQuota} {
		quota, highest := number(t, lines[i][1]), 1e9
		for _, m := range regexp.MustCompile(`V([0-9.]+)`).FindAllStringSubmatch(loads[i][1], -1) {
			highest = min(highest, number(t, m[1]))
		}
		if quota-highest != over {
			t.Errorf("panel %d: highest is %v, that is %v above the quota, want %v", i, highest, quota-highest, over)
		}
	}
}

func TestSVGOfNothing(t *testing.T) {
	if got := SVG("", Panel{}); !strings.Contains(got, "0.001s") {
		t.Errorf("no axis in\n%s", got)
	}
}

func number(t *testing.T, s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
