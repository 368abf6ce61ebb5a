package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// A store is the Redis that the processes share.
type store struct {
	addr  string
	about string // where it comes from
	close func()
}

// openStore returns a store that answers: the one at addr, or without one the best that can be started here.
func openStore(ctx context.Context, addr string, lookPath func(string) (string, error)) (store, error) {
	if addr != "" {
		rdb := newRedisClient(addr)
		defer rdb.Close()
		if err := rdb.Ping(ctx).Err(); err != nil {
			return store{}, fmt.Errorf("cannot use the Redis at %s: %w", addr, err)
		}
		return store{addr, "the Redis at " + addr, func() {}}, nil
	}
	if path, err := lookPath("redis-server"); err == nil {
		s, err := startRedis(ctx, path)
		for errors.Is(err, errPortTaken) {
			s, err = startRedis(ctx, path)
		}
		return s, err
	}
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return store{}, fmt.Errorf("cannot start miniredis: %w", err)
	}
	return store{m.Addr(), "miniredis in this process: no redis-server is on PATH", m.Close}, nil
}

// errPortTaken says that somebody else was faster to take a port that was free.
var errPortTaken = errors.New("the port was taken meanwhile")

// startRedis starts a redis-server on a free port of loopback. It keeps nothing on disk and nobody else can know of it.
func startRedis(ctx context.Context, path string) (store, error) {
	addr, err := freeAddr()
	if err != nil {
		return store{}, err
	}
	dir, err := os.MkdirTemp("", "pacedhttp-redis-")
	if err != nil {
		return store{}, err
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return store{}, fmt.Errorf("cannot start %s: %w", path, err)
	}

	var logging sync.WaitGroup
	ready := make(chan error, 2)
	logging.Go(func() {
		var log strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); { // to the end, or a full pipe would stop the server
			fmt.Fprintln(&log, lines.Text())
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				ready <- nil
			}
		}
		err := fmt.Errorf("%s did not start:\n%s", path, &log)
		if strings.Contains(log.String(), "Address already in use") {
			err = errPortTaken
		}
		ready <- err
	})
	stop := func() {
		cmd.Process.Kill()
		logging.Wait()
		cmd.Wait()
		os.RemoveAll(dir)
	}
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		stop()
		return store{}, err
	}
	return store{addr, "a redis-server of their own at " + addr, stop}, nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func newRedisClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr})
}
