package pacedhttp_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// protocols are what the tests over real servers run through.
var protocols = [...]string{"HTTP/1.1", "HTTP/2.0"}

// serveProto starts a server on loopback and returns its address and a transport that
// speaks proto to it. When the test ends, both are closed.
func serveProto(t testing.TB, proto string, handler http.HandlerFunc) (*http.Transport, string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(handler)
	srv.EnableHTTP2 = proto == "HTTP/2.0"
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if srv.EnableHTTP2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	base := srv.Client().Transport.(*http.Transport)
	t.Cleanup(func() {
		base.CloseIdleConnections()
		srv.CloseClientConnections()
		srv.Close()
	})
	return base, srv.URL
}

// servePiped is serveProto without a network: the whole of net/http on both sides, and
// nothing that a synctest bubble cannot wait for.
func servePiped(t testing.TB, proto string, handler http.HandlerFunc) *http.Transport {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(proto == "HTTP/1.1")
	protocols.SetUnencryptedHTTP2(proto == "HTTP/2.0")
	pipes := pipeListener{make(chan net.Conn), make(chan struct{})}
	srv := &http.Server{Handler: handler, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(pipes)
	base := &http.Transport{
		Protocols: protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			select {
			case pipes.conns <- server:
				return client, nil
			case <-pipes.done: // a connection that nobody waits for any more
				return nil, net.ErrClosed
			}
		},
	}
	t.Cleanup(func() {
		base.CloseIdleConnections()
		srv.Close()
	})
	return base
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
