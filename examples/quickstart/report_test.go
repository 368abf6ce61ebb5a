package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

func TestTheSummaryComparesTheScenarios(t *testing.T) {
	var out strings.Builder
	at := func(statuses ...int) []demo.Arrival {
		var seen []demo.Arrival
		for _, s := range statuses {
			seen = append(seen, demo.Arrival{Status: s})
		}
		return seen
	}
	screen{demo.Screen{Writer: &out, Width: 80}}.summary(defaults(t, "-tolerance", "20ms"), []result{
		{
			scenario: scenario{title: "paced, drip", even: true},
			Record:   demo.Record{Seen: at(200, 503, 200), Admitted: 3, Busiest: 3},
			took:     400 * time.Millisecond,
			calls:    []call{{status: 200}, {status: 200, fallback: true}},
		},
		{
			scenario: scenario{title: "usual order"},
			Record:   demo.Record{Seen: at(200, 429, 429), Admitted: 6, Busiest: 12},
			took:     1234567 * time.Microsecond,
			calls:    []call{{status: 200}, {status: 429}, {}},
		},
	})
	const want = `
               calls  attempts  busiest  429  fallbacks  failed   time  ideal
  paced, drip      2         3   3 of 5    0          1       0  0.40s  0.40s
  usual order      3         3  12 of 5    2          0       2  1.23s  1.00s

busiest    the most requests the server counted in any 980ms, of 5 allowed: the
           period less 20ms, as what starts a period apart may arrive closer
429        requests over the quota
fallbacks  calls that failed for good and were answered by the fallback
ideal      the least time in which the requests the server let in fit its quota
`
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestThePictureHasARowForEachCall(t *testing.T) {
	var began time.Time
	var out strings.Builder
	screen{demo.Screen{Writer: &out, Width: 48}}.picture(defaults(t, "-quota", "2"), result{
		Record: demo.Record{Seen: []demo.Arrival{
			{Call: 2, At: began, Status: 503},
			{Call: 1, At: began.Add(time.Second), Status: 200},
			{Call: 2, At: began.Add(4 * time.Second), Status: 429},
		}},
		began: began,
		calls: []call{{begin: 0, end: time.Second}, {begin: 0, end: 4 * time.Second}},
	})
	const want = `
call 1 ┈┈┈┈┈┈┈┈┈┈●
call 2 ▲┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈×
       ┴─────────┴─────────┴─────────┴─────────┴
       0s        1s        2s        3s
server ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄                    ▄
       in the last 1s:   at most 1 requests
       quota, one row: 2
       ● ok   ▲ 503   × 429   ┈ waiting
`
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestEverythingFitsEightyColumns(t *testing.T) {
	var out strings.Builder
	show := screen{demo.Screen{Writer: &out, Width: 80}}
	cfg, err := parse(nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	show.intro(cfg)
	for _, s := range scenarios(cfg) {
		show.title(s)
	}
	playAll(t, cfg, func(t *testing.T, r result) {
		show.Progress(demo.Step{Record: r.Record, Done: len(r.calls), Calls: len(r.calls), Took: r.took})
		show.picture(cfg, r)
		show.summary(cfg, []result{r})
	})
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
