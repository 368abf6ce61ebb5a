// Package handshake tells why an https request got no connection, as far as its
// transport's trace knows and the error does not: whether the request can have been
// sent, and whether it was the program itself that refused the server.
package handshake

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// A Watch observes how one request gets its connection. A nil Watch observes
// nothing. The dial may go on in other goroutines after the request is over, hence
// the lock.
type Watch struct {
	trace httptrace.ClientTrace
	outer context.Context

	mu     sync.Mutex
	asked  bool  // the transport calls traces, and looked for a connection or had one fail
	got    bool  // the request may have been sent
	dialed bool  // a connection of package net was made
	failed error // of the last handshake that failed
}

// New returns ctx with a Watch, for sending req once. The Watch is nil for what is
// not https: without TLS the error tells by itself whether there was a connection.
func New(ctx context.Context, req *http.Request) (context.Context, *Watch) {
	if req.URL == nil || req.URL.Scheme != "https" {
		return ctx, nil
	}
	w := &Watch{outer: ctx}
	w.trace.GetConn = w.getConn
	w.trace.GotConn = w.gotConn
	w.trace.ConnectDone = w.connectDone
	w.trace.TLSHandshakeDone = w.handshakeDone
	return httptrace.WithClientTrace(ctx, &w.trace), w
}

// Outer returns the context that New was given, if ctx is what it returned with w.
func (w *Watch) Outer(ctx context.Context) context.Context {
	if w == nil {
		return ctx
	}
	return w.outer
}

func (w *Watch) getConn(string) {
	w.mu.Lock()
	w.asked = true
	w.mu.Unlock()
}

func (w *Watch) gotConn(httptrace.GotConnInfo) {
	w.mu.Lock()
	w.got = true
	w.mu.Unlock()
}

func (w *Watch) connectDone(_, _ string, err error) {
	if err != nil {
		return
	}
	w.mu.Lock()
	w.dialed = true
	w.mu.Unlock()
}

func (w *Watch) handshakeDone(_ tls.ConnectionState, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	w.asked, w.failed = true, err
	w.mu.Unlock()
}

// Explain returns err, with which the watched request's RoundTrip returned, marked
// for retrypolicy, or err itself where nothing is known.
//
// A request that was given no connection was not sent: its error has Unprocessed()
// true. That holds for all that happens before: the dial, a proxy's answer to
// CONNECT, in whatever words, the handshake. A transport says that it looks for a
// connection and that it has one; of one that does not say the first nothing is
// concluded. That a dial succeeded would be no sign of that, since package net calls the
// trace for whoever dials with the request's context.
//
// What the program's own functions in tls.Config returned (VerifyConnection,
// VerifyPeerCertificate, GetClientCertificate, EncryptedClientHelloRejectionVerify;
// in TLS 1.2 also the Signer of a client's key) has Retryable() false: the program
// would say the same again. crypto/tls hands it on as it is, so it is told by what it is
// not: see verdict.
//
// The marked error wraps err, has its text, and is a net.Error like it.
func (w *Watch) Explain(err error) error {
	if w == nil || err == nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.asked || w.got:
		return err
	case w.dialed && w.failed != nil && verdict(w.failed) && contains(err, w.failed):
		return &refused{failure{err}}
	default:
		return &unsent{failure{err}}
	}
}
