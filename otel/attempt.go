package otelpacedhttp

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
)

type attemptTransport struct {
	tel  *Instrumentation
	next http.RoundTripper
}

func (t *attemptTransport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	s, out := t.tel.beginSend(req)
	defer func() { s.end(req, resp, err) }() // a panic below too
	resp, err = t.next.RoundTrip(out)
	return withRequest(resp, out), err
}

// withRequest returns resp as the response to req if the base named none: a redirection tells
// by it how often the request was sent.
func withRequest(resp *http.Response, req *http.Request) *http.Response {
	if resp != nil && resp.Request == nil {
		resp.Request = req
	}
	return resp
}

func (t *attemptTransport) CloseIdleConnections() { closeIdle(t.next) }

// A send is one RoundTrip of an Attempt layer, and the context of the request it makes.
type send struct {
	context.Context // with the attempt's span
	tel             *Instrumentation
	span            trace.Span
	origin          origin
	method          string
	resends         int
	began           time.Time
	peer            *peer // nil unless recording
	carrier         carrier
}

type sendKey struct{}

func (s *send) Value(key any) any {
	if key == (sendKey{}) {
		return s
	}
	return s.Context.Value(key)
}

// beginSend returns the send that req asks for, and the request that makes it: a copy of
// req in a context of its own and, if anything is written there, with headers of its own.
func (i *Instrumentation) beginSend(req *http.Request) (*send, *http.Request) {
	ctx := req.Context()
	s := &send{tel: i, origin: originOf(req)}
	var original string
	s.method, original = i.methods.of(req)

	info, retried := pacedhttp.AttemptFromContext(ctx)
	used := slot{paced: info.PacedFor > 0, waited: info.PacedFor}
	if c := callFrom(ctx); c != nil {
		s.resends, used = c.send(info, retried)
	} else {
		s.resends = max(0, info.Number-1) + hopsBefore(req)
	}

	s.began = time.Now()
	if i.tracing.asleep() {
		s.Context, s.span = i.tracing.start(ctx, s.method, i.tracing.client)
		if s.span.IsRecording() { // after all; samplers have missed it
			name, attrs := s.known(req, original, &used)
			s.span.SetName(name)
			s.span.SetAttributes(attrs...)
		}
	} else {
		name, attrs := s.known(req, original, &used)
		s.Context, s.span = i.tracing.start(ctx, name, i.tracing.client, trace.WithTimestamp(s.began), trace.WithAttributes(attrs...))
	}
	if s.span.IsRecording() {
		s.peer = new(peer)
		s.Context = s.peer.watch(s.Context)
	}
	out := req.WithContext(s)
	i.propagator.inject(s, out, &s.carrier)
	return s, out
}

// spanName returns the name of an attempt's span and the template in it, if there is one.
func (i *Instrumentation) spanName(req *http.Request, method string) (name, template string) {
	if name = method; name == otherMethod {
		name = "HTTP"
	}
	if i.cfg.urlTemplate != nil {
		if template = i.cfg.urlTemplate(req); template != "" {
			name += " " + template
		}
	}
	return name, template
}

// known returns the span's name and attributes as they are known before the send, for
// samplers to see.
func (s *send) known(req *http.Request, original string, used *slot) (name string, attrs []attribute.KeyValue) {
	name, template := s.tel.spanName(req, s.method)
	captured := s.tel.cfg.requestHeaders
	attrs = make([]attribute.KeyValue, 0, 6+len(used.costs)+len(captured))
	attrs = append(attrs, semconv.HTTPRequestMethodKey.String(s.method))
	if s.method != original {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(original))
	}
	attrs = s.origin.appendTo(attrs)
	if req.URL != nil {
		attrs = append(attrs, semconv.URLFull(s.tel.cfg.redactor.full(req.URL)))
	}
	if template != "" {
		attrs = append(attrs, semconv.URLTemplate(template))
	}
	if s.resends > 0 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(s.resends))
	}
	return name, capture(used.appendTo(attrs), captured, req.Header)
}

// end records what the send brought: headers or an error. Nothing of it waits for the
// response's body, which may go unread.
func (s *send) end(req *http.Request, resp *http.Response, err error) {
	recording, m := s.span.IsRecording(), &s.tel.metrics
	if !recording && !m.requestDuration.Enabled(s) {
		s.span.End()
		return
	}
	now := time.Now()
	o := outcomeOf(req, resp, err)
	var protocol string
	if o.status != 0 {
		protocol = protocolVersion(resp)
	}
	m.seconds(s, m.requestDuration, now.Sub(s.began), labels{
		origin:    s.origin,
		method:    s.method,
		status:    o.status,
		errorType: o.errorType,
		protocol:  protocol,
	})
	if !recording {
		s.span.End()
		return
	}
	s.span.SetAttributes(s.learned(resp, o, protocol)...)
	o.mark(s.span, req)
	s.span.End(trace.WithTimestamp(now))
}

func (s *send) learned(resp *http.Response, o outcome, protocol string) []attribute.KeyValue {
	captured := s.tel.cfg.responseHeaders
	attrs := s.peer.appendTo(make([]attribute.KeyValue, 0, 5+len(captured)))
	if o.status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(o.status))
		attrs = capture(attrs, captured, resp.Header)
	}
	if protocol != "" {
		attrs = append(attrs, semconv.NetworkProtocolVersion(protocol))
	}
	if o.errorType != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(o.errorType))
	}
	return attrs
}
