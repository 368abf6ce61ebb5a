package pacedhttp_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest    = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	declaredTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// Every guarantee that docs/guarantees.md lists names tests of its package, and they exist.
func TestEveryGuaranteeHasItsTest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]string{"pacedhttp": ".", "pacer": "pacer", "quota": "quota", "retrypolicy": "retrypolicy", "pacer/redispacer": "pacer/redispacer", "otel": "otel", "debug": "debug"}
	sections := strings.Split(string(text), "\n## ")
	for _, section := range sections[1:] {
		title, body, _ := strings.Cut(section, "\n")
		folder, known := folders[title]
		delete(folders, title)
		if !known {
			if title != "Not promised" || namedTest.MatchString(body) {
				t.Errorf("%q is no package, and names tests", title)
			}
			continue
		}
		t.Run(title, func(t *testing.T) { checkGuarantees(t, folder, body) })
	}
	for title := range folders {
		t.Errorf("there is no section %q", title)
	}
}

func checkGuarantees(t *testing.T, folder, body string) {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		t.Skip("a module of its own, which is not part of this one's archive")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declaredTest.FindAllSubmatch(source, -1) {
			declared[string(m[1])] = true
		}
	}
	rows := 0
	for row := range strings.Lines(body) {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| guarantee ") || strings.HasPrefix(row, "| --- ") {
			continue
		}
		rows++
		if !namedTest.MatchString(row) {
			t.Errorf("no test: %s", row)
		}
	}
	for _, m := range namedTest.FindAllStringSubmatch(body, -1) {
		if !declared[m[1]] {
			t.Errorf("%s has no %s", folder, m[1])
		}
	}
	if rows == 0 {
		t.Error("no guarantee")
	}
}
