package sdks

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// Connect returns what a client of connect-go is made with, so that its requests and retries keep
// to quota: the http.Client, and an option.
//
// connect-go does not retry, so Retry does. A unary call of the Connect protocol is a POST whose
// body can be sent again, and its status tells how it went: CodeResourceExhausted is a 429,
// CodeUnavailable a 503. Which procedures may be repeated only the schema says, by its
// idempotency_level; the option hands that on. Without one a call is sent again where it was
// throttled or not processed. A stream that the client sends is sent once. Over gRPC and gRPC-Web
// every status is 200, and the pacer holds to quota and learns nothing.
func Connect(quota *pacer.Pacer, base http.RoundTripper) (*http.Client, connect.ClientOption) {
	paced := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(quota))
	return paced.Client(), connect.WithInterceptors(connect.UnaryInterceptorFunc(idempotency))
}

func idempotency(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if req.Spec().IdempotencyLevel != connect.IdempotencyUnknown {
			mayRepeat(req.Header())
		}
		return next(ctx, req)
	}
}
