package pacedhttp

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A handshake watches whether an attempt fails in the TLS handshake, before anything
// of its request can have been sent. net/http's error does not tell: a server that
// hangs up leaves the same EOF then as after the request. Only a request that is not
// idempotent needs to know, so only such a one pays for the watch.
type handshake struct {
	failed    atomic.Bool
	connected atomic.Bool
}

// watchHandshake returns ctx with a watch, or nil where none is needed.
func watchHandshake(ctx context.Context, req *http.Request) (context.Context, *handshake) {
	if req.URL == nil || req.URL.Scheme != "https" || retrypolicy.Idempotent(req) {
		return ctx, nil
	}
	h := new(handshake)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				h.failed.Store(true)
			}
		},
		GotConn: func(httptrace.GotConnInfo) { h.connected.Store(true) },
	}), h
}

// explain marks err, an attempt's, as unprocessed if the handshake was why.
func (h *handshake) explain(err error) error {
	if h == nil || err == nil || !h.failed.Load() || h.connected.Load() {
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
