package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	headerTimeout = 10 * time.Second // for the head of a request: its body may take as long as it likes
	idleTimeout   = 2 * time.Minute
)

// A service is the two servers, and what is under way in them.
type service struct {
	proxy    *Proxy
	kept     bool // the socket outlives the process
	listener net.Listener
	clients  *http.Server
	admin    *http.Server
	cut      context.CancelCauseFunc // ends all that is under way

	underWay atomic.Int64 // requests, upgraded connections too
	open     atomic.Int64 // connections, upgraded ones left out
}

func newService(p *Proxy, admin http.Handler) *service {
	s := &service{proxy: p}
	ctx, cut := context.WithCancelCause(context.Background())
	s.cut = cut
	errorLog := slog.NewLogLogger(p.log.Handler(), slog.LevelInfo)
	s.clients = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.underWay.Add(1)
			defer s.underWay.Add(-1)
			p.ServeHTTP(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.count,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		Protocols:         new(http.Protocols),
		ErrorLog:          errorLog,
	}
	s.clients.Protocols.SetHTTP1(true)
	s.clients.Protocols.SetUnencryptedHTTP2(true) // as gRPC speaks it
	s.admin = &http.Server{Handler: admin, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, ErrorLog: errorLog}
	return s
}

// start serves clients and admins. The error of a server that stops by itself comes through failed.
func (s *service) start(clients, admin net.Listener) (failed <-chan error) {
	ended := make(chan error, 2)
	serve := func(server *http.Server, l net.Listener) {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !s.proxy.leaving.Load() {
			ended <- err
		}
	}
	s.listener = clients
	go serve(s.clients, clients)
	go serve(s.admin, admin)
	return ended
}

// stop ends the service without losing a request. Nobody is to come any more: /readyz says so, each
// answer ends its connection, and after the delay nobody can. All that is under way, and all that
// waits in a queue, is answered, unless that takes longer than the timeout or a second signal ends
// it. Then what is left is told so, and stop returns an error.
func (s *service) stop(limits Shutdown, signals <-chan os.Signal) error {
	s.proxy.leaving.Store(true)
	if s.kept {
		_ = s.listener.Close() // who comes waits for the next process
	}
	ctx, cancel := context.WithTimeout(context.Background(), limits.Delay+limits.Timeout)
	defer cancel()
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	s.delay(ctx, limits.Delay)
	err := s.clients.Shutdown(ctx)
	if err == nil { // but for connections that speak another protocol by now
		err = s.idle(ctx)
	}
	s.cut(errShutdown)
	if err != nil {
		left := s.underWay.Load()
		err = fmt.Errorf("%d requests were cut off: %w", left, err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.idle(ctx) // who waits in a queue can be told
	}
	_ = s.clients.Close()
	_ = s.admin.Close()
	return err
}

// delay waits for clients to notice that nobody is to come any more: so long or, where nobody can,
// until the last connection has been closed.
func (s *service) delay(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for ctx.Err() == nil && !(s.kept && s.open.Load() == 0) {
		pause(ctx)
	}
}

// count keeps track of open connections.
func (s *service) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// idle waits until nothing is under way.
func (s *service) idle(ctx context.Context) error {
	for s.underWay.Load() > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause(ctx)
	}
	return nil
}

// pause lets a moment pass, unless ctx ends.
func pause(ctx context.Context) {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
	}
}
