// Egressproxy makes a third-party API safe to call for programs in any language: a reverse proxy
// that sends no more than the API's quotas allow, waits when it says so, retries what may be
// retried, and holds back while it is down.
//
//	egressproxy -upstream https://api.github.com -limits "20/s, 5000/h"
//	egressproxy -config egressproxy.yaml
//
// Programs send to the proxy what they would send to the API, and wait for the answer as for a
// slow server: they need no limiter, no queue and no retries of their own. README.md describes the
// file, what is guaranteed and what is not.
//
// # How it is built
//
// One http.Server, one chain of layers and one queue for each upstream:
//
//	client → Proxy       which upstream is meant, or a problem that there is none
//	          └ upstream the deadline, the body if it is small, the headers
//	             └ httputil.ReverseProxy   streams, upgrades, trailers, hop-by-hop headers
//	                └ pacedhttp            Fallback, Retry, Pace over the queue
//	                   └ http.Transport    one for all upstreams
//
// A configuration becomes a table, which is replaced as a whole when it is reloaded: a request
// ends by the table that it began with. Queues stay, with all that they know of what has started,
// and are told their new limits.
//
// What ends with an error becomes a problem (RFC 9457) in one place, failure; what an upstream
// answered goes to the client as it is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1 // the service failed, or requests were cut off when it ended
	exitUsage = 2 // flags or configuration
)

func run(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)

	opts, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	var cfg *Config
	if err == nil {
		cfg, err = opts.config()
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if opts.check {
		fmt.Fprintln(stdout, "the configuration is valid")
		return exitOK
	}
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: opts.level}))
	if err := serve(cfg, opts.config, log, getenv, signals); err != nil {
		log.Error("ended", "error", err)
		return exitFault
	}
	log.Info("ended: all requests have been answered")
	return exitOK
}

// serve runs until a signal ends it; load reads the configuration anew.
func serve(cfg *Config, load func() (*Config, error), log *slog.Logger, getenv func(string) string, signals <-chan os.Signal) error {
	provider, metrics, err := newMetrics()
	if err != nil {
		return err
	}
	defer provider.Shutdown(context.Background())
	p, err := newProxy(cfg, provider, newBase(), log)
	if err != nil {
		return err
	}
	defer p.close()
	s := newService(p, p.admin(metrics))
	clients, kept, err := listen(cfg.Listen, getenv)
	if err != nil {
		return err
	}
	defer clients.Close()
	admin, err := net.Listen("tcp", cfg.Admin)
	if err != nil {
		return err
	}
	defer admin.Close()
	s.kept = kept
	failed := s.start(clients, admin)
	log.Info("serving", "listen", clients.Addr().String(), "admin", admin.Addr().String())
	for {
		select {
		case err := <-failed:
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				log.Info("shutting down", "delay", p.cfg.Shutdown.Delay.String(), "timeout", p.cfg.Shutdown.Timeout.String())
				return s.stop(p.cfg.Shutdown, signals)
			}
			p.reload(load)
		}
	}
}

// newProxy returns a Proxy that holds to cfg.
func newProxy(cfg *Config, provider *sdkmetric.MeterProvider, base http.RoundTripper, log *slog.Logger) (*Proxy, error) {
	p := &Proxy{
		log:       log,
		telemetry: otelpacedhttp.New(otelpacedhttp.WithMeterProvider(provider)),
		base:      base,
		queues:    make(map[string]*queue),
	}
	if cfg.Redis != nil {
		opts, err := cfg.Redis.options()
		if err != nil {
			return nil, err
		}
		p.rdb = redis.NewClient(opts)
	}
	if _, err := p.apply(cfg); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *Proxy) close() {
	if p.rdb != nil {
		_ = p.rdb.Close()
	}
}

// newBase returns the transport to all upstreams. It asks for no compression of its own: what
// passes is the clients' business. As Go programs do, it heeds HTTPS_PROXY and NO_PROXY.
func newBase() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		MaxIdleConns:          1000,
		MaxIdleConnsPerHost:   1000,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}
