package demo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/timeline"
)

const ms = time.Millisecond

func TestProgressIsOneLineOnATerminalAndAFewElsewhere(t *testing.T) {
	line := func(done int) string {
		return fmt.Sprintf("  %d of 8 calls answered, 2 attempts, 1 rejected, 0.0%ds", done, done)
	}
	everyLine := ""
	for done := 1; done <= 8; done++ {
		everyLine += "\r" + line(done) + "     "
	}
	for _, tt := range []struct {
		name string
		live bool
		want string
	}{
		{"elsewhere", false, line(2) + "\n" + line(4) + "\n" + line(6) + "\n" + line(8) + "\n"},
		{"on a terminal", true, everyLine + "\n"},
	} {
		var out strings.Builder
		s := Screen{Writer: &out, Live: tt.live, Width: 60}
		for done := 1; done <= 8; done++ {
			s.Progress(Step{Record{Seen: []Arrival{{Status: 200}, {Status: 429}}}, done, 8, time.Duration(done) * 10 * ms})
		}
		if out.String() != tt.want {
			t.Errorf("%s: got\n%q, want\n%q", tt.name, out.String(), tt.want)
		}
	}
}

func TestAnAbortedLineIsLeftOnATerminal(t *testing.T) {
	for live, want := range map[bool]string{false: "", true: "\n"} {
		var out strings.Builder
		Screen{Writer: &out, Live: live}.Abort()
		if out.String() != want {
			t.Errorf("live %t: %q, want %q", live, out.String(), want)
		}
	}
}

func TestThePictureShowsEachAttemptInTheRowOfItsCall(t *testing.T) {
	began := time.Now()
	at := func(d time.Duration, call, status int) Arrival { return Arrival{call, began.Add(d), status} }
	calls := []timeline.Call{{Label: "call 1", End: time.Second}, {Label: "call 2", End: 4 * time.Second}}
	cfg := Config{Quota: 2, Period: time.Second}
	p := Screen{Width: 48}.Picture(cfg, began, calls, Record{Seen: []Arrival{
		at(0, 2, 503), at(time.Second, 1, 200), at(4*time.Second, 2, 429),
		at(0, 3, 200), at(0, 0, 200), // of nobody we know
	}})
	const want = `
call 1 ┈┈┈┈┈┈┈┈┈┈●
call 2 ▲┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈×
       ┴─────────┴─────────┴─────────┴─────────┴
       0s        1s        2s        3s
   > 2 ▄▄▄▄▄▄▄▄▄▄
server ██████████▄▄▄▄▄▄▄▄▄▄                    ▄
       in the last 1s:   at most 3 requests
       quota, one row: 2
       ● ok   ▲ 503   × 429   ┈ waiting
`
	if got := "\n" + timeline.Draw(p); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
