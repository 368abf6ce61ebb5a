package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// readAhead returns r with a body in memory if that is known to be no longer than most. net/http
// notices that a client has gone only when all of its body has been read, and who is slow to send
// it shall not hold a slot meanwhile. A body in memory can be sent again, too. Any other body is
// left to stream. Where ctx ends first, the error is that of ctx.
func readAhead(ctx context.Context, w http.ResponseWriter, r *http.Request, most int64) (*http.Request, error) {
	if r.ContentLength <= 0 || r.ContentLength > most {
		return r.WithContext(ctx), nil
	}
	body := make([]byte, r.ContentLength)
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // a read that waits ends too
	})
	_, err := io.ReadFull(r.Body, body)
	if !stop() {
		<-cut
		if r.ProtoMajor == 1 { // HTTP/2 loses but the stream
			w.Header().Set("Connection", "close") // nothing can be read from it any more
		}
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	r = r.WithContext(ctx)
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	return r, nil
}

// streams reports whether the body of r is read while it is sent, and so but once.
func streams(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.GetBody == nil
}
