package pacedhttp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pacedhttp/pacedhttp"
)

// The client itself is the measure: its own Authorization and what Prepare adds reach the
// same hops.
func TestPrepareIsNotCalledExactlyWhereTheClientStripsAuthorization(t *testing.T) {
	for name, hops := range map[string][]string{
		"the same host":                {"http://api.example/", "http://api.example/b"},
		"another path, then another":   {"http://api.example/a", "http://api.example/b", "http://api.example/c"},
		"another host":                 {"http://api.example/", "http://evil.example/"},
		"a subdomain":                  {"http://example.com/", "http://www.example.com/"},
		"the parent domain":            {"http://www.example.com/", "http://example.com/"},
		"a sibling":                    {"http://a.example.com/", "http://b.example.com/"},
		"a name that ends alike":       {"http://example.com/", "http://notexample.com/"},
		"another port":                 {"http://api.example/", "http://api.example:8080/"},
		"another port of a subdomain":  {"http://example.com:1/", "http://www.example.com:2/"},
		"another scheme":               {"http://api.example/", "https://api.example/"},
		"back to the first":            {"http://api.example/", "http://evil.example/", "http://api.example/"},
		"on from another to its own":   {"http://api.example/", "http://evil.example/", "http://evil.example/b"},
		"a subdomain, then the first":  {"http://example.com/", "http://www.example.com/", "http://example.com/"},
		"other letters of the name":    {"http://api.example/", "http://API.example/"},
		"an address":                   {"http://127.0.0.1/", "http://127.0.0.2/"},
		"an IPv6 address":              {"http://[::1]/", "http://[::1]:8080/"},
		"an IPv6 zone like a domain":   {"http://www.example.com/", "http://[::1%25.www.example.com]/"},
		"a trailing dot":               {"http://example.com/", "http://example.com./"},
		"an international name, alike": {"http://b\u00fccher.example/", "http://www.b\u00fccher.example/"},
	} {
		for chain, mw := range map[string][]pacedhttp.Middleware{"alone": nil, "Retry": {pacedhttp.Retry(nil)}, "Observe, Fallback": {pacedhttp.Observe(pacedhttp.Hooks{}), pacedhttp.Fallback(keep)}} {
			t.Run(name+"/"+chain, func(t *testing.T) {
				n := 0
				base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
					byClient, byPrepare := req.Header.Get("Authorization") != "", req.Header.Get("X-Signature") != ""
					if byClient != byPrepare {
						t.Errorf("hop %d, to %s: Authorization %v, prepared %v", n, req.URL, byClient, byPrepare)
					}
					if req.Header.Get("X-Trace") == "" {
						t.Errorf("hop %d, to %s: not prepared for any host", n, req.URL)
					}
					if n++; n < len(hops) {
						return &http.Response{StatusCode: 307, Header: header("Location", hops[n])}, nil
					}
					return &http.Response{StatusCode: 200}, nil
				})
				sign := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
					req.Header.Set("X-Signature", "secret")
					return nil
				})
				trace := pacedhttp.PrepareAnyHost(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
					req.Header.Set("X-Trace", "1")
					return nil
				})
				req := newRequestTo(t, "GET", hops[0], nil)
				req.Header.Set("Authorization", "Bearer token")
				resp, err := pacedhttp.New(base, append(mw, sign, trace)...).Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if n != len(hops) {
					t.Errorf("%d hops", n)
				}
			})
		}
	}
}

// A foreign layer may lose the hop before.
func TestPrepareIsNotCalledWhereTheFirstHostIsUnknown(t *testing.T) {
	called := false
	rt := pacedhttp.New(newScript(), pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { called = true; return nil }))
	req := newRequest(t, "GET", nil)
	req.Response = &http.Response{StatusCode: 307}
	send(t, rt, req)
	if called {
		t.Error("called for the hop of a call that nobody knows")
	}
}

func TestRequestWithoutAURLIsLeftToTheBase(t *testing.T) {
	for name, mw := range everyChain() {
		base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", Err: http.ErrNotSupported}
		}})
		if _, err := pacedhttp.New(base, mw...).RoundTrip(&http.Request{Method: "GET", Header: http.Header{}}); base.calls() != 1 || err == nil || strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: %v after %d sends", name, err, base.calls())
		}
	}
}
