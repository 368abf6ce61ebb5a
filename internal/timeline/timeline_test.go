package timeline

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ms = time.Millisecond
	s  = time.Second
)

// width leaves 41 columns for the time, so that a column is 100 ms where a picture lasts 4 s.
const width = 48

// compare reports the whole picture where it differs: a line alone says little.
func compare(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestARowForEachCallAMarkForEachAttempt(t *testing.T) {
	compare(t, Draw(Picture{
		Width: width,
		Calls: []Call{
			{Label: "call 1", End: 10 * ms, Attempts: []Attempt{{0, OK}}},
			{Label: "call 2", End: 3010 * ms, Attempts: []Attempt{{1 * s, Unavailable}, {2 * s, Throttled}, {3 * s, OK}}},
			{Label: "call 3", Begin: 1 * s, End: 4 * s, Attempts: []Attempt{{4 * s, Failed}}},
			{Label: "call 4", Begin: 2 * s, End: 2 * s, Attempts: []Attempt{{2 * s, Sent}}},
		},
	}), `
call 1 ●
call 2 ┈┈┈┈┈┈┈┈┈┈▲┈┈┈┈┈┈┈┈┈×┈┈┈┈┈┈┈┈┈●
call 3           ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈!
call 4                     ○
       ┴─────────┴─────────┴─────────┴─────────┴
       0s        1s        2s        3s
       ○ sent   ● ok   ▲ 503   × 429   ! error
       ┈ waiting
`)
}

func TestTheLoadRisesAboveItsRowWhereTheQuotaWasExceeded(t *testing.T) {
	compare(t, Draw(Picture{
		Width:    width,
		Quota:    2,
		Window:   s,
		Arrivals: []time.Duration{4 * s, 3 * s, 0, 1 * s, 1100 * ms, 1200 * ms, 2 * s, 2900 * ms}, // in no order
	}), `
       ┴─────────┴─────────┴─────────┴─────────┴
       0s        1s        2s        3s
   > 2             ▄▄▄▄▄▄▄▄▄
server ▄▄▄▄▄▄▄▄▄▄▄███████████▄▄▄▄▄▄▄██████████▄▄
       in the last 1s:   at most 3 requests
       quota, one row: 2
`)
}

func TestAWindowIsHalfOpen(t *testing.T) {
	at := []time.Duration{0, 0, 1*s - 1, 1 * s}
	for _, tt := range []struct {
		end  time.Duration
		want int
	}{
		{-1, 0}, {0, 2}, {1*s - 1, 3}, {1 * s, 2}, {2*s - 2, 2}, {2*s - 1, 1}, {2 * s, 0},
	} {
		if got := inWindow(at, tt.end, s); got != tt.want {
			t.Errorf("in the window before %v: %d arrivals, want %d", tt.end, got, tt.want)
		}
	}
}

func TestABarIsFullOnlyWhenTheQuotaIs(t *testing.T) {
	const quota = 100
	for n, want := range map[int]rune{-3: 0, 0: 0, 1: '▁', 50: '▄', 99: '▇', 100: '█', 250: '█'} {
		if got := bar(n, quota, false).glyph; got != want {
			t.Errorf("%d of %d is drawn as %q, want %q", n, quota, got, want)
		}
	}
}

func TestALoadManyTimesTheQuotaStaysFourRowsHigh(t *testing.T) {
	got := Draw(Picture{Quota: 1, Window: s, Arrivals: make([]time.Duration, 1000)})
	if rows := strings.Count(got, "█"); rows == 0 || strings.Count(got, "\n") != 2+maxLoadRows+1 {
		t.Errorf("want %d rows of load:\n%s", maxLoadRows, got)
	}
	if !strings.Contains(got, "at most 1000 ") {
		t.Errorf("the busiest window is not told:\n%s", got)
	}
}

func TestOfMarksInOneColumnTheWorstIsDrawn(t *testing.T) {
	all := []Outcome{Sent, OK, Unavailable, Throttled, Failed}
	for i, worst := range all {
		for j, other := range all[:i+1] {
			for _, pair := range [][2]Outcome{{worst, other}, {other, worst}} {
				line := strings.SplitN(Draw(Picture{Calls: []Call{{
					End:      s,
					Attempts: []Attempt{{At: 0, Outcome: pair[0]}, {At: ms, Outcome: pair[1]}},
				}}}), "\n", 2)[0]
				if got, want := []rune(strings.TrimLeft(line, " "))[0], outcomeCells[worst].glyph; got != want {
					t.Errorf("%d over %d: got %q, want %q", i, j, got, want)
				}
			}
		}
	}
}

func TestSuccessIsMarkedByTheProcessThatMadeTheCall(t *testing.T) {
	compare(t, Draw(Picture{
		Width: width,
		Calls: []Call{
			{Label: "1", Process: "beta", Attempts: []Attempt{{0, Unavailable}, {2 * s, OK}}, End: 2 * s},
			{Label: "2", Process: "alpha", Begin: 1 * s, Attempts: []Attempt{{3 * s, OK}, {4 * s, OK}}, End: 4 * s},
		},
	}), `
     1 ▲┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈b
     2           ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈a┈┈┈┈┈┈┈┈┈a
       ┴─────────┴─────────┴─────────┴─────────┴
       0s        1s        2s        3s
       ▲ 503   a ok, by alpha   b ok, by beta
       ┈ waiting
`)
}

func TestNothingToDrawIsAnEmptyAxis(t *testing.T) {
	compare(t, Draw(Picture{Width: width, Quota: 5, Window: s}), `
       ┴───────┴───────┴───────┴───────┴───────┴
       0s      0.2s    0.4s    0.6s    0.8s
server
       in the last 1s:   at most 0 requests
       quota, one row: 5
`)
}

func TestCallsWithoutDurationAreDrawn(t *testing.T) {
	compare(t, Draw(Picture{Width: width, Calls: []Call{{Label: "now", Attempts: []Attempt{{0, OK}}}, {Label: "none"}}}), `
   now ●
  none ┈
       ┴───────┴───────┴───────┴───────┴───────┴
       0s      0.2s    0.4s    0.6s    0.8s
       ● ok   ┈ waiting
`)
}

func TestTimesOutsideThePictureAreDrawnAtItsEdge(t *testing.T) {
	compare(t, Draw(Picture{Width: width, Calls: []Call{{
		Label: "early", Begin: -1 * s, End: 2 * s, Attempts: []Attempt{{-1 * s, OK}, {4 * s, Outcome(99)}},
	}}}), `
 early ●┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈                   !
       ┴─────────┴─────────┴─────────┴─────────┴
       0s        1s        2s        3s
       ● ok   ! error   ┈ waiting
`)
}

func TestLongLabelsAreCut(t *testing.T) {
	compare(t, Draw(Picture{Width: 54, Calls: []Call{
		{Label: "exactly a 12", End: 4 * s},
		{Label: "größere Überschrift", End: 4 * s},
	}}), `
exactly a 12 ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
größere Übe… ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
             ┴─────────┴─────────┴─────────┴─────────┴
             0s        1s        2s        3s
             ┈ waiting
`)
}

func TestRowsBeyondMaxRowsAreOnlyMentioned(t *testing.T) {
	got := Draw(Picture{MaxRows: 2, Calls: make([]Call, 100)})
	if !strings.Contains(got, "… and 98 more calls\n") || strings.Count(got, "\n") != 2+1+2+1 {
		t.Errorf("want two rows and a remark:\n%s", got)
	}
}

func TestNoLineIsWiderThanThePicture(t *testing.T) {
	for _, w := range []int{-1, 0, 1, 40, 41, 80, 200} {
		want := max(w, minWidth)
		if w == 0 {
			want = 80
		}
		for _, last := range []time.Duration{1, ms, 999 * ms, 7 * s, time.Hour, 1000 * time.Hour} {
			p := Picture{
				Width:    w,
				Arrivals: make([]time.Duration, 1_000),
				Quota:    1_000_000,
				Window:   last,
				Calls:    []Call{{Label: "the longest label", End: last, Attempts: []Attempt{{last, OK}}}},
			}
			for i := range 10 {
				p.Calls = append(p.Calls, Call{Process: fmt.Sprintf("%d of many processes", i)})
			}
			got := Draw(p)
			row, _, _ := strings.Cut(got, "\n")
			if n := utf8.RuneCountInString(row); n != want {
				t.Errorf("width %d: the last mark of %v is in column %d, want %d", w, last, n, want)
			}
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > want {
					t.Errorf("width %d, %v: a line of %d columns: %s", w, last, n, line)
				}
			}
		}
	}
}

