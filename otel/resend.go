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
// otelhttp, say, where ctx is what its WithClientTrace function is given. There redirect
// hops count only with [Instrumentation.Call] in the chain.
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
	return ResendCount(req.Response.Request.Context()) + 1
}
