package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

const ms = time.Millisecond

// example is a show of two processes, whose second call failed once, and of somebody else's request.
func example() (config, result) {
	began := time.Now()
	at := func(d time.Duration, call, status int) demo.Arrival {
		return demo.Arrival{Call: call, At: began.Add(d), Status: status}
	}
	return config{Config: demo.Config{Calls: 3, Quota: 2, Period: time.Second, Tolerance: 20 * ms}, procs: 2}, result{
		Record: demo.Record{
			Seen: []demo.Arrival{
				at(0, 1, 200), at(0, 2, 503), at(1000*ms, 3, 200), at(1100*ms, 2, 429), at(1200*ms, 0, 200), at(2000*ms, 2, 200),
			},
			Admitted: 5, Busiest: 3,
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
	screen{demo.Screen{Writer: &out, Width: 49}}.picture(cfg, r)
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
	screen{demo.Screen{Writer: &out, Width: 80}}.summary(cfg, r)
	compare(t, out.String(), `

  process  calls  attempts  503  429  failed  round trips
    alpha      2         2    0    0       1            3
    bravo      1         3    1    1       0            5
      all      3         5    1    1       1            8

busiest      3 requests, of 2 allowed: the most the server counted in any
             980ms, the period less 20ms, as what starts a period apart
             may arrive closer
time         2.01s of at least 2.00s, in which the requests let in fit the quota
round trips  1.60 to Redis for each attempt: to reserve a start, or to be
             told when to ask for one that is far off
`)
}

func TestNothingIsWiderThanEightyColumns(t *testing.T) {
	var out strings.Builder
	s := screen{demo.Screen{Writer: &out, Width: 80}}
	for _, args := range [][]string{nil, {"-procs", "26", "-calls", "10000", "-quota", "1000", "-period", "1m"}} {
		cfg, err := parse(args, t.Output())
		if err != nil {
			t.Fatal(err)
		}
		r := result{calls: make([]call, cfg.Calls), roundTrips: make([]uint64, cfg.procs)}
		for i := range r.calls {
			at := time.Duration(i) * time.Minute
			r.calls[i] = call{begin: at, end: at, status: 200}
			r.Seen = append(r.Seen, demo.Arrival{Call: i + 1, At: r.began.Add(at), Status: 200})
		}
		s.intro(cfg, store{about: "miniredis in this process: no redis-server is on PATH"})
		s.Progress(demo.Step{Record: r.Record, Done: cfg.Calls, Calls: cfg.Calls, Took: 10_000 * time.Minute})
		s.picture(cfg, r)
		s.summary(cfg, r)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
