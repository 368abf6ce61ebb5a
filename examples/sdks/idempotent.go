package sdks

import "net/http"

// mayRepeat marks a request as one that may be sent twice, though its method does not say so: by
// a key without a value, which net/http reads the same way and does not send.
func mayRepeat(h http.Header) { h["Idempotency-Key"] = nil }
