package otelpacedhttp

import (
	"net/http"

	"go.opentelemetry.io/otel"

	"github.com/pacedhttp/pacedhttp"
)

// An Instrumentation makes the layers that show calls and attempts. Its methods Call and
// Attempt are [pacedhttp.Middleware]s; one Instrumentation serves any number of chains.
// It is safe for concurrent use. Make one with [New].
type Instrumentation struct {
	cfg        config
	methods    methods
	tracing    tracing
	propagator propagator
	metrics    metrics
	pacers     pacers
	servers    cache[origin, *server]
}

// New returns an Instrumentation that uses the global providers and propagator unless the
// options say otherwise. An instrument that cannot be made is reported to
// otel.Handle and measures nothing.
func New(opts ...Option) *Instrumentation {
	cfg := config{
		tracerProvider: otel.GetTracerProvider(),
		meterProvider:  otel.GetMeterProvider(),
		propagators:    otel.GetTextMapPropagator(),
		redactor:       newRedactor(sensitiveQueryKeys),
	}
	for _, opt := range opts {
		if opt != nil {
			opt.apply(&cfg)
		}
	}
	i := &Instrumentation{
		cfg:        cfg,
		methods:    knownMethods(),
		propagator: newPropagator(cfg.propagators),
	}
	i.servers.make = newServer
	i.tracing.init(cfg.tracerProvider)
	meter := newMeter(cfg.meterProvider)
	i.metrics.init(meter)
	i.pacers.init(meter)
	return i
}

// Call returns next with a span and the metrics of whole calls around it: retries, waits
// and fallbacks included. It belongs outermost. It learns what happens below through
// [pacedhttp.Observe].
func (i *Instrumentation) Call(next http.RoundTripper) http.RoundTripper {
	return &callTransport{
		tel:      i,
		next:     next,
		observed: pacedhttp.Observe(callEvents())(next),
	}
}

// Attempt returns next with a span and the duration metric of every send around it, and
// writes that span's context into the request's headers. It belongs innermost, below
// Retry, Pace and Prepare. Whatever is sent with the context of a call counts as a send of
// that call, such as a request for a token from Prepare, unless its chain has a Call layer
// of its own.
func (i *Instrumentation) Attempt(next http.RoundTripper) http.RoundTripper {
	if i.cfg.withoutAttempts {
		return next
	}
	return &attemptTransport{tel: i, next: next}
}

var (
	_ pacedhttp.Middleware = (*Instrumentation)(nil).Call
	_ pacedhttp.Middleware = (*Instrumentation)(nil).Attempt
	_ http.RoundTripper    = (*callTransport)(nil)
	_ http.RoundTripper    = (*attemptTransport)(nil)
)

// closeIdle passes http.Client.CloseIdleConnections on to the next layer.
func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
