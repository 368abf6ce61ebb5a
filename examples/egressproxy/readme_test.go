package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheFileOfAllFieldsIsValidAndHasThem(t *testing.T) {
	text := strings.ReplaceAll(read(t, "egressproxy.yaml"), "redis.secret", "/dev/null")
	cfg, err := parseConfig("egressproxy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set := make(map[string]bool)
	for _, u := range cfg.Upstreams {
		of := reflect.ValueOf(*u)
		for i := range of.NumField() {
			name := of.Type().Field(i).Name
			set[name] = set[name] || !of.Field(i).IsZero()
		}
		of = reflect.ValueOf(u.Queue)
		for i := range of.NumField() {
			name := of.Type().Field(i).Name
			set[name] = set[name] || !of.Field(i).IsZero()
		}
	}
	for name, is := range set {
		if !is && name != "Forwarded" { // that is false
			t.Errorf("%s is set in no upstream", name)
		}
	}
	for _, key := range keys(t) {
		if !regexp.MustCompile(`\b` + key + `\b`).MatchString(text) {
			t.Errorf("%s is not in the file", key)
		}
	}
}

// keys are all that are known anywhere in a file, as its faults name them.
func keys(t *testing.T) (all []string) {
	t.Helper()
	const unknown = `{"?": 0, shutdown: {"?": 0}, redis: {"?": 0}, upstreams: [{"?": 0, outage: {"?": 0}, tenants: {"?": 0}, redis: {"?": 0}, retries: {"?": 0}, fallback: {"?": 0}}]}`
	_, err := parseConfig("", []byte(unknown))
	for _, list := range regexp.MustCompile(`must be one of (.*)`).FindAllStringSubmatch(fmt.Sprint(err), -1) {
		all = append(all, strings.Split(list[1], ", ")...)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) < 44 {
		t.Fatalf("only %d keys: %q", len(all), all)
	}
	return all
}

func TestTheReadmeKnowsEveryFieldAndProblem(t *testing.T) {
	text := read(t, "README.md")
	for _, key := range keys(t) {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("no field %s", key)
		}
	}
	for kind, p := range kinds {
		if row := fmt.Sprintf("| <a id=\"%s\">%s</a> | %d | ", kind, kind, p.Status); !strings.Contains(text, row) {
			t.Errorf("no row %q", row)
		}
	}
	if n := strings.Count(text, "<a id="); n != len(kinds) {
		t.Errorf("%d problems, want %d", n, len(kinds))
	}
}

// A field takes a restart where the README says so, and no other does.
func TestTheReadmeSaysWhatTakesARestart(t *testing.T) {
	text := read(t, "README.md")
	of := reflect.TypeFor[Queue]()
	fixed := make(map[string]bool)
	for i := range of.NumField() {
		fixed[of.Field(i).Tag.Get("name")] = true
	}
	_, upstreams, _ := strings.Cut(text, "Of each upstream:")
	rows := regexp.MustCompile("(?m)^\\| (`[^|]*) \\|.*\\| ([^|]*) \\|$").FindAllStringSubmatch(upstreams, -1)
	if len(rows) < 17 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		name := strings.Trim(row[1], "`")
		if says := strings.HasSuffix(row[2], "restart"); says != fixed[name] {
			t.Errorf("%s: the README says %q", name, row[2])
		}
	}
}