func TestColorsSurroundTheMarksAndNothingElse(t *testing.T) {
	p := Picture{
		Calls: []Call{
			{Label: "call", End: s, Attempts: []Attempt{{0, OK}, {s, Throttled}}},
			{Label: "call", Process: "x", End: s, Attempts: []Attempt{{0, OK}}},
		},
		Arrivals: []time.Duration{0, 0, s}, Quota: 1, Window: s,
	}
	bare := Draw(p)
	p.Color = true
	colored := Draw(p)
	for _, want := range []string{"\x1b[32m●\x1b[0m", "\x1b[31m×\x1b[0m", "\x1b[32mx\x1b[0m"} {
		if !strings.Contains(colored, want) {
			t.Errorf("no %q in %q", want, colored)
		}
	}
	for _, code := range []style{dim, red, green} {
		colored = strings.ReplaceAll(colored, fmt.Sprintf("\x1b[%sm", code), "")
	}
	compare(t, strings.ReplaceAll(colored, "\x1b[0m", ""), bare)
}

func TestOutcomeOfAStatus(t *testing.T) {
	for status, want := range map[int]Outcome{
		0: Failed, 200: OK, 204: OK, 304: OK, 400: Failed, 404: Failed, 429: Throttled, 500: Unavailable, 503: Unavailable, 600: Failed,
	} {
		if got := OutcomeOf(status); got != want {
			t.Errorf("OutcomeOf(%d) = %d, want %d", status, got, want)
		}
	}
}

func ExampleDraw() {
	fmt.Print(Draw(Picture{
		Width: 44,
		Calls: []Call{
			{Label: "log in", End: 20 * time.Millisecond, Attempts: []Attempt{{At: 0, Outcome: OK}}},
			{Label: "upload", End: 2 * time.Second, Attempts: []Attempt{
				{At: 500 * time.Millisecond, Outcome: OutcomeOf(503)},
				{At: 2 * time.Second, Outcome: OutcomeOf(200)},
			}},
		},
	}))
	// Output:
	// log in ●
	// upload ┈┈┈┈┈┈┈┈┈▲┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈●
	//        ┴────────┴────────┴────────┴────────┴
	//        0s       0.5s     1s       1.5s
	//        ● ok   ▲ 503   ┈ waiting
}
