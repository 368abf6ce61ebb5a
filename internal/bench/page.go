package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"text/template"
	"time"
)

// A page is docs/benchmarks.md.
type page struct {
	Machine  string
	Tables   []table
	Limiters string // how they are set up
	Chains   string
}

var (
	//go:embed page.tmpl
	pageText string
	//go:embed limiters.go
	limitersSource string
	//go:embed chains.go
	chainsSource string
)

// write writes the page and its charts into a folder.
func (p page) write(docs string) error {
	if _, err := os.Stat(docs); err != nil {
		return err
	}
	charts := filepath.Join(docs, "benchmarks")
	if err := os.MkdirAll(charts, 0o755); err != nil {
		return err
	}
	for _, t := range p.Tables {
		if len(t.Rows) == 0 {
			continue
		}
		if err := writeFile(filepath.Join(charts, t.Chart.Name+".svg"), t.draw); err != nil {
			return err
		}
	}
	p.Limiters, p.Chains = code(limitersSource), code(chainsSource)
	text, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := text.Execute(&out, p); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.md"), out.Bytes(), 0o644)
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// code is what stands behind the imports of a source.
func code(source string) string {
	_, code, _ := strings.Cut(source, "\n)\n\n")
	return strings.TrimSpace(code)
}

// machine names what the figures are of: the machine, the Go and the libraries.
func machine() string {
	lines := []string{
		time.Now().UTC().Format("2 January 2006"),
		runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + ", " + fmt.Sprintf("%d cores", runtime.NumCPU()),
	}
	if model := processor(); model != "" {
		lines[1] += " of " + model
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if isCompared.MatchString(m.Path) {
				lines = append(lines, m.Path+" "+m.Version)
			}
		}
	}
	return strings.Join(lines, "; ")
}

var isCompared = regexp.MustCompile(`^(golang\.org/x/time|go\.uber\.org/ratelimit|github\.com/(PuerkitoBio/rehttp|failsafe-go/failsafe-go|hashicorp/go-retryablehttp|go-redis/redis_rate/.*))$`)

// processor returns the model's name where the system tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "" // it is not Linux
	}
	if name := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(info); name != nil {
		return string(name[1])
	}
	return ""
}
