package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestProgressIsOneLineOnATerminalAndAFewElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name string
		live bool
		want string
	}{
		{"elsewhere", false, "  2 of 8 calls answered, 0 attempts, 0 rejected, 0.02s\n" +
			"  4 of 8 calls answered, 0 attempts, 0 rejected, 0.04s\n" +
			"  6 of 8 calls answered, 0 attempts, 0 rejected, 0.06s\n" +
			"  8 of 8 calls answered, 0 attempts, 0 rejected, 0.08s\n"},
		{"on a terminal", true, "\r  1 of 8 calls answered, 0 attempts, 0 rejected, 0.01s     " +
			"\r  2 of 8 calls answered, 0 attempts, 0 rejected, 0.02s     " +
			"\r  3 of 8 calls answered, 0 attempts, 0 rejected, 0.03s     " +
			"\r  4 of 8 calls answered, 0 attempts, 0 rejected, 0.04s     " +
			"\r  5 of 8 calls answered, 0 attempts, 0 rejected, 0.05s     " +
			"\r  6 of 8 calls answered, 0 attempts, 0 rejected, 0.06s     " +
			"\r  7 of 8 calls answered, 0 attempts, 0 rejected, 0.07s     " +
			"\r  8 of 8 calls answered, 0 attempts, 0 rejected, 0.08s     \n"},
	} {
		var out strings.Builder
		s := screen{out: &out, live: tt.live, width: 60}
		for done := 1; done <= 8; done++ {
			s.progress(step{done: done, calls: 8, took: time.Duration(done) * 10 * time.Millisecond})
		}
		if out.String() != tt.want {
			t.Errorf("%s: got\n%q, want\n%q", tt.name, out.String(), tt.want)
		}
	}
}

func TestTheSummaryComparesTheScenarios(t *testing.T) {
	var out strings.Builder
	at := func(statuses ...int) []arrival {
		var seen []arrival
		for _, s := range statuses {
			seen = append(seen, arrival{status: s})
		}
		return seen
	}
	screen{out: &out, width: 80}.summary(defaults(t, "-tolerance", "20ms"), []result{
		{
			scenario: scenario{title: "paced, drip", even: true},
			record:   record{seen: at(200, 503, 200), admitted: 3, busiest: 3},
			took:     400 * time.Millisecond,
			calls:    []call{{status: 200}, {status: 200, fallback: true}},
		},
		{
			scenario: scenario{title: "usual order"},
			record:   record{seen: at(200, 429, 429), admitted: 6, busiest: 12},
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

func TestThePictureShowsEachAttemptInTheRowOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var out strings.Builder
		screen{out: &out, width: 48}.picture(defaults(t, "-rate", "2"), result{
			record: record{seen: []arrival{
				{call: 2, at: began, status: 503},
				{call: 1, at: began.Add(time.Second), status: 200},
				{call: 2, at: began.Add(4 * time.Second), status: 429},
				{call: 3, at: began, status: 200}, // of nobody we know
			}},
			began: began,
			calls: []call{{begin: 0, end: time.Second}, {begin: 0, end: 4 * time.Second}},
		})
		const want = `
call 1 ┈┈┈┈┈┈┈┈┈┈●
call 2 ▲┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈×
       ┴─────────┴─────────┴─────────┴─────────┴
       0s        1s        2s        3s
server ██████████▄▄▄▄▄▄▄▄▄▄                    ▄
       in the last 1s:   at most 2 requests
       quota, one row: 2
       ● ok   ▲ 503   × 429   ┈ waiting
`
		if got := out.String(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestEverythingFitsEightyColumns(t *testing.T) {
	var out strings.Builder
	show := screen{out: &out, width: 80}
	cfg, err := parse(nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	show.intro(cfg)
	for _, s := range scenarios(cfg) {
		show.title(s)
	}
	playAll(t, cfg, func(t *testing.T, r result) {
		show.progress(step{r.record, len(r.calls), len(r.calls), r.took})
		show.picture(cfg, r)
		show.summary(cfg, []result{r})
	})
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
