package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

func TestABadFlagIsNamedWithItsValueAndWhatIsAllowed(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-procs 0", `invalid value "0" for flag -procs: must be a whole number from 1 to 26`},
		{"-procs 27", `invalid value "27" for flag -procs: must be a whole number from 1 to 26`},
		{"-quota five", `invalid value "five" for flag -quota: must be a whole number from 1 to 1000`},
		{"-calls 10001", `invalid value "10001" for flag -calls: must be a whole number from 1 to 10000`},
		{"-goroutines -1", `invalid value "-1" for flag -goroutines: must be a whole number from 1 to 1000`},
		{"-fail -1", `invalid value "-1" for flag -fail: must be a whole number from 0 to 10000`},
		{"-period 1", `invalid value "1" for flag -period: must be a duration from 100ms to 1m0s, such as 500ms or 1s`},
		{"-period 61s", `invalid value "61s" for flag -period: must be a duration from 100ms to 1m0s, such as 500ms or 1s`},
		{"-tolerance 1s", `invalid value "1s" for flag -tolerance: must be shorter than -period, which is 1s`},
		{"-redis localhost", `invalid value "localhost" for flag -redis: must be host:port, such as 127.0.0.1:6379`},
		{"-redis localhost:", `invalid value "localhost:" for flag -redis: must be host:port, such as 127.0.0.1:6379`},
		{"now", `unexpected argument "now": only flags are allowed`},
		{"-speed 3", `flag provided but not defined: -speed`},
	} {
		var errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(tt.args), os.Stdout, &errs, noRedis); code != 2 {
			t.Errorf("%s: exit code %d, want 2", tt.args, code)
		}
		if got, want := errs.String(), "distributed: "+tt.want+" (-h explains the flags)\n"; got != want {
			t.Errorf("%s:\n%q, want\n%q", tt.args, got, want)
		}
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	var help bytes.Buffer
	if _, err := parse([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v, want %v", err, flag.ErrHelp)
	}
	for _, want := range []string{
		"share one quota", "-procs N", "(default 4)", "-goroutines N", "(default 3)", "-calls N", "(default 40)", "-quota N",
		"(default 8)", "-period length", "(default 1s)", "-tolerance length", "(default 20ms)", "-fail N", "(default 9)", "-redis host:port",
	} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("no %q in:\n%s", want, &help)
		}
	}
	if code, stdout, stderr := runShow(t, noRedis, "-h"); code != 0 || stdout != help.String() || stderr != "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestNamesHaveAMarkEach(t *testing.T) {
	seen := make(map[byte]string)
	for _, name := range names {
		if other, ok := seen[name[0]]; ok {
			t.Errorf("%s and %s begin with the same letter", other, name)
		}
		seen[name[0]] = name
	}
}
