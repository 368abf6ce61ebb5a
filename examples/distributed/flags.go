package main

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// config is the command line.
type config struct {
	demo.Config
	procs int
	redis string // "" = start one
}

const usage = `distributed starts processes that share one quota through Redis, lets them call a
server on loopback, and draws when each attempt of which process reached it.

`

func parse(args []string, help io.Writer) (config, error) {
	cfg := config{
		demo.Config{Calls: 40, Goroutines: 3, Quota: 8, Period: time.Second, Tolerance: 20 * time.Millisecond, FailEvery: 9}, 4, "",
	}
	fs := cfg.Flags("distributed")
	fs.Lookup("calls").Usage = "make `N` calls, all processes together"
	fs.Lookup("goroutines").Usage = "each makes its calls from `N` goroutines"
	fs.Lookup("fail").Usage = "the server answers every `N`th call with 503 at first; 0 = none"
	fs.Var(demo.Whole{Value: &cfg.procs, Min: 1, Max: len(names)}, "procs", "start `N` processes")
	fs.Func("redis", "use the Redis at `host:port` instead of starting one", func(addr string) error {
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			return errors.New("must be host:port, such as 127.0.0.1:6379")
		}
		cfg.redis = addr
		return nil
	})
	err := cfg.Parse(fs, usage, args, help)
	return cfg, err
}
