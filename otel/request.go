package otelpacedhttp

import (
	"net/http"
	"os"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// methods are the method names that may become attributes.
type methods []string

const otherMethod = "_OTHER"

// knownMethods returns those of RFC 9110, PATCH of RFC 5789 and QUERY, or what the
// environment says instead.
func knownMethods() methods {
	if list := os.Getenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"); list != "" {
		var known methods
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); name != "" {
				known = append(known, name)
			}
		}
		return known
	}
	return methods{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead,
		http.MethodPatch, http.MethodOptions, http.MethodConnect, http.MethodTrace, "QUERY",
	}
}

// of returns the method of req as an attribute value, and what it really is.
func (m methods) of(req *http.Request) (method, original string) {
	original = req.Method
	if original == "" {
		original = http.MethodGet
	}
	if slices.Contains(m, original) {
		return original, original
	}
	return otherMethod, original
}

// A capturedHeader is a header that becomes an attribute.
type capturedHeader struct {
	name string // in canonical form
	key  attribute.Key
}

func capturedHeaders(prefix string, names []string) []capturedHeader {
	headers := make([]capturedHeader, len(names))
	for i, name := range names {
		headers[i] = capturedHeader{http.CanonicalHeaderKey(name), attribute.Key(prefix + strings.ToLower(name))}
	}
	return headers
}

// capture appends those of the headers that h has.
func capture(attrs []attribute.KeyValue, headers []capturedHeader, h http.Header) []attribute.KeyValue {
	for _, c := range headers {
		if values := h[c.name]; len(values) > 0 {
			attrs = append(attrs, c.key.StringSlice(values))
		}
	}
	return attrs
}
