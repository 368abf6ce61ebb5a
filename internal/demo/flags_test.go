package demo

import (
	"bytes"
	"flag"
	"strings"
	"testing"
	"time"
)

// parse parses flags the defaults of which are a valid command line.
func parse(args string) (cfg Config, help string, err error) {
	cfg = Config{Calls: 20, Goroutines: 4, Quota: 5, Period: time.Second, Tolerance: 20 * time.Millisecond, FailEvery: 6}
	var out bytes.Buffer
	err = cfg.Parse(cfg.Flags("show"), "a show\n", strings.Fields(args), &out)
	return cfg, out.String(), err
}

func TestFlagsSetTheConfig(t *testing.T) {
	cfg, help, err := parse("-calls 1 -goroutines 2 -quota 3 -period 4s -tolerance 5ms -fail 0")
	if want := (Config{1, 2, 3, 4 * time.Second, 5 * time.Millisecond, 0}); err != nil || cfg != want || help != "" {
		t.Errorf("got %+v, %v, %q, want %+v", cfg, err, help, want)
	}
}

func TestABadFlagIsNamedWithItsValueAndWhatIsAllowed(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-quota 0", `invalid value "0" for flag -quota: must be a whole number from 1 to 1000`},
		{"-quota five", `invalid value "five" for flag -quota: must be a whole number from 1 to 1000`},
		{"-calls 10001", `invalid value "10001" for flag -calls: must be a whole number from 1 to 10000`},
		{"-goroutines -1", `invalid value "-1" for flag -goroutines: must be a whole number from 1 to 1000`},
		{"-fail -1", `invalid value "-1" for flag -fail: must be a whole number from 0 to 10000`},
		{"-period 1", `invalid value "1" for flag -period: must be a duration from 100ms to 1m0s, such as 500ms or 1s`},
		{"-period 99ms", `invalid value "99ms" for flag -period: must be a duration from 100ms to 1m0s, such as 500ms or 1s`},
		{"-period 61s", `invalid value "61s" for flag -period: must be a duration from 100ms to 1m0s, such as 500ms or 1s`},
		{"-tolerance 1s", `invalid value "1s" for flag -tolerance: must be shorter than -period, which is 1s`},
		{"now", `unexpected argument "now": only flags are allowed`},
		{"-speed 3", `flag provided but not defined: -speed`},
	} {
		_, _, err := parse(tt.args)
		if err == nil || err.Error() != tt.want {
			t.Fatalf("%s: %v, want %q", tt.args, err, tt.want)
		}
		var errs bytes.Buffer
		code := Refused("show", err, &errs)
		if want := "show: " + tt.want + " (-h explains the flags)\n"; code != 2 || errs.String() != want {
			t.Errorf("%s: exit code %d, %q, want 2, %q", tt.args, code, &errs, want)
		}
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	_, help, err := parse("-h")
	if err != flag.ErrHelp || !strings.HasPrefix(help, "a show\n") {
		t.Errorf("got %v, %q", err, help)
	}
	for _, want := range []string{
		"-calls N", "(default 20)", "-goroutines N", "(default 4)", "-quota N", "(default 5)",
		"-period length", "(default 1s)", "-tolerance length", "(default 20ms)", "-fail N", "(default 6)",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("no %q in:\n%s", want, help)
		}
	}
	var errs bytes.Buffer
	if code := Refused("show", err, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d, %q, want 0 and nothing", code, &errs)
	}
}
