package quota_test

import (
	"flag"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/quota"
)

// The corpus is testdata/*.txt: sets of headers as vendors document them or as people
// quote them in public, values only. Each set is a block of lines:
//
//	## vendor: what it shows
//	from: where it stands, in words
//	now: the moment the answer came; the Date of the set if this is left out
//	header: value
//	= what is read of it
//
// A line of what is read is a State, "name unit remaining/limit reset window", with a
// dash for what was not said, or the delay: "after 30s", "after -" if none was asked for.
type sample struct {
	title, from string
	now         time.Time
	header      http.Header
	want        []string
}

var update = flag.Bool("update", false, "write what is read into the corpus; to be reviewed line by line")

func TestCorpus(t *testing.T) {
	count := 0
	for _, file := range corpusFiles(t) {
		var out strings.Builder
		for block := range blocks(t, file) {
			s := parseSample(t, block)
			count++
			got := s.read()
			if !slices.Equal(got, s.want) && !*update {
				t.Errorf("%s: %s (%s) is read as\n%s\nwant\n%s", filepath.Base(file), s.title, s.from,
					strings.Join(got, "\n"), strings.Join(s.want, "\n"))
			}
			head, _, _ := strings.Cut(block, "\n= ")
			fmt.Fprintf(&out, "%s\n= %s\n\n", head, strings.Join(got, "\n= "))
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.TrimSuffix(out.String(), "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if count < 150 {
		t.Errorf("%d sets of headers, want at least 150", count)
	}
}

// TestCorpusInLongAnswers: among many other headers the sets mean the same, but for
// those that have none of the usual headers.
func TestCorpusInLongAnswers(t *testing.T) {
	unusual := map[string]bool{}
	for _, title := range []string{
		"Anthropic: another zone", // quoted in part
		"Brevo: a prefix of its own",
		"Fastly: an hour of API calls",
		"HubSpot: a day and a second", // of 2018
		"Kong: responses that count by name",
		"Sentry: requests in flight have no dash",
	} {
		unusual[title] = true
	}
	for _, file := range corpusFiles(t) {
		for block := range blocks(t, file) {
			s := parseSample(t, block)
			for i := range 12 {
				s.header.Set("X-Other-"+strconv.Itoa(i), "0")
			}
			if got := s.read(); slices.Equal(got, s.want) == unusual[s.title] {
				t.Errorf("%s: in a long answer it is read as %q, alone as %q", s.title, got, s.want)
			}
		}
	}
}

func corpusFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

func blocks(t *testing.T, file string) iter.Seq[string] {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n")
}

func (s sample) read() (lines []string) {
	orDash := func(v any) string {
		if text := fmt.Sprint(v); text != "" && text != "0" && text != "0s" {
			return text
		}
		return "-"
	}
	for _, q := range quota.Read(s.header, s.now) {
		lines = append(lines, fmt.Sprintf("%s %s %d/%s %s %s",
			orDash(q.Name), orDash(q.Unit), q.Remaining, orDash(q.Limit), orDash(q.Reset), orDash(q.Window)))
	}
	after := "-"
	if d, ok := quota.RetryAfter(s.header, s.now); ok {
		after = d.String()
	}
	return append(lines, "after "+after)
}

func parseSample(t *testing.T, block string) sample {
	t.Helper()
	s := sample{header: http.Header{}}
	for line := range strings.SplitSeq(block, "\n") {
		if want, ok := strings.CutPrefix(line, "= "); ok {
			s.want = append(s.want, want)
			continue
		}
		if title, ok := strings.CutPrefix(line, "## "); ok {
			s.title = title
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		var err error
		switch {
		case !ok:
			t.Fatalf("%s: %q is no line of a set", s.title, line)
		case key == "from":
			s.from = value
		case key == "now":
			s.now, err = time.Parse(time.RFC3339, value)
		default:
			s.header.Add(key, value)
			if date := s.header.Get("Date"); date != "" && s.now.IsZero() {
				s.now, err = http.ParseTime(date)
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", s.title, err)
		}
	}
	if s.title == "" || s.from == "" {
		t.Fatalf("%q has no title or does not say where it is from", block)
	}
	if s.now.IsZero() {
		s.now = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) // it does not matter
	}
	return s
}
