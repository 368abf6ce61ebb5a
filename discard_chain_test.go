package pacedhttp_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// net/http does not close a response that it decompresses while it waits for its first
// bytes: only the end of the exchange takes it back.
func TestDiscardedResponseThatNeverBeginsIsGone(t *testing.T) {
	static := pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))
	for _, proto := range protocols {
		for name, mw := range map[string][]pacedhttp.Middleware{
			"Retry":                  {pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 2}))},
			"Retry, with a timeout":  {pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 2, AttemptTimeout: time.Hour}))},
			"Fallback":               {static},
			"Fallback over Retry":    {static, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 2}))},
			"Fallback, nothing left": {static, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 1}))},
		} {
			for kind, header := range map[string]string{"compressed": "gzip", "plain": ""} {
				for whose, ctx := range map[string]func(context.Context) context.Context{
					"a context that ends": func(ctx context.Context) context.Context { return ctx },
					"none that ends":      context.WithoutCancel,
				} {
					t.Run(proto+"/"+name+"/"+kind+"/"+whose, func(t *testing.T) {
						gone := make(chan struct{}, 9)
						base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
							if header != "" {
								w.Header().Set("Content-Encoding", header)
							}
							w.WriteHeader(http.StatusServiceUnavailable)
							w.(http.Flusher).Flush()
							<-r.Context().Done() // the connection closed, or the stream reset
							gone <- struct{}{}
						})
						resp, err := pacedhttp.New(base, mw...).RoundTrip(newRequestTo(t, "GET", url, nil).WithContext(ctx(t.Context())))
						if err != nil {
							t.Fatal(err)
						}
						for range attemptsOf(mw) {
							if resp.StatusCode != 200 {
								resp.Body.Close() // the last one is the caller's to close
							}
							<-gone // or the test hangs
						}
					})
				}
			}
		}
	}
}

// attemptsOf returns how often mw sends what always fails.
func attemptsOf(mw []pacedhttp.Middleware) int {
	base := newScript(step{status: 503})
	pacedhttp.New(base, mw...).RoundTrip(&http.Request{Method: "GET", Header: http.Header{}})
	return base.calls()
}

func TestDefaultBaseKeepsTheConnectionsOfABurst(t *testing.T) {
	const burst = 40
	opened := make(chan struct{}, 3*burst)
	arrived, answer := make(chan struct{}), make(chan struct{})
	srv := &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-answer }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				opened <- struct{}{}
			}
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	rt := pacedhttp.New(nil)
	defer rt.CloseIdleConnections()
	for range 3 {
		done := make(chan struct{})
		for range burst {
			go func() {
				defer func() { done <- struct{}{} }()
				if _, _, err := send(t, rt, newRequestTo(t, "GET", "http://"+l.Addr().String(), nil)); err != nil {
					t.Error(err)
				}
			}()
		}
		for range burst {
			<-arrived
		}
		for range burst {
			answer <- struct{}{}
		}
		for range burst {
			<-done
		}
	}
	// net/http has a connection back before it delivers a response without a body.
	if n := len(opened); n != burst {
		t.Errorf("%d connections for 3 bursts of %d", n, burst)
	}
}
