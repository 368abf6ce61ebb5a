// Package handshake watches whether an attempt fails in the TLS handshake, before anything
// of its request can have been sent.
package handshake

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A Watch is of one attempt. net/http's error does not tell: a server that hangs up leaves
// the same EOF in the handshake as after the request.
type Watch struct {
	failed    atomic.Bool
	connected atomic.Bool
}

// New returns ctx with a watch, or nil where none is needed.
func New(ctx context.Context, req *http.Request) (context.Context, *Watch) {
	if req.URL == nil || req.URL.Scheme != "https" || retrypolicy.Idempotent(req) {
		return ctx, nil
	}
	w := new(Watch)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				w.failed.Store(true)
			}
		},
		GotConn: func(httptrace.GotConnInfo) { w.connected.Store(true) },
	}), w
}

// Explain marks err, an attempt's, as unprocessed if the handshake was why.
func (w *Watch) Explain(err error) error {
	if w == nil || err == nil || !w.failed.Load() || w.connected.Load() {
		return err
	}
	return &handshakeError{err}
}

// A handshakeError is an error from before the request could be sent.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "pacedhttp: TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// Unprocessed tells retrypolicy that the server cannot have acted on the request.
func (e *handshakeError) Unprocessed() bool { return true }
