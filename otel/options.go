package otelpacedhttp

import (
	"net/http"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// An Option configures an [Instrumentation]. A nil Option is ignored.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// WithTracerProvider sets where spans go. The default, and nil, is the global provider,
// also one that is installed later.
func WithTracerProvider(p trace.TracerProvider) Option {
	return optionFunc(func(c *config) {
		if p != nil {
			c.tracerProvider = p
		}
	})
}

// WithMeterProvider sets where measurements go. The default, and nil, is the global
// provider, also one that is installed later.
func WithMeterProvider(p metric.MeterProvider) Option {
	return optionFunc(func(c *config) {
		if p != nil {
			c.meterProvider = p
		}
	})
}

// WithPropagators sets what writes the trace context into the requests. The default, and
// nil, is the global propagator, which writes nothing until the program installs one.
func WithPropagators(p propagation.TextMapPropagator) Option {
	return optionFunc(func(c *config) {
		if p != nil {
			c.propagators = p
		}
	})
}

// WithoutCallSpan leaves out the call spans: the attempts become children of the caller's
// span. The metrics of calls remain.
func WithoutCallSpan() Option {
	return optionFunc(func(c *config) { c.withoutCallSpan = true })
}

// WithoutAttemptTelemetry makes [Instrumentation.Attempt] do nothing: no span, no metric
// and no propagation, for chains whose base, such as otelhttp's transport, has its own.
func WithoutAttemptTelemetry() Option {
	return optionFunc(func(c *config) { c.withoutAttempts = true })
}

// WithCapturedRequestHeaders records these headers on attempt spans, as they are sent, in
// attributes named http.request.header.<lower-case name>. The values are not redacted.
// The default is none.
func WithCapturedRequestHeaders(names ...string) Option {
	return optionFunc(func(c *config) {
		c.requestHeaders = capturedHeaders("http.request.header.", names)
	})
}

// WithCapturedResponseHeaders records these headers on attempt spans, in attributes named
// http.response.header.<lower-case name>. The values are not redacted. The default is
// none.
func WithCapturedResponseHeaders(names ...string) Option {
	return optionFunc(func(c *config) {
		c.responseHeaders = capturedHeaders("http.response.header.", names)
	})
}

// WithRedactedQueryKeys replaces the list of query parameters whose values url.full shows
// as REDACTED; no keys means that none is. Matching is case-sensitive. The default is
// that of the semantic conventions: X-Amz-Signature, X-Amz-Credential,
// X-Amz-Security-Token, AWSAccessKeyId, Signature, sig and X-Goog-Signature.
func WithRedactedQueryKeys(keys ...string) Option {
	return optionFunc(func(c *config) { c.redactor = newRedactor(keys) })
}

// WithURLTemplate makes f name the route of a request, such as "/users/{id}": it goes into
// the attempt span's name and url.template. f must return few different values, not
// modify the request and be safe for concurrent use; "" means that there is no template.
// A nil f is ignored.
func WithURLTemplate(f func(*http.Request) string) Option {
	return optionFunc(func(c *config) {
		if f != nil {
			c.urlTemplate = f
		}
	})
}

type config struct {
	tracerProvider  trace.TracerProvider
	meterProvider   metric.MeterProvider
	propagators     propagation.TextMapPropagator
	withoutCallSpan bool
	withoutAttempts bool
	requestHeaders  []capturedHeader
	responseHeaders []capturedHeader
	redactor        redactor
	urlTemplate     func(*http.Request) string // nil without templates
}
