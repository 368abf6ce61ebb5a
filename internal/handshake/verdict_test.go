package handshake_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"syscall"
	"testing"
)

// A callback is a function of tls.Config through which a program can refuse.
type callback struct {
	name   string
	refuse func(*tls.Config, func() error) // the function is asked at every call
	tls13  bool                            // there is none in older versions
}

func callbacks(t *testing.T) []callback {
	return []callback{
		{"VerifyConnection", func(c *tls.Config, f func() error) {
			c.VerifyConnection = func(tls.ConnectionState) error { return f() }
		}, false},
		{"VerifyPeerCertificate", func(c *tls.Config, f func() error) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return f() }
		}, false},
		{"GetClientCertificate", func(c *tls.Config, f func() error) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if err := f(); err != nil {
					return nil, err
				}
				return new(tls.Certificate), nil
			}
		}, false},
		{"EncryptedClientHelloRejectionVerify", func(c *tls.Config, f func() error) {
			c.MinVersion = tls.VersionTLS13
			c.EncryptedClientHelloConfigList = echConfigList(t)
			c.EncryptedClientHelloRejectionVerify = func(tls.ConnectionState) error { return f() }
		}, true},
	}
}

// echConfigList is a list of one ECHConfig (RFC 9849 §4), whose key no server has.
func echConfigList(t *testing.T) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vector := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	contents := slices.Concat(
		[]byte{1, 0x00, 0x20}, // config_id; DHKEM(X25519, HKDF-SHA256)
		vector(key.PublicKey().Bytes()),
		vector([]byte{0, 1, 0, 1}), // HKDF-SHA256, AES-128-GCM
		[]byte{32, 11}, []byte("example.com"),
		vector(nil),
	)
	return vector(append([]byte{0xfe, 0x0d}, vector(contents)...))
}

type errorList []error // == panics

func (l errorList) Error() string { return fmt.Sprint([]error(l)) }

// pins is a comparable type of incomparable values.
type pins struct{ cause error }

func (p pins) Error() string { return p.cause.Error() }

func TestWhatTheProgramsTLSCallbacksReturnIsFinal(t *testing.T) {
	mismatch := errors.New("pin mismatch")
	verdicts := []error{
		mismatch,
		fmt.Errorf("checking: %w", mismatch),
		errors.Join(mismatch, errors.New("and expired")),
		errorList{mismatch},
		pins{errorList{mismatch}},
		errors.New(""),
	}
	for _, c := range callbacks(t) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if c.tls13 && version != tls.VersionTLS13 {
				continue
			}
			for _, http2 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/http2=%t", c.name, tls.VersionName(version), http2), func(t *testing.T) {
					s := serve(t, &tls.Config{ClientAuth: tls.RequestClientCert, MaxVersion: version}, http.NotFound)
					for _, refusal := range verdicts {
						tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s)}, ForceAttemptHTTP2: http2}
						c.refuse(tr.TLSClientConfig, func() error { return refusal })
						for _, method := range []string{"GET", "POST"} {
							req := request(t, method, s.URL)
							err, explained := send(t, tr, req)
							if got := outcome(req, explained); got != "final" {
								t.Errorf("%s, %T %q is %s, want final", method, err, err, got)
							}
						}
					}
				})
			}
		}
	}
}

func TestWhatTheProgramsTLSCallbacksReturnIsFinalBehindAProxy(t *testing.T) {
	mismatch := errors.New("pin mismatch")
	for _, scheme := range []string{"http", "https"} {
		for _, c := range callbacks(t) {
			if scheme == "https" && c.tls13 {
				continue // the proxy knows as little of the key
			}
			t.Run(scheme+"/"+c.name, func(t *testing.T) {
				s := serve(t, &tls.Config{ClientAuth: tls.RequestClientCert}, http.NotFound)
				proxy := tunnel(t, scheme)
				tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s)}, Proxy: http.ProxyURL(proxy)}
				asked := 0
				c.refuse(tr.TLSClientConfig, func() error {
					if asked++; scheme == "https" && c.name != "GetClientCertificate" && asked%2 == 1 {
						return nil // the proxy's certificate is good
					}
					return mismatch
				})
				for _, method := range []string{"GET", "POST"} {
					req := request(t, method, s.URL)
					err, explained := send(t, tr, req)
					if got := outcome(req, explained); got != "final" || !errors.Is(explained, mismatch) {
						t.Errorf("%s: %v is %s, want final", method, err, got)
					}
				}
			})
		}
	}
	t.Run("the https proxy's certificate", func(t *testing.T) {
		s := serve(t, nil, http.NotFound)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s)}, Proxy: http.ProxyURL(tunnel(t, "https"))}
		tr.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error { return mismatch }
		req := request(t, "POST", s.URL)
		if err, explained := send(t, tr, req); outcome(req, explained) != "final" {
			t.Errorf("%v is %s, want final", err, outcome(req, explained))
		}
	})
}

