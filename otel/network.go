package otelpacedhttp

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// protocolVersion returns network.protocol.version, "" where resp was not received.
func protocolVersion(resp *http.Response) string {
	switch major, minor := resp.ProtoMajor, resp.ProtoMinor; {
	case major == 0:
		return ""
	case major == 1 && minor == 1:
		return "1.1"
	case major == 2 && minor == 0:
		return "2"
	case minor == 0 && major > 2:
		return strconv.Itoa(major)
	default:
		return strconv.Itoa(major) + "." + strconv.Itoa(minor)
	}
}

// A peer is the other end of the connection that a request was sent on.
type peer struct {
	trace httptrace.ClientTrace

	mu   sync.Mutex // base transports may call a client trace from any goroutine, and late
	addr net.Addr
}

// watch returns a context that tells p what connection is used.
func (p *peer) watch(ctx context.Context) context.Context {
	p.trace.GotConn = p.gotConn
	return httptrace.WithClientTrace(ctx, &p.trace)
}

func (p *peer) gotConn(i httptrace.GotConnInfo) {
	if i.Conn == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addr = i.Conn.RemoteAddr()
}

func (p *peer) appendTo(attrs []attribute.KeyValue) []attribute.KeyValue {
	p.mu.Lock()
	addr := p.addr
	p.mu.Unlock()
	switch addr := addr.(type) {
	case nil:
	case *net.UnixAddr:
		if addr.Name != "" {
			attrs = append(attrs, semconv.NetworkPeerAddress(addr.Name))
		}
	default:
		if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
			attrs = append(attrs,
				semconv.NetworkPeerAddress(ap.Addr().Unmap().String()), semconv.NetworkPeerPort(int(ap.Port())))
		}
	}
	return attrs
}
