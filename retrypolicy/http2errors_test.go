//lint:file-ignore SA1019 clients still come with the x/net transport, and its errors must be known.

package retrypolicy

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// An h2Answer is what a server does when the headers of a request have come. It
// reports whether it goes on serving the connection.
type h2Answer func(fr *http2.Framer, stream uint32) bool

func rst(code http2.ErrCode) h2Answer {
	return func(fr *http2.Framer, stream uint32) bool {
		fr.WriteRSTStream(stream, code)
		return true
	}
}

func goAway(last uint32, code http2.ErrCode) h2Answer {
	return func(fr *http2.Framer, stream uint32) bool {
		fr.WriteGoAway(last, code, nil)
		return stream > last
	}
}

func silence(*http2.Framer, uint32) bool { return true }

// serveH2 gives each request on conn the same answer.
func serveH2(conn net.Conn, answer h2Answer) {
	// A pipe stores nothing: what is written must not wait for what is read.
	out := make(outbox, 100)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for b := range out {
			conn.Write(b)
		}
	}()
	defer func() {
		go io.Copy(io.Discard, conn) // until the last frame is out
		close(out)
		<-sent
		conn.Close()
	}()

	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	fr := http2.NewFramer(out, conn)
	fr.WriteSettings()
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			fr.WritePing(true, f.Data)
		case *http2.HeadersFrame:
			if !answer(fr, f.StreamID) {
				return
			}
		}
	}
}

type outbox chan []byte

func (o outbox) Write(b []byte) (int, error) {
	o <- bytes.Clone(b)
	return len(b), nil
}

// Both implementations of HTTP/2 a client may have, on the same kind of server.
var h2Transports = map[string]func(answer h2Answer) h2Transport{
	"net/http": func(answer h2Answer) h2Transport {
		tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) {
			return dialH2(answer), nil
		}}
		tr.Protocols.SetUnencryptedHTTP2(true)
		return tr
	},
	"x/net": func(answer h2Answer) h2Transport {
		return &http2.Transport{AllowHTTP: true, DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) {
			return dialH2(answer), nil
		}}
	},
}

type h2Transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

func dialH2(answer h2Answer) net.Conn {
	client, server := net.Pipe()
	go serveH2(server, answer)
	return client
}

func TestHTTP2Errors(t *testing.T) {
	withBody := func(r *http.Request) {
		r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("order")), 5
	}
	for _, c := range []struct {
		name   string
		answer h2Answer
		edit   func(*http.Request) // nil: a GET
		want   Verdict
	}{
		// Without a body the transport itself tries again for a minute first.
		{"REFUSED_STREAM", rst(http2.ErrCodeRefusedStream), nil, Unprocessed},
		{"REFUSED_STREAM, body not replayable", rst(http2.ErrCodeRefusedStream), withBody, Unprocessed},
		{"INTERNAL_ERROR", rst(http2.ErrCodeInternal), nil, Transient},
		{"CANCEL", rst(http2.ErrCodeCancel), nil, Transient},
		{"PROTOCOL_ERROR, body not replayable", rst(http2.ErrCodeProtocol), withBody, Transient},
		{"HTTP_1_1_REQUIRED", rst(http2.ErrCodeHTTP11Required), nil, Accept},
		{"INADEQUATE_SECURITY", rst(http2.ErrCodeInadequateSecurity), nil, Accept},
		// net/http sends this one again for as long as the server says so, and has no error.
		{"GOAWAY below the request, x/net", goAway(0, http2.ErrCodeNo), nil, Unprocessed},
		{"GOAWAY below the request, body not replayable", goAway(0, http2.ErrCodeNo), withBody, Unprocessed},
		{"GOAWAY with an error below the first request", goAway(0, http2.ErrCodeEnhanceYourCalm), nil, Unprocessed},
		{"GOAWAY that covers the request, then EOF", goAway(1, http2.ErrCodeNo), nil, Transient},
		{"EOF", func(*http2.Framer, uint32) bool { return false }, nil, Transient},
		{"body longer than declared", silence, func(r *http.Request) {
			withBody(r)
			r.ContentLength = 2
		}, Accept},
		{"invalid header", silence, func(r *http.Request) { r.Header["a b"] = []string{"c"} }, Accept},
		{"invalid host", silence, func(r *http.Request) { r.Host = "a b" }, Accept},
		{"unsupported scheme", silence, func(r *http.Request) { r.URL.Scheme = "gopher" }, Accept},
	} {
		for transport, newTransport := range h2Transports {
			if strings.HasSuffix(c.name, ", x/net") && transport != "x/net" {
				continue
			}
			t.Run(strings.TrimSuffix(c.name, ", x/net")+", "+transport, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tr := newTransport(c.answer)
					defer synctest.Wait()
					defer tr.CloseIdleConnections()
					req, err := http.NewRequestWithContext(t.Context(), "GET", "http://h2.test", nil)
					if err != nil {
						t.Fatal(err)
					}
					if c.edit != nil {
						c.edit(req)
					}
					resp, err := (&http.Client{Transport: tr}).Do(req)
					if err == nil {
						resp.Body.Close()
						t.Fatal("no error was provoked")
					}
					if got := DefaultClassifier(Attempt{Number: 1, Err: err}); got != c.want {
						t.Errorf("verdict on %q is %v, want %v\n%s", err, got, c.want, tree(err))
					}
				})
			})
		}
	}
}

func TestHTTP2ConnectionThatTakesNoRequest(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*http2.ClientConn)
	}{
		{"closed before the first request", func(cc *http2.ClientConn) { cc.Close() }},
		{"shut down after a request", func(cc *http2.ClientConn) {
			cc.RoundTrip(httptest.NewRequest("GET", "http://h2.test", nil))
			cc.SetDoNotReuse()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc, err := new(http2.Transport).NewClientConn(dialH2(rst(http2.ErrCodeCancel)))
				if err != nil {
					t.Fatal(err)
				}
				defer synctest.Wait()
				defer cc.Close()
				synctest.Wait()
				c.spoil(cc)
				synctest.Wait()
				_, err = cc.RoundTrip(httptest.NewRequest("POST", "http://h2.test", nil))
				if err == nil {
					t.Fatal("no error was provoked")
				}
				if got := DefaultClassifier(Attempt{Number: 1, Err: err}); got != Unprocessed {
					t.Errorf("verdict on %q is %v, want unprocessed", err, got)
				}
			})
		})
	}
}
