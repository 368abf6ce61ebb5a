package retrypolicy

import (
	"errors"
	"net"
	"net/http"
	"reflect"
	"strings"
)

// connects reports whether a proxy is asked to CONNECT for req: for https only.
func connects(req *http.Request) bool {
	return req != nil && req.URL != nil && req.URL.Scheme == "https"
}

// connectForbidden reports whether err, looked at without its causes, is a proxy's
// refusal that would come back: it wants credentials, or forbids the host.
func connectForbidden(err error) bool {
	switch connectStatus(err) {
	case http.StatusProxyAuthRequired, http.StatusForbidden:
		return true
	}
	return false
}

// connectRefused reports whether err, looked at without its causes, is a proxy's
// refusal to make the connection on which the request would have been sent. "unknown
// status code" is what net/http says where the proxy gave a status and no word.
func connectRefused(err error) bool {
	return connectStatus(err) != 0 || plain(err) && err.Error() == "unknown status code"
}

// connectStatus returns the status with which a proxy refused CONNECT, or 0. Of its
// answer net/http leaves the words alone, so only the standard ones (those of
// [http.StatusText]) tell. Where a proxy has words of its own, only the transport can
// know that nothing was sent: see the methods in the package comment.
func connectStatus(err error) int {
	if !plain(err) || err.Error() == "" {
		return 0
	}
	for status := 100; status < 600; status++ {
		if status/100 != 2 && http.StatusText(status) == err.Error() {
			return status
		}
	}
	return 0
}

var plainType = reflect.TypeOf(errors.New(""))

// plain reports whether err was made by errors.New.
func plain(err error) bool { return reflect.TypeOf(err) == plainType }

// socksRefused reports whether a SOCKS proxy refused what it would refuse again, or
// was asked what cannot be asked (RFC 1928 §3 and §6, RFC 1929). Its other answers say
// how its own dial failed. net/http and golang.org/x/net/proxy have the same client,
// whose errors are known by their text; should one be reworded, it is a failed dial.
func socksRefused(e *net.OpError) bool {
	if e.Op != "socks connect" || e.Err == nil {
		return false
	}
	text := e.Err.Error()
	switch text {
	case "no acceptable authentication methods",
		"username/password authentication failed",
		"invalid username/password",
		"unknown error connection not allowed by ruleset",
		"unknown error command not supported",
		"unknown error address type not supported",
		"FQDN too long":
		return true
	}
	return strings.HasPrefix(text, "unsupported authentication method ") || strings.HasPrefix(text, "port number out of range ")
}
