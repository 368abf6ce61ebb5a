// Command distributed shows processes that share one quota through Redis.
//
// It starts a server on loopback that allows a few requests a second and counts them, and a few processes that call it, each
// through the chain Retry, Pace. All pace on the same key of one Redis, and that is all they have in common: no process
// knows of another. The picture shows whose turn it was when, and what the server counted.
//
// Redis is a redis-server started for the occasion, or the one at -redis; where none is installed, miniredis in this process
// stands in for it.
//
//	go run ./examples/distributed
//	go run ./examples/distributed -procs 10 -quota 20 -calls 100
//	go run ./examples/distributed -h
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/internal/demo"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// sharedQuota is all there is to set up, the same in every process. Whoever has the same key on the same Redis shares the
// quota.
func sharedQuota(rdb redis.UniversalClient, key string, quota int, period time.Duration) (*redispacer.Pacer, error) {
	return redispacer.New(rdb, key, redispacer.Config{
		Limits:  []pacer.Limit{{Calls: quota, Period: period}},
		Timeout: 10 * time.Second, // a busy machine is no reason to end the show
	})
}

// pacedClient makes every attempt take a slot, so a retry waits for the other processes like any first send.
func pacedClient(p *redispacer.Pacer) *http.Client {
	return pacedhttp.New(nil, pacedhttp.Retry(retrypolicy.Default()), pacedhttp.Pace(p)).Client()
}

func main() {
	logging.Disable() // what the Redis client has to complain of comes back as an error
	if os.Getenv(workerEnv) != "" {
		os.Exit(runWorker())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, exec.LookPath)
	stop()
	os.Exit(code)
}

// run returns the exit code: 1 if the quota was exceeded, calls failed or there was no show, 2 for a bad command line.
func run(ctx context.Context, args []string, stdout *os.File, stderr io.Writer, lookPath func(string) (string, error)) int {
	cfg, err := parse(args, stdout)
	if err != nil {
		return demo.Refused("distributed", err, stderr)
	}
	err = play(ctx, cfg, screen{demo.NewScreen(stdout, os.Getenv)}, lookPath)
	if ctx.Err() != nil {
		err = errors.New("interrupted") // whatever else went wrong did so because of it
	}
	if err != nil {
		fmt.Fprintf(stderr, "distributed: %v\n", err)
		return 1
	}
	return 0
}

func play(ctx context.Context, cfg config, show screen, lookPath func(string) (string, error)) error {
	store, err := openStore(ctx, cfg.redis, lookPath)
	if err != nil {
		return err
	}
	defer store.close()

	api := newAPI(cfg)
	server := httptest.NewServer(api)
	defer server.Close()

	show.intro(cfg, store)
	r, err := makeCalls(ctx, cfg, store.addr, server.URL, api, show.Progress)
	if err != nil {
		show.Abort()
		return err
	}
	show.picture(cfg, r)
	show.summary(cfg, r)
	return r.broken(cfg)
}

// newAPI returns a server that answers the first request of every failEvery-th call with 503.
func newAPI(cfg config) *demo.API {
	failed := make(map[int]bool)
	return demo.NewAPI(cfg.Config, func(call, _ int) bool {
		first := call%cfg.FailEvery == 0 && !failed[call]
		failed[call] = failed[call] || first
		return first
	})
}