// VerifyConnection is the one that is asked on resumed sessions too.
func TestARefusedResumptionIsFinal(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := serve(t, &tls.Config{MaxVersion: version}, http.NotFound)
			mismatch, resumed := errors.New("pin mismatch"), false
			tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
				RootCAs: pool(s), ClientSessionCache: tls.NewLRUClientSessionCache(1),
				VerifyConnection: func(state tls.ConnectionState) error {
					if resumed = state.DidResume; resumed {
						return mismatch
					}
					return nil
				},
			}}
			resp, err := tr.RoundTrip(request(t, "GET", s.URL))
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			req := request(t, "POST", s.URL)
			err, explained := send(t, tr, req)
			if got := outcome(req, explained); !resumed || got != "final" {
				t.Errorf("resumed %t; %v is %s, want final", resumed, err, got)
			}
		})
	}
}

// saysItself is an error that needs no interpretation.
type saysItself struct{ retryable bool }

func (saysItself) Error() string     { return "the revocation list is old" }
func (e saysItself) Retryable() bool { return e.retryable }

// A callback may need the network to judge, and crypto/tls hands on what the
// connection returned in the same way as what a callback did.
func TestAFailureInACallbackIsNoVerdict(t *testing.T) {
	for _, failure := range []error{
		io.EOF,
		io.ErrUnexpectedEOF,
		io.ErrClosedPipe,
		context.Canceled,
		context.DeadlineExceeded,
		os.ErrDeadlineExceeded,
		net.ErrClosed,
		syscall.ECONNRESET,
		os.NewSyscallError("read", syscall.ECONNRESET),
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		&url.Error{Op: "Post", URL: "http://ocsp.test", Err: io.EOF},
		fmt.Errorf("asking for the revocation list: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
		errors.Join(errors.New("pin mismatch"), io.EOF),
		errors.New("tls: in the words of crypto/tls"),
		errors.New("crypto/rsa: as crypto/tls hands on of others"),
		saysItself{true},
	} {
		for _, c := range callbacks(t) {
			t.Run(fmt.Sprintf("%T %v/%s", failure, failure, c.name), func(t *testing.T) {
				s := serve(t, &tls.Config{ClientAuth: tls.RequestClientCert}, http.NotFound)
				tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s)}}
				c.refuse(tr.TLSClientConfig, func() error { return failure })
				req := request(t, "POST", s.URL)
				err, explained := send(t, tr, req)
				want := "unprocessed"
				if errors.Is(failure, context.Canceled) {
					want = "accept" // as every inner cancellation
				}
				if got := outcome(req, explained); got != want {
					t.Errorf("%v is %s, want %s", err, got, want)
				}
			})
		}
	}
}

func TestACallbacksErrorThatIsDeclaredFinalStaysSo(t *testing.T) {
	s := serve(t, nil, http.NotFound)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s), VerifyConnection: func(tls.ConnectionState) error { return saysItself{false} }}}
	req := request(t, "GET", s.URL)
	_, explained := send(t, tr, req)
	if e, ok := errors.AsType[saysItself](explained); !ok || e.Retryable() {
		t.Errorf("%v lost what it says of itself", explained)
	}
}

// oddConn fails in words that nobody knows, as a stream of a multiplexer may.
type oddConn struct{ net.Conn }

func (oddConn) Write([]byte) (int, error) { return 0, errors.New("stream reset") }

func TestAConnectionOfItsOwnKindNeverLooksLikeAVerdict(t *testing.T) {
	s := serve(t, nil, http.NotFound)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(s)}, DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		there.Close()
		return oddConn{here}, nil
	}}
	req := request(t, "POST", s.URL)
	if err, explained := send(t, tr, req); outcome(req, explained) != "unprocessed" {
		t.Errorf("%v is %s, want unprocessed", err, outcome(req, explained))
	}
}
