package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A mode is how a suite is run.
type mode string

// The wrapper does nothing but to hand requests on: what fails beneath it fails for any
// RoundTripper that is not net/http's own.
var modes = []mode{"without us", "a bare wrapper", "retries off", "retries on"}

// A result is how the tests of a suite ended.
type result struct {
	mode
	tests map[string]string // "pass", "fail" or "skip" by package and name, subtests included
	sent  int               // requests that passed the chain
	again int               // of these, those that were not the first attempt
}

// run runs the suite in each mode.
func (s suite) run(ctx context.Context) ([]result, error) {
	scratch, err := os.MkdirTemp("", "suites")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	dir, overlay, err := s.prepare(ctx, scratch)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, m := range modes {
		r, err := s.test(ctx, m, dir, overlay, filepath.Join(scratch, "count"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// prepare makes a copy of the module with the chain in its tests.
func (s suite) prepare(ctx context.Context, scratch string) (dir, overlay string, err error) {
	checkout, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	source, err := output(ctx, filepath.Join(checkout, "examples", "sdks"), "list", "-m", "-f", "{{.Dir}}", s.module)
	if err != nil {
		return "", "", err
	}
	dir = filepath.Join(scratch, "module")
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return "", "", err
	}
	const own = "github.com/pacedhttp/pacedhttp"
	if _, err := output(ctx, dir, "mod", "edit", "-require="+own+"@v0.0.0", "-replace="+own+"="+checkout); err != nil {
		return "", "", err
	}
	tested, err := output(ctx, dir, append([]string{"list", "-mod=mod", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}\t{{.Name}}{{end}}"}, s.packages...)...)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(tested) {
		folder, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if err := writeChain(folder, name); err != nil {
			return "", "", err
		}
	}
	goroot, err := output(ctx, dir, "env", "GOROOT")
	if err != nil {
		return "", "", err
	}
	overlay, err = writeOverlay(scratch, goroot)
	return dir, overlay, err
}

// test runs the suite once. That tests fail is no error.
func (s suite) test(ctx context.Context, m mode, dir, overlay, count string) (result, error) {
	os.Remove(count)
	args := append([]string{"test", "-mod=mod", "-json", "-count=1", "-vet=off", "-timeout=10m", "-skip=" + s.skip, "-overlay=" + overlay}, s.packages...)
	cmd := command(ctx, dir, args...)
	cmd.Env = append(cmd.Env, "SUITES_MODE="+string(m), "SUITES_LEVEL="+string(s.level), "SUITES_COUNT="+count)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	events, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		return result{}, err
	}
	tests, err := readEvents(bytes.NewReader(events))
	if err != nil {
		return result{}, err
	}
	if len(tests) == 0 {
		return result{}, fmt.Errorf("no test ran:\n%s%s", complaints.Bytes(), events)
	}
	sends, _ := os.ReadFile(count) // there is none where nothing was sent
	return result{m, tests, len(sends), bytes.Count(sends, []byte("r"))}, nil
}

// readEvents reads what go test -json writes. A test that never ended has failed.
func readEvents(r io.Reader) (map[string]string, error) {
	tests := map[string]string{}
	for d := json.NewDecoder(r); ; {
		var event struct{ Action, Package, Test string }
		if err := d.Decode(&event); err == io.EOF {
			return tests, nil
		} else if err != nil {
			return nil, err
		}
		if event.Test == "" {
			continue
		}
		switch name := event.Package + " " + event.Test; event.Action {
		case "pass", "fail", "skip":
			tests[name] = event.Action
		case "run":
			tests[name] = "fail"
		}
	}
}

func (r result) passed() (n int) {
	for _, action := range r.tests {
		if action == "pass" {
			n++
		}
	}
	return n
}

// differences lists the tests that ended in another way in other, each with both.
func (r result) differences(other result) (names []string) {
	all := map[string]bool{}
	for name := range r.tests {
		all[name] = true
	}
	for name := range other.tests {
		all[name] = true
	}
	for name := range all {
		if a, b := r.tests[name], other.tests[name]; a != b {
			names = append(names, fmt.Sprintf("%s: %s, was %s", name, said(b), said(a)))
		}
	}
	slices.Sort(names)
	return names
}

// said is how a test ended.
func said(action string) string {
	if action == "" {
		return "not run"
	}
	return action
}

// output runs the go command and returns what it prints.
func output(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := command(ctx, dir, args...)
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		err = fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// command is the go command, on a module by itself.
func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd
}
