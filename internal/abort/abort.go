// Package abort ends the exchange that brought a response.
package abort

import "net/http"

// Key is what the context of a response's Request answers with an [Exchange], if there is one
// that can be ended.
type Key struct{}

// An Exchange is a request under way and its response.
type Exchange interface {
	// Abort ends it, unless it is over: what is still read of the response fails.
	Abort(cause error)
}

// Of returns what ends the exchange that brought resp, nil if nothing does.
func Of(resp *http.Response) Exchange {
	if resp.Request == nil {
		return nil
	}
	x, _ := resp.Request.Context().Value(Key{}).(Exchange)
	return x
}
