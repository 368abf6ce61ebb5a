package pacedhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// An idleCounter is a base that counts CloseIdleConnections.
type idleCounter struct {
	*script
	closed int
}

func (c *idleCounter) CloseIdleConnections() { c.closed++ }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// foreign returns a middleware as others write them, that knows nothing of this
// package. It appends its name to passed.
func foreign(name string, passed *[]string) pacedhttp.Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			*passed = append(*passed, name)
			return next.RoundTrip(req)
		})
	}
}

func everyLayer() []pacedhttp.Middleware {
	return []pacedhttp.Middleware{
		pacedhttp.Log(nil),
		pacedhttp.Observe(pacedhttp.Hooks{}),
		pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)),
		pacedhttp.Retry(nil),
		pacedhttp.Pace(pacer.Burst(100, time.Second)),
		pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil }),
	}
}

func TestFirstListedMiddlewareIsOutermost(t *testing.T) {
	var passed []string
	rt := pacedhttp.New(newScript(), foreign("a", &passed), nil, foreign("b", &passed), foreign("c", &passed))
	if _, _, err := send(t, rt, newRequest(t, "GET", nil)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(passed, want) {
		t.Errorf("passed %v, want %v", passed, want)
	}
}

func TestMiddlewareIsAnAlias(t *testing.T) {
	type wrapperFunc func(http.RoundTripper) http.RoundTripper // as client-go has it
	var f wrapperFunc = pacedhttp.Retry(nil)
	if _, _, err := send(t, f(newScript()), newRequest(t, "GET", nil)); err != nil {
		t.Error(err)
	}
}

func TestNilBaseIsAPooledTransport(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }))
	defer server.Close()
	rt := pacedhttp.New(nil)
	defer rt.CloseIdleConnections()
	_, first, err := send(t, rt, newRequestTo(t, "GET", server.URL, nil))
	_, second, _ := send(t, rt, newRequestTo(t, "GET", server.URL, nil))
	if err != nil || first != second {
		t.Errorf("sent from %q and %q, %v: the connection was not reused", first, second, err)
	}
}

func TestNilArgumentsDoNothing(t *testing.T) {
	base := newScript(step{status: 503})
	rt := pacedhttp.New(base, pacedhttp.Pace(nil), pacedhttp.PaceBy(nil), pacedhttp.Fallback(nil), pacedhttp.Prepare(nil), nil)
	if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 503 || base.calls() != 1 {
		t.Errorf("got %d, %v after %d sends", status, err, base.calls())
	}
}

func TestClientUsesTheTransport(t *testing.T) {
	rt := pacedhttp.New(newScript())
	if a, b := rt.Client(), rt.Client(); a.Transport != http.RoundTripper(rt) || a == b {
		t.Error("Client must return a new client on the transport")
	}
}

func TestWrapClientLeavesTheClientUntouched(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	noRedirect := errors.New("no redirects here")
	base := newScript(step{status: 503}, step{status: 302, header: header("Location", "/elsewhere", "Set-Cookie", "a=b")})
	original := http.Client{
		Transport:     base,
		Timeout:       time.Minute,
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return noRedirect },
	}
	wrapped := pacedhttp.WrapClient(&original, pacedhttp.Retry(policyOf(2, 0)))
	if original.Transport != http.RoundTripper(base) {
		t.Error("the client's transport was replaced")
	}
	if wrapped == &original || wrapped.Timeout != time.Minute || wrapped.Jar != original.Jar {
		t.Error("the copy has other settings")
	}
	resp, err := wrapped.Get("http://api.test/")
	if !errors.Is(err, noRedirect) || base.calls() != 2 {
		t.Errorf("got %v after %d sends", err, base.calls())
	}
	resp.Body.Close()
	if len(jar.Cookies(resp.Request.URL)) != 1 {
		t.Error("the jar was not used")
	}
}

func TestWrapClientTakesNilForNetHTTPsDefaults(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	base := newScript()
	http.DefaultTransport = base
	var passed []string
	for name, c := range map[string]*http.Client{"nil client": nil, "nil transport": {}} {
		resp, err := pacedhttp.WrapClient(c, foreign(name, &passed)).Get("http://api.test/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if len(passed) != 2 || base.calls() != 2 || http.DefaultClient.Transport != nil {
		t.Errorf("passed %v, sent %d", passed, base.calls())
	}
}

func TestCloseIdleConnectionsReachesTheBase(t *testing.T) {
	var passed []string
	for i, mw := range everyLayer() {
		t.Run(fmt.Sprintf("layer %d alone", i), func(t *testing.T) {
			base := &idleCounter{script: newScript()}
			(&http.Client{Transport: mw(base)}).CloseIdleConnections()
			if base.closed != 1 {
				t.Errorf("closed %d times", base.closed)
			}
		})
	}
	for name, wrap := range map[string]func(http.RoundTripper) *http.Client{
		"every layer":   func(base http.RoundTripper) *http.Client { return pacedhttp.New(base, everyLayer()...).Client() },
		"a foreign one": func(base http.RoundTripper) *http.Client { return pacedhttp.New(base, foreign("a", &passed)).Client() },
		"chain on chain": func(base http.RoundTripper) *http.Client {
			return pacedhttp.New(pacedhttp.New(base, everyLayer()...), foreign("a", &passed)).Client()
		},
		"a client": func(base http.RoundTripper) *http.Client {
			return pacedhttp.WrapClient(&http.Client{Transport: base}, everyLayer()...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := &idleCounter{script: newScript()}
			wrap(base).CloseIdleConnections()
			if base.closed != 1 {
				t.Errorf("closed %d times", base.closed)
			}
		})
	}
}

func TestBaseThatBreaksTheContract(t *testing.T) {
	answer := func(resp *http.Response, err error) step {
		return step{answer: func(*http.Request) (*http.Response, error) { return resp, err }}
	}
	for i, mw := range append(everyLayer(), nil) {
		t.Run(fmt.Sprintf("layer %d", i), func(t *testing.T) {
			body := trackString("")
			for name, tc := range map[string]struct {
				step   step
				status int
			}{
				"neither": {answer(nil, nil), 0},
				"both":    {answer(&http.Response{StatusCode: 200, Body: body}, errClosed), 0},
				"no body": {answer(&http.Response{StatusCode: 204}, nil), 204},
			} {
				rt := pacedhttp.New(newScript(tc.step), mw)
				status, _, err := send(t, rt, newRequest(t, "POST", nil))
				if i == 2 && tc.status == 0 { // the fallback answers
					tc.status = 200
				}
				if status != tc.status {
					t.Errorf("%s: got %d, %v", name, status, err)
				}
			}
			body.wantClosedOnce(t)
		})
	}
}
