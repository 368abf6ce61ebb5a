package main

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMostIsTheFullestWindow(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		starts []time.Duration
		want   int
	}{
		{nil, 0},
		{[]time.Duration{5 * s}, 1},
		{[]time.Duration{0, s, 2 * s}, 1}, // a window's end is outside
		{[]time.Duration{0, s - 1, s, s + 1, 2 * s}, 3},
	} {
		if got := most(c.starts, s); got != c.want {
			t.Errorf("most of %v = %d, want %d", c.starts, got, c.want)
		}
	}
}

func TestEvenness(t *testing.T) {
	const ms = time.Millisecond
	within, held := evenness([]time.Duration{0, 10 * ms, 21 * ms, 40 * ms}, 10*ms)
	if within != 2./3 || held != 30./40 {
		t.Errorf("%v within a tenth, %v of the rate; want 2/3 and 3/4", within, held)
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", .1234: "0.12", 1.0349: "1.03", 99.96: "100.0", 87.23: "87.2", 1380.4: "1380"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func sample() page {
	t := table{Title: "Speed", About: "How fast.", Columns: []string{"a", "b"}, Unit: "ns", Chart: chart{Name: "speed", Title: "Speed & more", Column: 1, Limit: 3}}
	t.add("pacedhttp", 1, 2.5)
	t.add("another", 1000, 3)
	return page{Machine: "a machine", Tables: []table{t, {Title: "Redis", About: "Not measured."}}}
}

func TestThePageHasEachTableItsChartAndTheSetUps(t *testing.T) {
	dir := t.TempDir()
	if err := sample().write(dir); err != nil {
		t.Fatal(err)
	}
	read, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\na machine.\n", "\n## Speed\n\nHow fast.\n\n![Speed & more](benchmarks/speed.svg)\n\n| ns | a | b |\n| --- | ---: | ---: |\n| pacedhttp | 1 | 2.50 |\n",
		"\n## Redis\n\nNot measured.\n\n", "pacer.Drip(n, time.Second).Wait", "rehttp.NewTransport(base",
	} {
		if !strings.Contains(string(read), want) {
			t.Errorf("no %q in\n%s", want, read)
		}
	}
	if err := sample().write(filepath.Join(dir, "nowhere")); !os.IsNotExist(err) {
		t.Errorf("written where there are no docs: %v", err)
	}
}

func TestAChartNamesEachRowAndItsValue(t *testing.T) {
	var svg strings.Builder
	if err := sample().Tables[0].draw(&svg); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for d := xml.NewDecoder(strings.NewReader(svg.String())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			texts = append(texts, strings.TrimSpace(string(text)))
		}
	}
	for _, want := range []string{"pacedhttp", "another", "2.50", "3", "Speed & more"} {
		if !slices.Contains(texts, want) {
			t.Errorf("no %q among %q", want, texts)
		}
	}
}
