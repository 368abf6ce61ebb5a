package retrypolicy

import (
	"reflect"
	"strings"
)

// HTTP/2 error codes of RFC 9113 §7.
const (
	http2RefusedStream      = 0x7
	http2InadequateSecurity = 0xc
	http2HTTP11Required     = 0xd
)

// http2Hopeless reports whether err is an HTTP/2 failure that would come back from
// another attempt too: the server insists on something else than HTTP/2, or the
// request breaks its rules.
func http2Hopeless(err error) bool {
	switch code, _ := http2StreamCode(err); code {
	case http2InadequateSecurity, http2HTTP11Required:
		return true
	}
	rest, ok := strings.CutPrefix(err.Error(), "http2: ")
	if !ok {
		return false
	}
	for _, prefix := range [...]string{
		"unsupported scheme",
		"unencrypted HTTP/2 not enabled",
		"invalid Host header",
		"invalid HTTP header ",
		"invalid HTTP trailer ",
		"invalid request :path ",
		"invalid Upgrade request header",
		"invalid Transfer-Encoding request header",
		"invalid Connection request header",
		"invalid Trailer key ",
		"request header list larger than peer's advertised limit",
		"request body larger than specified content length",
	} {
		if strings.HasPrefix(rest, prefix) {
			return true
		}
	}
	return false
}

// http2Unsent reports whether err is HTTP/2's proof that the request was not acted
// on: REFUSED_STREAM, a GOAWAY whose last stream is below the request's (RFC 9113
// §8.7), or a connection that took no request. The latter two are known by their
// text only, having no type in net/http nor in golang.org/x/net/http2. The typed
// GoAwayError is not among them: it comes when the connection breaks after a
// GOAWAY, to requests that the server had accepted.
func http2Unsent(err error) bool {
	if code, ok := http2StreamCode(err); ok {
		return code == http2RefusedStream
	}
	rest, ok := strings.CutPrefix(err.Error(), "http2: ")
	if !ok {
		return false
	}
	// What the transport would have sent again by itself, had there been a GetBody.
	if cause, ok := strings.CutPrefix(rest, "Transport: cannot retry err ["); ok {
		return strings.Contains(cause, "; REFUSED_STREAM") || strings.HasPrefix(cause, "http2: Transport received Server's graceful shutdown GOAWAY")
	}
	for _, prefix := range [...]string{
		"Transport received Server's graceful shutdown GOAWAY",
		"Transport received GOAWAY from server ErrCode:",
		"client conn not usable",
		"client conn could not be established",
		"no cached connection was available",
	} {
		if strings.HasPrefix(rest, prefix) {
			return true
		}
	}
	return false
}

// http2StreamCode returns the error code of an HTTP/2 stream error. The type
// exists twice, unexported in net/http and exported in golang.org/x/net/http2, and
// is known by its shape: net/http itself lets errors.As copy it into any struct of
// the same fields, which would take a pointer type of ours for each copy.
func http2StreamCode(err error) (code uint64, ok bool) {
	v := reflect.ValueOf(err)
	if v.Kind() != reflect.Struct || v.NumField() != 3 {
		return 0, false
	}
	id, c, cause := v.FieldByName("StreamID"), v.FieldByName("Code"), v.FieldByName("Cause")
	if id.Kind() != reflect.Uint32 || c.Kind() != reflect.Uint32 || cause.Kind() != reflect.Interface {
		return 0, false
	}
	return c.Uint(), true
}
