package otelpacedhttp

import (
	"context"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracing starts spans and knows when nobody looks at them.
type tracing struct {
	tracer trace.Tracer
	client trace.SpanStartOption

	noop bool // for good

	// The global provider does nothing until the program installs one. That it does
	// nothing shows in the spans it makes; that one was installed, in the global itself.
	global trace.TracerProvider // nil unless it was the global one, and can be compared
	idle   atomic.Bool          // the last span had no valid context
}

func (t *tracing) init(p trace.TracerProvider) {
	t.tracer = p.Tracer(ScopeName, trace.WithInstrumentationVersion(Version), trace.WithSchemaURL(semconv.SchemaURL))
	t.client = trace.WithSpanKind(trace.SpanKindClient)
	_, t.noop = p.(noop.TracerProvider)
	if reflect.TypeOf(p).Kind() == reflect.Pointer && p == otel.GetTracerProvider() {
		t.global = p
	}
}

// asleep reports whether the attributes of a span would be built for nothing.
func (t *tracing) asleep() bool {
	return t.noop || t.global != nil && t.idle.Load() && t.global == otel.GetTracerProvider()
}

// start starts a span, also when asleep: what attaches to a running program is woken by
// it, and a parent's context is passed on.
func (t *tracing) start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, name, opts...)
	if t.global != nil {
		if idle := !span.SpanContext().IsValid(); idle != t.idle.Load() {
			t.idle.Store(idle)
		}
	}
	return ctx, span
}
