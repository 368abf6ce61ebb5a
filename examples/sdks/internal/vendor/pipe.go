package vendor

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
)

// Serve serves h over pipes, without a network, so that all of it can live in a bubble of
// [testing/synctest] where waits take no time. It returns a transport on which every host is
// that server, and what ends both.
func Serve(h http.Handler) (base *http.Transport, stop func()) {
	pipes := pipeListener{make(chan net.Conn), make(chan struct{})}
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(pipes)
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case pipes.conns <- server:
			return client, nil
		case <-pipes.done:
			return nil, net.ErrClosed
		}
	}
	base = &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext:         dial,
		DialTLSContext:      dial, // of https too: nobody listens in
	}
	return base, func() {
		base.CloseIdleConnections()
		srv.Close()
	}
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
