package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const ms = time.Millisecond

// example is a show of two processes, whose second call failed once, and of somebody else's request.
func example() (config, result) {
	began := time.Now()
	at := func(d time.Duration, call, status int) arrival { return arrival{call, began.Add(d), status} }
	return config{procs: 2, calls: 3, quota: 2, period: time.Second, tolerance: 20 * ms}, result{
		record: record{
			seen: []arrival{
				at(0, 1, 200), at(0, 2, 503), at(1000*ms, 3, 200), at(1100*ms, 2, 429), at(1200*ms, 0, 200), at(2000*ms, 2, 200),
			},
			admitted: 5, busiest: 3,
		},
		began:      began,
		took:       2010 * ms,
		calls:      []call{{0, 10 * ms, 200, ""}, {0, 2010 * ms, 200, ""}, {10 * ms, 1010 * ms, 0, "boom"}},
		roundTrips: []uint64{3, 5},
	}
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestThePictureHasTheCallsInTheOrderOfTheirAnswers(t *testing.T) {
	var out strings.Builder
	cfg, r := example()
	screen{out: &out, width: 49}.picture(cfg, r)
	compare(t, out.String(), `

alpha 1 a
alpha 2 ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈a┈
bravo 1 ▲┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈×┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈b┈
        ┴────────┴─────────┴─────────┴─────────┴─
        0s       0.5s      1s        1.5s      2s
    > 2                        ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄
 server ████████████████████▄████████████████████
        in the last 980ms:   at most 3 requests
        quota, one row: 2
        ▲ 503   × 429   a ok, by alpha
        b ok, by bravo   ┈ waiting
`)
}

func TestTheSummaryIsPerProcessAndOfAll(t *testing.T) {
	var out strings.Builder
	cfg, r := example()
	screen{out: &out, width: 80}.summary(cfg, r)
	compare(t, out.String(), `

  process  calls  attempts  503  429  failed  round trips
    alpha      2         2    0    0       1            3
    bravo      1         3    1    1       0            5
      all      3         5    1    1       1            8

busiest      3 requests, of 2 allowed: the most the server counted in any
             980ms, the period less 20ms, as what starts a period apart
             may arrive closer
time         2.01s of at least 2.00s, in which the requests let in fit the quota
round trips  1.60 to Redis for each attempt: to reserve a start, and again
             shortly before one that is far off, in case of a pause
`)
}

func TestProgressIsOneLineOnATerminalAndAFewElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name string
		live bool
		want string
	}{
		{"elsewhere", false, "  2 of 4 calls answered, 0 attempts, 0 rejected, 0.02s\n" +
			"  4 of 4 calls answered, 0 attempts, 0 rejected, 0.04s\n"},
		{"on a terminal", true, "\r  2 of 4 calls answered, 0 attempts, 0 rejected, 0.02s     " +
			"\r  4 of 4 calls answered, 0 attempts, 0 rejected, 0.04s     \n"},
	} {
		var out strings.Builder
		s := screen{out: &out, live: tt.live, width: 60}
		for done := 2; done <= 4; done += 2 {
			s.progress(step{done: done, calls: 4, took: time.Duration(done) * 10 * ms})
		}
		if out.String() != tt.want {
			t.Errorf("%s: got\n%q, want\n%q", tt.name, out.String(), tt.want)
		}
	}
}

func TestNothingIsWiderThanEightyColumns(t *testing.T) {
	var out strings.Builder
	s := screen{out: &out, width: 80}
	for _, args := range [][]string{nil, {"-procs", "26", "-calls", "10000", "-quota", "1000", "-period", "1m"}} {
		cfg, err := parse(args, t.Output())
		if err != nil {
			t.Fatal(err)
		}
		r := result{calls: make([]call, cfg.calls), roundTrips: make([]uint64, cfg.procs)}
		for i := range r.calls {
			at := time.Duration(i) * time.Minute
			r.calls[i] = call{begin: at, end: at, status: 200}
			r.seen = append(r.seen, arrival{i + 1, r.began.Add(at), 200})
		}
		s.intro(cfg, store{about: "miniredis in this process: no redis-server is on PATH"})
		s.progress(step{record: r.record, done: cfg.calls, calls: cfg.calls, took: 10_000 * time.Minute})
		s.picture(cfg, r)
		s.summary(cfg, r)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
