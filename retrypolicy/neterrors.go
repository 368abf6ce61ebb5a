package retrypolicy

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"syscall"
)

// contains reports whether f holds for any error of err's tree.
func contains(err error, f func(error) bool) bool {
	if err == nil {
		return false
	}
	if f(err) {
		return true
	}
	for _, cause := range causes(err) {
		if contains(cause, f) {
			return true
		}
	}
	return false
}

// causes returns what err itself wraps, without nils.
func causes(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	case interface{ Unwrap() []error }:
		return slices.DeleteFunc(slices.Clone(e.Unwrap()), func(err error) bool { return err == nil })
	}
	return nil
}

// declaredFinal reports whether a layer below said that err must not be retried.
func declaredFinal(err error) bool {
	return contains(err, func(err error) bool {
		e, ok := err.(interface{ Retryable() bool })
		return ok && !e.Retryable()
	})
}

// hopeless reports whether err, looked at without its causes, would come back from
// another attempt too.
func hopeless(err error) bool {
	switch e := err.(type) {
	case *tls.CertificateVerificationError, *tls.ECHRejectionError, tls.RecordHeaderError,
		x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError,
		x509.SystemRootsError, x509.ConstraintViolationError, x509.InsecureAlgorithmError,
		x509.UnhandledCriticalExtension:
		return true
	case *net.DNSError:
		// NXDOMAIN is an answer; a resolver that timed out or misbehaves gave none.
		return e.IsNotFound && !e.IsTimeout && !e.IsTemporary
	case *net.AddrError, *net.ParseError, net.UnknownNetworkError, net.InvalidAddrError:
		return true
	case *net.OpError:
		return certificateRefused(e) || socksRefused(e)
	case *url.Error:
		return e.Op == "parse"
	}
	if err == http.ErrSchemeMismatch {
		return true
	}
	return http2Hopeless(err) || hopelessText(err.Error())
}

// certificateRefused reports whether the peer rejected the certificate that the
// client showed, or showed none.
func certificateRefused(e *net.OpError) bool {
	switch alert, _ := remoteAlert(e); alert {
	case 42, 43, 44, 45, 46, 48, 49, 116: // RFC 8446 §6.2: bad_certificate … access_denied, certificate_required
		return true
	}
	return false
}

// unsent reports whether err, looked at without its causes, proves that the server
// never acted on the request.
func unsent(err error) bool {
	switch e := err.(type) {
	case interface{ Unprocessed() bool }:
		return e.Unprocessed()
	case *net.DNSError:
		return true
	case *net.OpError:
		switch e.Op {
		case "dial", "proxyconnect", "socks connect":
			return true
		}
		return handshakeRefused(e)
	case syscall.Errno:
		return e == syscall.ECONNREFUSED
	}
	return http2Unsent(err) || nothingWritten(err) || err.Error() == "net/http: TLS handshake timeout"
}

// handshakeRefused reports whether the peer ended the TLS handshake. Only alerts
// that have no use after the handshake prove it: an internal_error, say, may come
// when the request is already being served.
func handshakeRefused(e *net.OpError) bool {
	switch alert, _ := remoteAlert(e); alert {
	case 40, 47, 70, 71, 86, 109, 110, 112, 120: // RFC 8446 §6.2: handshake_failure … no_application_protocol
		return true
	}
	return false
}

// remoteAlert returns the TLS alert that the peer sent. Its type in crypto/tls is
// unexported, but it is a number of RFC 8446 §6.
func remoteAlert(e *net.OpError) (alert uint64, ok bool) {
	if e.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(e.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}

// nothingWritten reports whether err is the wrapper that net/http puts around a
// connection's failure before the first byte of the request. The type is
// unexported and has no text of its own; if it goes, such a failure counts as
// Transient.
func nothingWritten(err error) bool {
	t := reflect.TypeOf(err)
	return t.PkgPath() == "net/http" && t.Name() == "nothingWrittenError"
}

// hopelessText recognises errors that net/http makes with errors.New or
// fmt.Errorf, which nothing but the text tells apart. Should one be reworded, its
// error counts as Transient.
func hopelessText(text string) bool {
	switch text {
	case "net/http: request canceled", // by Request.Cancel, which has no typed error
		"net/http: request canceled while waiting for connection":
		return true
	}
	for _, prefix := range [...]string{
		// A request that can never be sent.
		"unsupported protocol scheme",
		"http: nil Request.URL",
		"http: nil Request.Header",
		"http: no Host in request URL",
		"http: invalid Host header",
		"http: Request.Write on Request with no Host or URL set",
		"http: Request.RequestURI can't be set in client requests",
		"http: Request.ContentLength=",
		"net/http: invalid header ",
		"net/http: invalid trailer ",
		"net/http: invalid method ",
		"net/http: can't write control character in Request.URL",
		// A body that disagrees with its declared length.
		"http: ContentLength=",
		// Redirects that lead nowhere.
		"stopped after 10 redirects",
		"failed to parse Location header",
	} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}
