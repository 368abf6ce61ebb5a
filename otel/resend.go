package otelpacedhttp

import (
	"context"
	"net/http"

	"github.com/pacedhttp/pacedhttp"
)

// ResendCount returns how often the request was sent before, counting retries, redirect
// hops and fallbacks: the http.request.resend_count of the attempt that ctx belongs to.
// It is 0 in a first send, for which the conventions leave the attribute out, and outside
// of any call.
//
// Attempt spans have it already. It is for those who instrument attempts otherwise, with
// otelhttp, say, where ctx is what its WithClientTrace function is given.
//
// Only [Instrumentation.Call] sees a call as a whole. Without it, the number of the
// attempt is all that is known of retries, so that a fallback's send is a first one, and
// an attempt that ended before its send counts nevertheless. Redirect hops then count only
// with [Instrumentation.Attempt], and not those that a fallback made up.
func ResendCount(ctx context.Context) int {
	if s, ok := ctx.Value(sendKey{}).(*send); ok {
		return s.resends
	}
	info, retried := pacedhttp.AttemptFromContext(ctx)
	if c := callFrom(ctx); c != nil {
		return c.resends(retried)
	}
	if retried {
		return info.Number - 1
	}
	return 0
}

// hopsBefore returns how often the requests were sent of which req, as http.Client made
// it, is the redirection: the response that said so is in the request.
func hopsBefore(req *http.Request) int {
	if req.Response == nil || req.Response.Request == nil {
		return 0
	}
	ctx := req.Response.Request.Context()
	if c := callFrom(ctx); c != nil {
		return c.hopsAfter()
	}
	if s, ok := ctx.Value(sendKey{}).(*send); ok {
		return s.resends + 1
	}
	info, _ := pacedhttp.AttemptFromContext(ctx)
	return info.Number // zero for a response that no attempt brought
}
