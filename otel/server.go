package otelpacedhttp

import (
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// An origin is the server that the caller means, which a proxy or a dialer may turn into
// another peer.
type origin struct {
	address string
	port    int // 0 if the request names none and its scheme has none
}

func originOf(req *http.Request) origin {
	var scheme string
	hostport := req.Host
	if req.URL != nil {
		scheme = req.URL.Scheme
		if hostport == "" {
			hostport = req.URL.Host
		}
	}
	o := origin{address: hostport}
	if i := strings.LastIndexByte(hostport, ':'); i > strings.LastIndexByte(hostport, ']') {
		o.address = hostport[:i]
		if port, err := strconv.ParseUint(hostport[i+1:], 10, 16); err == nil {
			o.port = int(port)
		}
	}
	if n := len(o.address); n > 1 && o.address[0] == '[' && o.address[n-1] == ']' {
		o.address = o.address[1 : n-1]
	}
	if o.port == 0 {
		switch scheme {
		case "http":
			o.port = 80
		case "https":
			o.port = 443
		}
	}
	return o
}

func (o origin) appendTo(attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = append(attrs, semconv.ServerAddress(o.address))
	if o.port != 0 {
		attrs = append(attrs, semconv.ServerPort(o.port))
	}
	return attrs
}

// A server is what every call to an origin needs, built once.
type server struct {
	origin
	span     []trace.SpanStartOption // of a call span
	queue    measured                // a wait for a slot
	acquired measured                // one that ended well
}

func newServer(o origin) *server {
	return &server{
		origin: o,
		span: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindInternal),
			trace.WithAttributes(o.appendTo(nil)...),
		},
		queue:    newMeasured(labels{origin: o}),
		acquired: newMeasured(labels{origin: o, pacingResult: acquired}),
	}
}

// serverOf returns the server of a request below the call, nearly always the call's own.
func (c *call) serverOf(req *http.Request) *server {
	o := originOf(req)
	if o == c.server.origin {
		return c.server
	}
	return c.tel.servers.get(o)
}
