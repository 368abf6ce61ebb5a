package retrypolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestTLSErrors(t *testing.T) {
	server := func(t *testing.T, cfg *tls.Config) *httptest.Server {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = cfg
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	roots := func(s *httptest.Server) *x509.CertPool {
		return s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	checkProvoked(t, []provoked{
		{"unknown authority", Accept, func(t *testing.T) error {
			return send(t, nil, "GET", server(t, nil).URL, nil)
		}},
		{"other host's certificate", Accept, func(t *testing.T) error {
			s := server(t, nil)
			return send(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(s), ServerName: "other.test"}}, "GET", s.URL, nil)
		}},
		{"expired certificate", Accept, func(t *testing.T) error {
			s := server(t, nil)
			far := func() time.Time { return time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) }
			return send(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(s), Time: far}}, "GET", s.URL, nil)
		}},
		{"unknown authority, verified by hand", Accept, func(t *testing.T) error {
			s := server(t, nil)
			_, err := s.Certificate().Verify(x509.VerifyOptions{Roots: x509.NewCertPool()})
			return err
		}},
		// On macOS and Windows the system verifies, with errors of its own.
		{"refused by the system's verifier", Accept, func(*testing.T) error {
			return &tls.CertificateVerificationError{Err: errBoom}
		}},
		{"client certificate missing, TLS 1.3", Accept, func(t *testing.T) error {
			s := server(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
			return send(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(s)}}, "GET", s.URL, nil)
		}},
		// The alert is the general handshake_failure here.
		{"client certificate missing, TLS 1.2", Unprocessed, func(t *testing.T) error {
			s := server(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
			return send(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(s)}}, "GET", s.URL, nil)
		}},
		{"plain HTTP on the TLS port", Accept, func(t *testing.T) error {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return send(t, nil, "GET", strings.Replace(s.URL, "http:", "https:", 1), nil)
		}},
		{"plain HTTP on the TLS port, to a transport", Accept, func(t *testing.T) error {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			req := httptest.NewRequest("GET", strings.Replace(s.URL, "http:", "https:", 1), nil)
			_, err := (&http.Transport{}).RoundTrip(req)
			return err
		}},
		{"the server speaks another TLS version", Unprocessed, func(t *testing.T) error {
			s := server(t, &tls.Config{MinVersion: tls.VersionTLS13})
			return send(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(s), MaxVersion: tls.VersionTLS12}}, "POST", s.URL, nil)
		}},
		{"the server breaks down in the handshake", Transient, func(t *testing.T) error {
			s := server(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return nil, errors.New("no configuration")
			}})
			return send(t, nil, "POST", s.URL, nil)
		}},
		{"handshake timeout", Unprocessed, func(t *testing.T) error {
			silent := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
			return send(t, &http.Transport{TLSHandshakeTimeout: time.Millisecond}, "POST", "https://"+silent, nil)
		}},
		// net/http returns a bare io.EOF here, as it does after a request was written.
		{"the server hangs up in the handshake", Transient, func(t *testing.T) error {
			hangUp := listen(t, func(conn net.Conn) { conn.Read(make([]byte, 1<<14)) })
			return send(t, nil, "POST", "https://"+hangUp, nil)
		}},
		{"the server hangs up in the handshake, as its transport knows", Unprocessed, func(t *testing.T) error {
			hangUp := listen(t, func(conn net.Conn) { conn.Read(make([]byte, 1<<14)) })
			return fmt.Errorf("sending: %w", neverSent{send(t, nil, "POST", "https://"+hangUp, nil)})
		}},
	})
}

// neverSent is how another layer tells that it wrote no request.
type neverSent struct{ error }

func (neverSent) Unprocessed() bool { return true }

func (e neverSent) Unwrap() error { return e.error }
