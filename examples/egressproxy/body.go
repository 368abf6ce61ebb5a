package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// readAhead returns r with a body in memory if that is known to be no longer than most. net/http
// notices that a client has gone only when all of its body has been read, and who is slow to send
// it shall not hold a slot meanwhile. A body in memory can be sent again, too. Any other body is
// left to stream.
func readAhead(ctx context.Context, r *http.Request, most int64) (*http.Request, error) {
	if r.ContentLength <= 0 || r.ContentLength > most {
		return r.WithContext(ctx), nil
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
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
