package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryTestIsReadThatPassedFailedWasSkippedOrNeverEnded(t *testing.T) {
	got, err := readEvents(strings.NewReader(`
{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB/of_it"}
{"Action":"fail","Package":"p","Test":"TestB/of_it"}
{"Action":"skip","Package":"q","Test":"TestA"}
{"Action":"run","Package":"q","Test":"TestHangs"}
{"Action":"fail","Package":"q"}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"p TestA": "pass", "p TestB/of_it": "fail", "q TestA": "skip", "q TestHangs": "fail"}
	if len(got) != len(want) {
		t.Errorf("read %v", got)
	}
	for name, action := range want {
		if got[name] != action {
			t.Errorf("%s: %q, want %q", name, got[name], action)
		}
	}
	if n := (result{tests: got}).passed(); n != 1 {
		t.Errorf("%d passed, want 1", n)
	}
}

func TestDifferencesNameTestsThatEndedInAnotherWay(t *testing.T) {
	a := result{tests: map[string]string{"p Same": "pass", "p Worse": "pass", "p Gone": "fail"}}
	b := result{tests: map[string]string{"p Same": "pass", "p Worse": "fail", "p New": "skip"}}
	want := []string{"p Gone: not run, was fail", "p New: skip, was not run", "p Worse: fail, was pass"}
	if got := a.differences(b); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The hooks must fit the Go that runs the tests, or nothing is beneath anything.
func TestHooksFitThisGo(t *testing.T) {
	dir := t.TempDir()
	goroot, err := output(t.Context(), dir, "env", "GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeOverlay(dir, goroot); err != nil {
		t.Fatal(err)
	}
	for _, h := range hooks {
		name := filepath.Join(dir, h.file)
		if _, err := parser.ParseFile(token.NewFileSet(), name, nil, 0); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(name); err != nil || !strings.Contains(string(text), h.new) {
			t.Errorf("%s lacks a hook; %v", h.file, err)
		}
	}
}

func TestOtherGoIsNamed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "client.go")
	if err := os.WriteFile(name, []byte("package http"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := edit(name, "func", "func"); err == nil || !strings.Contains(err.Error(), "another than the one that suites knows") {
		t.Errorf("got %v", err)
	}
}

func TestChainIsOfThePackageUnderTest(t *testing.T) {
	dir := t.TempDir()
	if err := writeChain(dir, "github"); err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "zz_pacedhttp_test.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Name.Name; got != "github" {
		t.Errorf("package %s, want github", got)
	}
}
