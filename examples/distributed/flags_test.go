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
		{"-redis localhost", `invalid value "localhost" for flag -redis: must be host:port, such as 127.0.0.1:6379`},
		{"-redis localhost:", `invalid value "localhost:" for flag -redis: must be host:port, such as 127.0.0.1:6379`},
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
		"share one quota", "-procs N", "(default 4)", "all processes together", "each makes its calls", "Nth call", "-redis host:port",
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
