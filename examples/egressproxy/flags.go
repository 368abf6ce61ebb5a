package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Options are the command line.
type options struct {
	file     string
	listen   string
	admin    string
	upstream string
	limits   string
	flights  int
	check    bool
	level    slog.Level
}

const usage = `Usage: egressproxy -config FILE
       egressproxy -upstream URL [-limits LIMITS] [-flights N]

`

func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	fs := flag.NewFlagSet("egressproxy", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the error is reported by who calls
	fs.StringVar(&o.file, "config", "", "read the configuration from this `file`, and again on SIGHUP")
	fs.StringVar(&o.upstream, "upstream", "", "without a file: send all requests to this `URL`")
	fs.StringVar(&o.limits, "limits", "", "without a file: `limits` of the upstream, such as \"20/s, 5000/h even\"")
	fs.IntVar(&o.flights, "flights", 0, "without a file: send at most `N` requests at once")
	fs.StringVar(&o.listen, "listen", "", "serve clients at this `address`, whatever the file says (default "+defaultListen+")")
	fs.StringVar(&o.admin, "admin", "", "serve metrics, health and status at this `address`, whatever the file says (default "+defaultAdmin+")")
	fs.BoolVar(&o.check, "check", false, "say what is wrong with the configuration, and end")
	fs.TextVar(&o.level, "log", slog.LevelInfo, "log records of this `level` and above: debug, info, warn or error")
	fs.Usage = func() {}
	err := fs.Parse(args)
	switch {
	case err == flag.ErrHelp:
		fmt.Fprint(stderr, usage)
		fs.SetOutput(stderr)
		fs.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("egressproxy: %w (-h explains the flags)", err)
	case fs.NArg() > 0:
		return nil, fmt.Errorf("egressproxy: unexpected argument %q: only flags are allowed", fs.Arg(0))
	}
	return o, nil
}

// config returns what the file says, or the flags where there is none.
func (o *options) config() (*Config, error) {
	alone := o.upstream != "" || o.limits != "" || o.flights != 0
	var cfg *Config
	var err error
	switch {
	case o.file != "" && alone:
		return nil, errors.New("egressproxy: -upstream, -limits and -flights are for use without -config")
	case o.file != "":
		cfg, err = readConfig(o.file)
	case alone:
		cfg, err = parseConfig("egressproxy: the flags", o.document())
	default:
		return nil, errors.New("egressproxy: -config or -upstream is missing (-h explains the flags)")
	}
	if err != nil {
		return nil, err
	}
	return cfg, o.override(cfg)
}

// document returns the file that says what the flags do.
func (o *options) document() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "upstreams: [{name: upstream, prefix: /, url: %q", o.upstream)
	if o.limits != "" {
		fmt.Fprintf(&b, ", limits: %q", o.limits)
	}
	if o.flights != 0 {
		fmt.Fprintf(&b, ", flights: %d", o.flights)
	}
	b.WriteString("}]\n")
	return []byte(b.String())
}

func (o *options) override(cfg *Config) error {
	for _, f := range []struct {
		name, given string
		set         *string
	}{{"listen", o.listen, &cfg.Listen}, {"admin", o.admin, &cfg.Admin}} {
		if f.given == "" {
			continue
		}
		if !isAddress(f.given) {
			return fmt.Errorf("egressproxy: invalid value %q for flag -%s: must be host:port", f.given, f.name)
		}
		*f.set = f.given
	}
	return nil
}

// options returns those of the client. A call that is repeated may reserve twice, so none is.
func (s *RedisServer) options() (*redis.Options, error) {
	opts := &redis.Options{
		Addr:                  s.Address,
		Username:              s.Username,
		DB:                    s.DB,
		MaxRetries:            -1,
		DialerRetries:         1,
		ContextTimeoutEnabled: true,
	}
	if s.PasswordFile != "" {
		password, err := os.ReadFile(s.PasswordFile)
		if err != nil {
			return nil, err
		}
		opts.Password = strings.TrimRight(string(password), "\r\n")
	}
	if s.TLS {
		host, _, _ := net.SplitHostPort(s.Address)
		opts.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	return opts, nil
}
