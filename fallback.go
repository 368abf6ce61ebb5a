package pacedhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A FallbackFunc answers in place of a call that has failed for good, with resp or
// err as its result so far; the other is nil. It may return resp itself, having
// read nothing of it or put another body in its place; it need not close resp if it
// returns something else. req is the caller's request, its body used up: whoever
// wants to send it elsewhere takes a new one from GetBody. It must be safe for
// concurrent use.
type FallbackFunc func(req *http.Request, resp *http.Response, err error) (*http.Response, error)

// Fallback answers with f what the layers below failed to: an error, or a response
// that the policy of the Retry layer below takes for a failure, retried or not.
// Where there is no Retry layer, [retrypolicy.DefaultClassifier] decides. It belongs
// outside of Retry.
//
// A caller who cancelled gets the error and no fallback. A panic in f is not
// recovered. A nil f does nothing.
func Fallback(f FallbackFunc) Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		if f == nil {
			return next
		}
		return &fallbackTransport{layer{strict(next)}, f, hasRetry(layersOf(next))}
	}
}

// StaticResponse returns a FallbackFunc that answers every call with the same
// status, header and body. The header and the body are copied. Content-Length is
// filled in; a HEAD request gets no body. The statuses that have none, which are 1xx,
// 204 and 304, get neither (RFC 9110 §6.4.1, §8.6). A status outside 100 to 999 is an
// error.
func StaticResponse(status int, header http.Header, body []byte) FallbackFunc {
	header, body = header.Clone(), bytes.Clone(body)
	bodiless := status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	if bodiless {
		body = nil
	}
	return func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
		if status < 100 || status > 999 {
			return nil, fmt.Errorf("pacedhttp: StaticResponse: status is %d, must be from 100 to 999", status)
		}
		resp := &http.Response{
			Status:        strconv.Itoa(status) + " " + http.StatusText(status),
			StatusCode:    status,
			Proto:         "HTTP/1.1",
			ProtoMajor:    1,
			ProtoMinor:    1,
			Header:        header.Clone(),
			Body:          http.NoBody,
			ContentLength: int64(len(body)),
			Request:       req,
		}
		if resp.Header == nil {
			resp.Header = make(http.Header)
		}
		if bodiless {
			resp.Header.Del("Content-Length")
			return resp, nil
		}
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
		if req.Method != http.MethodHead && len(body) > 0 {
			resp.Body = io.NopCloser(bytes.NewReader(body))
		}
		return resp, nil
	}
}

var errNoFallback = errors.New("pacedhttp: the fallback returned neither a response nor an error")

type fallbackTransport struct {
	layer
	fallback FallbackFunc
	retries  bool // a Retry layer below can end a response that is thrown away
}

func (t *fallbackTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.send(req)
	ctx, release := waitContext(req)
	defer release()
	if ctx.Err() == context.Canceled || !failed(req, resp, err) {
		return resp, err
	}

	held := holding{resp: resp}
	defer held.close()
	answer, fault := t.fallback(req, resp, err)
	given := answer
	switch {
	case fault != nil:
		answer = nil
	case answer == nil:
		fault = errNoFallback
	case answer.Body == nil:
		answer.Body = http.NoBody
	}
	held.resp = answer
	if resp != nil && resp != answer {
		discard(resp)
	}
	if given != nil && given != answer && given != resp {
		discard(given)
	}
	observerFrom(ctx).fallbackUsed(ctx, FallbackInfo{req, answer, fault})
	held.resp = nil
	return answer, fault
}

// send sends req in a context that can end a response which is thrown away.
func (t *fallbackTransport) send(req *http.Request) (*http.Response, error) {
	if t.retries {
		return t.next.RoundTrip(req)
	}
	s := &separable{Context: withoutEarlier(req.Context())}
	var resp *http.Response
	defer func() { s.separateAfter(resp) }() // also when a layer below panics
	resp, err := t.next.RoundTrip(req.WithContext(s))
	return resp, err
}

// failed reports whether a call ended in a failure.
func failed(req *http.Request, resp *http.Response, err error) bool {
	if err != nil {
		return true
	}
	above := attemptFrom(req.Context())
	var below *attempt // of the nearest Retry layer
	for a := attemptOf(resp); a != nil && a != above; a = attemptFrom(a.Context) {
		below = a
	}
	if below != nil {
		return below.verdict() != retrypolicy.Accept
	}
	return judge(req, resp, nil, above) != retrypolicy.Accept
}
