// Bench compares pacedhttp with other libraries, in one run on one machine, and writes
// docs/benchmarks.md and its charts:
//
//	go run ./internal/bench          # prints the tables, some 3 minutes
//	go run ./internal/bench -quick   # the same in a tenth of that, to see that it works
//	go run ./internal/bench -write   # writes docs/benchmarks.md and docs/benchmarks/*.svg too
//
// Each library is set up as its own README does; limiters.go and chains.go are shown in the page.
// The same measurements are Go benchmarks, for benchstat:
//
//	cd internal/bench && go test -bench . -count 6 | tee new.txt && benchstat new.txt
//
// It is a module of its own so that nobody who uses pacedhttp depends on the others. What needs a
// redis-server on PATH is left out where there is none.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
)

// A section is one comparison: what it shows, and how it is measured.
type section struct {
	title   string
	measure func(effort) (table, error)
}

// The page, in the order of its sections.
var sections = []section{
	{"Strictness", strictness},
	{"Precision", precision},
	{"Cost of a start", contention},
	{"Cost of a request", overhead},
	{"Recovery from an outage", recovery},
	{"One quota over many processes", shared},
	{"Cost of a start to Redis", redisCost},
}

func main() {
	log.SetFlags(0)
	quick := flag.Bool("quick", false, "a tenth of the measurements: enough to see that it works")
	write := flag.Bool("write", false, "write docs/benchmarks.md and docs/benchmarks/*.svg, from the root of the repository")
	flag.Parse()
	e := effort(10)
	if *quick {
		e = 1
	}
	if err := run(os.Stdout, e, *write); err != nil {
		log.Fatalf("bench: %v", err)
	}
}

// run measures all sections and prints each as soon as it is there.
func run(w io.Writer, e effort, write bool) error {
	p := page{Machine: machine()}
	fmt.Fprintf(w, "%s\n", p.Machine)
	for _, s := range sections {
		t, err := s.measure(e)
		if err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
		t.Title = s.title
		fmt.Fprintf(w, "\n%s\n\n%s", s.title, t.text())
		p.Tables = append(p.Tables, t)
	}
	if !write {
		return nil
	}
	return p.write(filepath.FromSlash("docs"))
}
