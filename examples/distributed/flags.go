package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/flagvalue"
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
	fs.Var(flagvalue.Whole{Value: &cfg.procs, Min: 1, Max: len(names)}, "procs", "start `N` processes")
	fs.Var(flagvalue.Whole{Value: &cfg.goroutines, Min: 1, Max: 1_000}, "goroutines", "each makes its calls from `N` goroutines")
	fs.Var(flagvalue.Whole{Value: &cfg.calls, Min: 1, Max: 10_000}, "calls", "make `N` calls, all processes together")
	fs.Var(flagvalue.Whole{Value: &cfg.quota, Min: 1, Max: 1_000}, "quota", "the server allows `N` requests per period")
	fs.Var(flagvalue.Length{Value: &cfg.period, Min: 100 * time.Millisecond, Max: time.Minute}, "period", "the `length` of the server's window")
	fs.Var(flagvalue.Length{Value: &cfg.tolerance, Min: 0, Max: time.Minute}, "tolerance", "the server forgives network jitter up to this `length`")
	fs.Var(flagvalue.Whole{Value: &cfg.failEvery, Min: 0, Max: 10_000}, "fail", "the server answers every `N`th call with 503 at first; 0 = none")
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

type address struct{ value *string }

func (a address) Set(s string) error {
	if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
		return fmt.Errorf("must be host:port, such as 127.0.0.1:6379")
	}
	*a.value = s
	return nil
}

func (a address) String() string {
	if a.value == nil { // the flag package asks a zero value for what not to print
		return ""
	}
	return *a.value
}
