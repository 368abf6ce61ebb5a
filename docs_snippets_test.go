package pacedhttp_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Where the code of the documentation is: in tests and examples, which are compiled and run.
var snippetSources = []string{".", "pacer", "retrypolicy", "debug", "examples/hello", "otel", "pacer/redispacer", "examples/sdks", "examples/recipes", "internal/bench"}

// A source is a file of Go that is tested, and what its examples print.
type source struct {
	path    string
	lines   []string // without indentation
	outputs []output
}

// An output is that of an example that ends at a line.
type output struct {
	end  int
	text string
}

// Every piece of Go in a page of the documentation stands in a file that is compiled, vetted and
// run, line by line; and what is said to be printed is what the example prints.
func TestEverySnippetOfTheDocumentationIsCompiledAndRun(t *testing.T) {
	sources := readSources(t)
	snippets := 0
	for _, page := range markdown(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var printed string
		var known bool
		for _, f := range fences(strings.ReplaceAll(string(text), "\r\n", "\n")) {
			switch {
			case f.language == "go":
				snippets++
				if printed, known = findSnippet(sources, f.text); !known && !slices.Contains(absent(), true) {
					t.Errorf("%s:%d: no tested file has this:\n%s", page, f.line, f.text)
				}
			case f.language == "" && f.follows && known && f.text != printed:
				t.Errorf("%s:%d: printed is\n%s", page, f.line, printed)
			}
		}
	}
	if snippets < 40 {
		t.Errorf("%d snippets: are they found?", snippets)
	}
}

// absent says of every folder of snippetSources whether it is missing, as modules of their own
// are from this one's archive.
func absent() (all []bool) {
	for _, folder := range snippetSources {
		_, err := os.Stat(folder)
		all = append(all, err != nil)
	}
	return all
}

func markdown(t *testing.T) (pages []string) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func readSources(t *testing.T) (all []source) {
	for _, folder := range snippetSources {
		paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasPrefix(filepath.Base(path), "docs_") {
				continue
			}
			all = append(all, readSource(t, path))
		}
	}
	return all
}

func readSource(t *testing.T, path string) source {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	s := source{path: path, lines: dedented(string(text))}
	for _, e := range doc.Examples(file) {
		s.outputs = append(s.outputs, output{files.Position(e.Code.End()).Line, e.Output})
	}
	if file.Name.Name == "main" { // what it prints is said by its test
		test, err := parser.ParseFile(token.NewFileSet(), filepath.Join(filepath.Dir(path), "main_test.go"), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range doc.Examples([]*ast.File{test}...) {
			s.outputs = append(s.outputs, output{len(s.lines), e.Output})
		}
	}
	return s
}

// findSnippet returns what the example prints in which a snippet stands. A line of the snippet
// that begins with "// …" stands for any number of lines.
func findSnippet(sources []source, snippet string) (printed string, found bool) {
	for _, s := range sources {
		begin, end := 0, 0
		for n, part := range split(dedented(snippet)) {
			at := index(s.lines[end:], part)
			if found = at >= 0; !found {
				break
			}
			if n == 0 {
				begin = at
			}
			end += at + len(part)
		}
		if !found {
			continue
		}
		for _, o := range s.outputs {
			if begin < o.end {
				return o.text, true
			}
		}
		return "", true
	}
	return "", false
}

// split returns the lines before, between and after those that leave something out.
func split(lines []string) (parts [][]string) {
	begin := 0
	for i, line := range lines {
		if strings.HasPrefix(line, "// …") {
			parts = append(parts, lines[begin:i])
			begin = i + 1
		}
	}
	return append(parts, lines[begin:])
}

func index(lines, part []string) int {
	for i := range len(lines) - len(part) + 1 {
		if slices.Equal(lines[i:i+len(part)], part) {
			return i
		}
	}
	return -1
}

// dedented returns lines without the white space around them, and without empty lines at the end.
func dedented(text string) []string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return lines
}

// A fence is a block of code in Markdown.
type fence struct {
	line           int
	language, text string
	follows        bool // nothing stands between it and the one before
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

func fences(text string) (all []fence) {
	last := 0
	for _, m := range fenced.FindAllStringSubmatchIndex(text, -1) {
		all = append(all, fence{
			line:     1 + strings.Count(text[:m[0]], "\n"),
			language: text[m[2]:m[3]],
			text:     text[m[4]:m[5]],
			follows:  strings.TrimSpace(text[last:m[0]]) == "",
		})
		last = m[1]
	}
	return all
}

var (
	linked  = regexp.MustCompile(`\]\(([^)# ]*)(#[^)]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// What the documentation links to within the repository is there, headings included.
func TestLinksOfTheDocumentationLeadSomewhere(t *testing.T) {
	for _, page := range markdown(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linked.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
			to, section := m[1], strings.TrimPrefix(m[2], "#")
			if strings.Contains(to, ":") {
				continue // another site
			}
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
			}
			if _, err := os.Stat(target); err != nil {
				if !slices.Contains(absent(), true) {
					t.Errorf("%s: %v", page, err)
				}
				continue
			}
			if section == "" {
				continue
			}
			body, err := os.ReadFile(target)
			if err != nil {
				t.Fatal(err)
			}
			known := false
			for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(string(body), ""), -1) {
				anchor := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")
				known = known || anchor == section
			}
			if !known {
				t.Errorf("%s: %s has no heading for #%s", page, target, section)
			}
		}
	}
}
