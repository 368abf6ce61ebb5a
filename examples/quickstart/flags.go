package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/flagvalue"
)

// config is the command line.
type config struct {
	calls, goroutines int
	rate              int           // requests the server allows …
	period            time.Duration // … in any window of this length
	tolerance         time.Duration // by which the server's window is shorter, see api
	failEvery         int           // every how many admitted requests one is answered with 503; 0 = none
	mode              string
}

const usage = `quickstart calls a server on loopback through a paced and retried http.Client,
draws when each attempt reached the server, and does the same with a limiter
outside the retries for contrast.

`

// parse reads the flags. What -h asks for is written to help, and the error is then [flag.ErrHelp].
func parse(args []string, help io.Writer) (config, error) {
	cfg := config{
		calls: 20, goroutines: 4, rate: 5, period: time.Second, tolerance: 20 * time.Millisecond, failEvery: 6, mode: "both",
	}
	fs := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main reports the error
	fs.Usage = func() {}
	fs.Var(flagvalue.Whole{Value: &cfg.calls, Min: 1, Max: 10_000}, "calls", "make `N` calls")
	fs.Var(flagvalue.Whole{Value: &cfg.goroutines, Min: 1, Max: 1_000}, "goroutines", "make them from `N` goroutines")
	fs.Var(flagvalue.Whole{Value: &cfg.rate, Min: 1, Max: 1_000}, "rate", "the server allows `N` requests per period")
	fs.Var(flagvalue.Length{Value: &cfg.period, Min: 100 * time.Millisecond, Max: time.Minute}, "period", "the `length` of the server's window")
	fs.Var(flagvalue.Length{Value: &cfg.tolerance, Min: 0, Max: time.Minute}, "tolerance", "the server forgives network jitter up to this `length`")
	fs.Var(flagvalue.Whole{Value: &cfg.failEvery, Min: 0, Max: 10_000}, "fail", "the server answers every `N`th request it lets in with 503; 0 = none")
	fs.Var(choice{&cfg.mode, []string{"burst", "drip", "both"}}, "mode", "`how` to use the quota: burst, drip or both")

	err := fs.Parse(args)
	switch {
	case err == flag.ErrHelp:
		io.WriteString(help, usage)
		fs.SetOutput(help)
		fs.PrintDefaults()
		return config{}, err
	case err != nil:
		return config{}, err
	case fs.NArg() > 0:
		return config{}, fmt.Errorf("unexpected argument %q: only flags are allowed", fs.Arg(0))
	case cfg.tolerance >= cfg.period:
		return config{}, fmt.Errorf("invalid value %q for flag -tolerance: must be shorter than -period, which is %v", cfg.tolerance, cfg.period)
	}
	return cfg, nil
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
