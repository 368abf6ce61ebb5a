package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const checkout = "../.."

// release runs the command, which has to succeed.
func release(t *testing.T, checkout string, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(checkout, args, &stdout, &stderr); code != 0 || stdout.Len()+stderr.Len() > 0 {
		t.Fatalf("release %v: exit code %d, %s%s", args, code, &stdout, &stderr)
	}
}

func TestABadFlagIsNamedWithItsValueAndWhatIsAllowed(t *testing.T) {
	const (
		badProxy   = `for flag -proxy: must be the folder that the module proxy goes to`
		badVersion = `for flag -version: must be a full version of major 0 or 1, such as v0.2.0 or v0.2.0-rc.1`
	)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, `invalid value "" ` + badProxy},
		{[]string{"-version", "v0.2.0"}, `invalid value "" ` + badProxy},
		{[]string{"-proxy", "DIR"}, `invalid value "" ` + badVersion},
		{[]string{"-proxy", "DIR", "-version", "0.2.0"}, `invalid value "0.2.0" ` + badVersion},
		{[]string{"-proxy", "DIR", "-version", "v0.2"}, `invalid value "v0.2" ` + badVersion},
		{[]string{"-proxy", "DIR", "-version", "v0.N.0"}, `invalid value "v0.N.0" ` + badVersion},
		{[]string{"-proxy", "DIR", "-version", "v2.0.0"}, `invalid value "v2.0.0" ` + badVersion},
		{[]string{"-proxy", "DIR", "-version", "v0.2.0+build"}, `invalid value "v0.2.0+build" ` + badVersion},
		{[]string{"-proxy", "DIR", "-version", "v0.2.0", "now"}, `unexpected argument "now": only flags are allowed`},
		{[]string{"-tag"}, `flag provided but not defined: -tag`},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(checkout, tt.args, &stdout, &stderr); code != 2 || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, %q, want 2 and nothing", tt.args, code, &stdout)
		}
		if got, want := stderr.String(), "release: "+tt.want+" (-h explains the flags)\n"; got != want {
			t.Errorf("%q:\n%q, want\n%q", tt.args, got, want)
		}
	}
	if _, err := os.Stat("DIR"); err == nil {
		t.Error("a bad command line wrote a proxy")
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(checkout, []string{"-h"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, %q, want 0 and nothing", code, &stderr)
	}
	for _, want := range []string{"as if the checkout were tagged", "-proxy DIR", "-version version"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in:\n%s", want, &stdout)
		}
	}
}

func TestTroubleIsExitCodeOneAndSaysWhatItWas(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"not the root of a checkout": {
			nil,
			[]string{"go.mod", "the command is run at the root of the checkout"},
		},
		"another module": {
			map[string]string{"go.mod": "module example.com/other\n"},
			[]string{"go.mod is of another module", "the command is run at the root of the checkout"},
		},
		"a library that requires what is not released": {
			map[string]string{
				"go.mod":      "module github.com/pacedhttp/pacedhttp\n",
				"LICENSE":     "Do.\n",
				"otel/go.mod": "module github.com/pacedhttp/pacedhttp/otel\nrequire github.com/pacedhttp/pacedhttp/internal/bench v0.1.0\n",
			},
			[]string{"requires github.com/pacedhttp/pacedhttp/internal/bench, which is not released", `["." "otel" "pacer/redispacer"]`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := []string{"-proxy", filepath.Join(t.TempDir(), "proxy"), "-version", "v0.2.0"}
			if code := run(writeFiles(t, tt.files), args, &stdout, &stderr); code != 1 || stdout.Len() > 0 {
				t.Errorf("exit code %d, %q, want 1 and nothing", code, &stdout)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("no %q in %q", want, &stderr)
				}
			}
		})
	}
}
