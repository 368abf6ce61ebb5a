// Package base makes the transport that a chain has where its caller names none.
package base

import (
	"net/http"

	"github.com/hashicorp/go-cleanhttp"
)

// New returns a pooled transport that shares no state with http.DefaultTransport.
func New() *http.Transport {
	t := cleanhttp.DefaultPooledTransport()
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	return t
}
