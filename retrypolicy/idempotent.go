package retrypolicy

import "net/http"

// mayBeProcessed reports whether the server may have acted on the request. A 429, 529
// or 403 is a refusal to act; a 503 is often sent by a proxy whose backend did, unless it
// says that the request is to be made again.
func mayBeProcessed(v Verdict, resp *http.Response) bool {
	switch v {
	case Unprocessed:
		return false
	case Throttled:
		if resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
			return false
		}
		retry, _ := shouldRetry(resp)
		return !retry
	default:
		return true
	}
}

// Idempotent reports whether sending req twice is harmless, so that it may be
// retried though it may have been processed: by its method (RFC 9110 §9.2.2; QUERY
// too), or by an Idempotency-Key or X-Idempotency-Key header, as net/http has it. What writes
// under a precondition (RFC 9110 §13.1: If-Match, If-None-Match, If-Modified-Since,
// If-Unmodified-Since, If-Range) is not, whatever its method and key: if the first sending
// was processed, the second fails for that very reason, with a 412 about itself. A nil
// request, that of [Do], is.
func Idempotent(req *http.Request) bool {
	if req == nil {
		return true
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return !conditional(req) && (req.Method == http.MethodPut || req.Method == http.MethodDelete || hasKey(req))
}

// hasKey reports whether req has an idempotency key. Presence decides, not the value:
// net/http treats an empty slice as a key that is not to be sent.
func hasKey(req *http.Request) bool {
	_, ok := req.Header["Idempotency-Key"]
	_, also := req.Header["X-Idempotency-Key"]
	return ok || also
}

// conditional reports whether req has a precondition.
func conditional(req *http.Request) bool {
	for _, name := range [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"} {
		if len(req.Header[name]) > 0 {
			return true
		}
	}
	return false
}
