package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
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
	fs.Var(whole{&cfg.calls, 1, 10_000}, "calls", "make `N` calls")
	fs.Var(whole{&cfg.goroutines, 1, 1_000}, "goroutines", "make them from `N` goroutines")
	fs.Var(whole{&cfg.rate, 1, 1_000}, "rate", "the server allows `N` requests per period")
	fs.Var(length{&cfg.period, 100 * time.Millisecond, time.Minute}, "period", "the `length` of the server's window")
	fs.Var(length{&cfg.tolerance, 0, time.Minute}, "tolerance", "the server forgives network jitter up to this `length`")
	fs.Var(whole{&cfg.failEvery, 0, 10_000}, "fail", "the server answers every `N`th request it lets in with 503; 0 = none")
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

// The flag package puts the flag's name and value before what Set has to say, which is what is allowed.

type whole struct {
	value    *int
	min, max int
}

func (w whole) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < w.min || n > w.max {
		return fmt.Errorf("must be a whole number from %d to %d", w.min, w.max)
	}
	*w.value = n
	return nil
}

func (w whole) String() string {
	if w.value == nil { // the flag package asks a zero value for what not to print
		return ""
	}
	return strconv.Itoa(*w.value)
}

type length struct {
	value    *time.Duration
	min, max time.Duration
}

func (l length) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < l.min || d > l.max {
		return fmt.Errorf("must be a duration from %v to %v, such as 500ms or 1s", l.min, l.max)
	}
	*l.value = d
	return nil
}

func (l length) String() string {
	if l.value == nil {
		return ""
	}
	return l.value.String()
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
	if c.value == nil {
		return ""
	}
	return *c.value
}
