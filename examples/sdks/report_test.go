package sdks_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
)

var update = flag.Bool("update", false, "write the table of the contests into README.md")

// A row is a contest, alone and with us.
type row struct {
	contest
	vendor.Trouble
	alone, paced result
}

// report logs the rows, and with -update writes them into README.md.
func report(t *testing.T, rows []row) {
	var table strings.Builder
	table.WriteString("| SDK | trouble | calls | finished | requests | refused | time | live heap | **with us:** finished | requests | refused | time | live heap |\n")
	table.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range rows {
		fmt.Fprintf(&table, "| %s | %s | %d | %s | %s |\n", r.sdk, r.Name, r.calls, r.alone, r.paced)
	}
	t.Log("\n" + table.String())
	if *update {
		if err := replaceTable("README.md", "contests", table.String()); err != nil {
			t.Error(err)
		}
	}
}

func (r result) String() string {
	return fmt.Sprintf("%d | %d | %d | %.1f s | %.1f MiB", r.finished, r.Requests, r.Refused, r.took.Seconds(), float64(r.live)/(1<<20))
}

// replaceTable writes a table between the marks of its name.
func replaceTable(file, name, table string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(text, fmt.Appendf(nil, "<!-- %s -->\n", name))
	_, after, ends := bytes.Cut(rest, fmt.Appendf(nil, "<!-- end of %s -->", name))
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table %q", file, name)
	}
	text = fmt.Appendf(nil, "%s<!-- %s -->\n%s<!-- end of %[2]s -->%[4]s", before, name, table, after)
	return os.WriteFile(file, text, 0o644)
}

// mostAlive looks at the heap while the bubble's time goes by, ever more seldom, always when
// everything else waits. What it returns ends that and returns the most that was alive besides
// what was there before.
func mostAlive(ctx context.Context) (end func() uint64) {
	before, most := alive(), uint64(0)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for pause := 10 * time.Millisecond; ; pause += pause / 8 {
			select {
			case <-time.After(pause):
				if now := alive(); now > before {
					most = max(most, now-before)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() uint64 {
		cancel()
		<-ended
		return most
	}
}

func alive() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
