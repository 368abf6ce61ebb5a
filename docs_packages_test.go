package pacedhttp_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Who searches for "rate limit" or "retry" finds the packages: pkg.go.dev shows the first sentence
// of each.
func TestSynopsesSayWhatPeopleSearchFor(t *testing.T) {
	for folder, words := range map[string][]string{
		".": {"rate limiting", "retry", "HTTP"}, "pacer": {"rate limiter", "retries"}, "quota": {"rate limits", "retry"},
		"retrypolicy": {"retry", "rate limit"}, "debug": {"rate limits"}, "otel": {"rate limiting", "retries", "OpenTelemetry"},
	} {
		t.Run(folder, func(t *testing.T) {
			synopsis := ""
			for _, file := range parsed(t, folder, "*.go") {
				if file.Doc != nil && !strings.HasSuffix(file.Name.Name, "_test") {
					synopsis = new(doc.Package).Synopsis(file.Doc.Text())
				}
			}
			for _, word := range words {
				if !strings.Contains(synopsis, word) {
					t.Errorf("no %q in %q", word, synopsis)
				}
			}
		})
	}
}

// An Example has all it uses in its own file: so pkg.go.dev shows it whole, as a program.
func TestEveryExampleShowsAllItUses(t *testing.T) {
	for _, folder := range []string{".", "pacer", "pacer/redispacer", "quota", "retrypolicy", "debug", "otel"} {
		t.Run(folder, func(t *testing.T) {
			var names []string
			for _, file := range parsed(t, folder, "*_test.go") {
				for _, e := range doc.Examples(file) {
					names = append(names, e.Name)
					if e.Play == nil {
						t.Errorf("Example%s uses what is declared elsewhere", e.Name)
					}
				}
			}
			if !slices.Contains(names, "") {
				t.Error("there is no Example of the package")
			}
		})
	}
}

// parsed skips the test where the folder is not there: a module of its own is not part of this
// one's archive.
func parsed(t *testing.T, folder, pattern string) (files []*ast.File) {
	if _, err := os.Stat(folder); err != nil {
		t.Skip("a module of its own, which is not part of this one's archive")
	}
	paths, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
