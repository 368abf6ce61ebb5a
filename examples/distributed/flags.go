package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// config is the command line.
type config struct {
	procs, goroutines, calls int
	quota                    int           // requests the server allows …
	period                   time.Duration // … in any window of this length
	tolerance                time.Duration // by which the server's window is shorter, see api
	failEvery                int           // every how many calls one is first answered with 503; 0 = none
	redis                    string        // "" = start one
}

const usage = `distributed starts processes that share one quota through Redis, lets them call a
server on loopback, and draws when each attempt of which process reached it.

`

// parse reads the flags. What -h asks for is written to help, and the error is then [flag.ErrHelp].
func parse(args []string, help io.Writer) (config, error) {
	cfg := config{
		procs: 4, goroutines: 3, calls: 40, quota: 8, period: time.Second, tolerance: 20 * time.Millisecond, failEvery: 9,
	}
	fs := flag.NewFlagSet("distributed", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main reports the error
	fs.Usage = func() {}
	fs.Var(whole{&cfg.procs, 1, len(names)}, "procs", "start `N` processes")
	fs.Var(whole{&cfg.goroutines, 1, 1_000}, "goroutines", "each makes its calls from `N` goroutines")
	fs.Var(whole{&cfg.calls, 1, 10_000}, "calls", "make `N` calls, all processes together")
	fs.Var(whole{&cfg.quota, 1, 1_000}, "quota", "the server allows `N` requests per period")
	fs.Var(length{&cfg.period, 100 * time.Millisecond, time.Minute}, "period", "the `length` of the server's window")
	fs.Var(length{&cfg.tolerance, 0, time.Minute}, "tolerance", "the server forgives network jitter up to this `length`")
	fs.Var(whole{&cfg.failEvery, 0, 10_000}, "fail", "the server answers every `N`th call with 503 at first; 0 = none")
	fs.Var(address{&cfg.redis}, "redis", "use the Redis at `host:port` instead of starting one")

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

type address struct{ value *string }

func (a address) Set(s string) error {
	if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
		return fmt.Errorf("must be host:port, such as 127.0.0.1:6379")
	}
	*a.value = s
	return nil
}

func (a address) String() string {
	if a.value == nil {
		return ""
	}
	return *a.value
}
