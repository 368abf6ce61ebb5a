package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// config is the command line.
type config struct {
	demo.Config
	mode string
	svg  string // file
}

const usage = `quickstart calls a server on loopback through a paced and retried http.Client,
draws when each attempt reached the server, and does the same with a limiter
outside the retries for contrast. Then it draws an outage.

`

func parse(args []string, help io.Writer) (config, error) {
	cfg := config{
		demo.Config{Calls: 20, Goroutines: 4, Quota: 5, Period: time.Second, Tolerance: 20 * time.Millisecond, FailEvery: 6}, "all", "",
	}
	fs := cfg.Flags("quickstart")
	fs.Var(choice{&cfg.mode, []string{"burst", "drip", "outage", "all"}}, "mode", "show `what`: the quota used in bursts, or drop by drop, or an outage; or all")
	fs.StringVar(&cfg.svg, "svg", "", "also draw what became of the quota into `FILE`, as SVG")
	err := cfg.Parse(fs, usage, args, help)
	if err == nil && cfg.svg != "" && cfg.mode == "outage" {
		err = errors.New("flag -svg has no picture of -mode outage")
	}
	return cfg, err
}

type choice struct {
	value   *string
	allowed []string
}

func (c choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(c.allowed, ", "))
	}
	*c.value = s
	return nil
}

func (c choice) String() string {
	if c.value == nil { // the flag package asks a zero value for what not to print
		return ""
	}
	return *c.value
}
