package base

import (
	"fmt"
	"net/http"
	"strings"
)

// maxReason is how many bytes of a proxy's words are kept.
const maxReason = 64

// A ConnectError is a proxy's refusal to connect to an https service. net/http by
// itself leaves nothing of it but the proxy's words, in which anything may stand.
type ConnectError struct {
	Status int    // of the proxy's answer
	Reason string // its words, at most 64 bytes
}

func refusal(resp *http.Response) *ConnectError {
	_, reason, _ := strings.Cut(resp.Status, " ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") // the cut may go through a character
	}
	return &ConnectError{Status: resp.StatusCode, Reason: reason}
}

// Error quotes the proxy's words, control characters escaped.
func (e *ConnectError) Error() string {
	return fmt.Sprintf("pacedhttp: proxy refused CONNECT: %d %q", e.Status, e.Reason)
}

// Retryable reports whether the proxy may answer differently another time: not if it
// lacks credentials (407) or forbids the service (403).
func (e *ConnectError) Retryable() bool {
	return e.Status != http.StatusProxyAuthRequired && e.Status != http.StatusForbidden
}

// Unprocessed reports whether a retry is safe because nothing reached the service, and
// not useless.
func (e *ConnectError) Unprocessed() bool { return e.Retryable() }
