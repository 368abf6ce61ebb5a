// Package base makes the transport at the bottom of a chain that was given none.
package base

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hashicorp/go-cleanhttp"
)

// New returns a pooled transport of go-cleanhttp, which shares no state with
// http.DefaultTransport, with two differences. It keeps as many idle connections per
// host as in all: most programs talk to one service, in bursts as large as its quota,
// and would dial anew for most of each. And a proxy that refuses CONNECT is a
// [*ConnectError].
func New() *http.Transport {
	t := cleanhttp.DefaultPooledTransport()
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusOK { // net/http takes no other for a yes
			return nil
		}
		return refusal(resp)
	}
	return t
}
