package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
)

const routes = `upstreams:
  - {name: root, prefix: /, url: "http://root", limits: 1000/s}
  - {name: api, prefix: /api, url: "http://api/v1/", limits: 1000/s}
  - {name: deep, prefix: /api/deep, url: "http://deep", limits: 1000/s}
  - {name: host, host: api.internal, url: "http://host/base", limits: 1000/s}
  - {name: port, host: "ported.internal:81", url: "http://port", limits: 1000/s}
`

func TestOnlyConfiguredUpstreamsAreReached(t *testing.T) {
	var sent string
	p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
		sent = r.URL.String() + " host " + r.Host
		return response(r, 200, ""), nil
	}), routes)
	for _, tt := range []struct{ target, host, want string }{
		{"/", "any", "http://root/ host "},
		{"/x?q=1;2&%zz", "any", "http://root/x?q=1;2&%zz host "},
		{"/api", "any", "http://api/v1 host "},
		{"/api/", "any", "http://api/v1/ host "},
		{"/api/a%2Fb/c%20d//e", "any", "http://api/v1/a%2Fb/c%20d//e host "},
		{"/apis", "any", "http://root/apis host "},
		{"/%61pi/x", "any", "http://root/%61pi/x host "},
		{"/api/deep/er", "any", "http://deep/er host "},
		{"/api/x", "API.internal:8080", "http://host/base/api/x host "},
		{"/", "api.internal", "http://host/base/ host "},
		{"/x", "ported.internal:81", "http://port/x host "},
		{"/x", "ported.internal:82", "http://root/x host "},
		{"http://api.internal/x", "", "http://host/base/x host "},
		{"http://evil.example/x", "", "404"},
		{"http://evil.example/api/x", "", "404"},
		{"/api/../x", "any", "400"},
		{"/api/%2e%2e/x", "any", "400"},
		{"/api/..%2fx", "any", "400"},
		{`/api/..%5cx`, "any", "400"},
		{"/api/./x", "any", "400"},
		{"/api/..;a=b/x", "any", "400"},
		{"/api/%2e%2e%3b/x", "any", "400"},
		{"/api/a;..", "any", "http://api/v1/a;.. host "},
		{"/api/..x", "any", "http://api/v1/..x host "},
	} {
		r := httptest.NewRequest("GET", tt.target, nil)
		if tt.host != "" {
			r.Host = tt.host
		}
		w := httptest.NewRecorder()
		sent = ""
		p.ServeHTTP(w, r)
		got := sent
		if got == "" {
			got = fmt.Sprint(w.Code)
		}
		if got != tt.want {
			t.Errorf("%s at %s: %s, want %s", tt.target, tt.host, got, tt.want)
		}
	}
}

func TestThereIsNoTunnel(t *testing.T) {
	p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return response(r, 200, ""), nil
	}), routes)
	server := httptest.NewServer(p)
	defer server.Close()
	for request, want := range map[string]int{
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n": 405,
		"CONNECT api.internal:443 HTTP/1.1\r\nHost: api.internal:443\r\n\r\n": 405,
		"GET http://evil.example/ HTTP/1.1\r\nHost: api.internal\r\n\r\n":     404,
		"OPTIONS * HTTP/1.1\r\nHost: any\r\n\r\n":                             200, // net/http's own: it is for the server itself
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want || want == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%q: %s, want %d", request, resp.Status, want)
		}
		resp.Body.Close()
		conn.Close()
	}
}

// headersSent returns what reaches the upstream of a request with these headers.
func headersSent(t *testing.T, yaml string, in http.Header) http.Header {
	t.Helper()
	var sent http.Header
	p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
		sent = r.Header.Clone()
		return response(r, 200, "", "Connection", "X-Theirs", "X-Theirs", "1", "Keep-Alive", "5", "X-End", "2", "Set-Cookie", "a=b"), nil
	}), yaml)
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header = in
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if got, want := slices.Sorted(maps.Keys(w.Header())), []string{"Set-Cookie", "X-End"}; !slices.Equal(got, want) {
		t.Errorf("the client got %q, want %q", got, want)
	}
	return sent
}

func TestHopByHopHeadersEndAtTheProxy(t *testing.T) {
	sent := headersSent(t, `upstreams: [{name: a, prefix: /, url: "http://a", limits: 1/s}]`, http.Header{
		"Connection": {"X-Mine, close"}, "X-Mine": {"1"}, "Keep-Alive": {"5"}, "Proxy-Connection": {"x"}, "Te": {"gzip, trailers"},
		"Proxy-Authorization": {"secret"}, "Transfer-Encoding": {"x"}, "Upgrade": {"x"},
		"Authorization": {"token"}, "Traceparent": {"00-1-2-3"}, "Via": {"1.0 before"}, "X-End": {"2"},
		"Forwarded": {"for=1"}, "X-Forwarded-For": {"1"}, "X-Forwarded-Host": {"2"}, "X-Forwarded-Proto": {"3"}, "X-Forwarded-Port": {"4"},
	})
	want := http.Header{
		"Te": {"trailers"}, "Authorization": {"token"}, "Traceparent": {"00-1-2-3"}, "Via": {"1.0 before", "1.1 egressproxy"},
		"X-End": {"2"}, "User-Agent": {""},
	}
	if !maps.EqualFunc(sent, want, slices.Equal[[]string]) {
		t.Errorf("sent %v\nwant %v", sent, want)
	}
}

func TestWhoAsksIsToldOnlyWhereTheFileSaysSoAndNeverAsTheClientSays(t *testing.T) {
	sent := headersSent(t, `upstreams: [{name: a, prefix: /, url: "http://a", limits: 1/s, x_forwarded: true}]`, http.Header{
		"Forwarded": {"for=1"}, "X-Forwarded-For": {"1"}, "X-Forwarded-Host": {"2"}, "X-Forwarded-Proto": {"3"}, "X-Forwarded-Port": {"4"},
	})
	want := http.Header{
		"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Host": {"example.com"}, "X-Forwarded-Proto": {"http"},
		"Via": {"1.1 egressproxy"}, "User-Agent": {""},
	}
	if !maps.EqualFunc(sent, want, slices.Equal[[]string]) {
		t.Errorf("sent %v\nwant %v", sent, want)
	}
}

// Whoever speaks HTTP/2 with the upstream through an upgraded connection is not counted.
func TestNoUpgradeIsToAnotherHTTP(t *testing.T) {
	for protocol, want := range map[string][]string{
		"websocket":      {"Connection", "Upgrade", "User-Agent", "Via"},
		"h2c":            {"User-Agent", "Via"},
		"websocket, H2C": {"User-Agent", "Via"},
		"HTTP/2.0":       {"User-Agent", "Via"},
	} {
		in := http.Header{"Connection": {"Upgrade"}, "Upgrade": {protocol}}
		if protocol != "websocket" {
			in.Set("HTTP2-Settings", "AAMAAABk")
		}
		sent := headersSent(t, `upstreams: [{name: a, prefix: /, url: "http://a", limits: 1/s}]`, in)
		if got := slices.Sorted(maps.Keys(sent)); !slices.Equal(got, want) {
			t.Errorf("%s: sent %q, want %q", protocol, got, want)
		}
	}
}

func TestWhatIsForTheProxyAloneGoesNoFurther(t *testing.T) {
	for strip, want := range map[string][]string{
		"true":  {"User-Agent", "Via"},
		"false": {"User-Agent", "Via", "X-Tenant"},
	} {
		sent := headersSent(t, `upstreams: [{name: a, prefix: /, url: "http://a", limits: 100 tokens/s, costs: {tokens: X-Tokens}, tenants: {header: X-Tenant, strip: `+strip+`}}]`,
			http.Header{"X-Tenant": {"t"}, "X-Tokens": {"5"}})
		if got := slices.Sorted(maps.Keys(sent)); !slices.Equal(got, want) {
			t.Errorf("strip %s: sent %q, want %q", strip, got, want)
		}
	}
}

// Of two tenants that always have requests, one of three times the weight gets three times the starts.
func TestTenantsShareByWeightAndNoneHoldsUpAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		var order []string
		base := s.base()
		p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
			resp, err := base(r)
			s.mu.Lock()
			defer s.mu.Unlock()
			order = append(order, r.Header.Get("X-Tenant"))
			return resp, err
		}), `upstreams: [{name: a, prefix: /, url: "http://a", limits: 1/s even, max_waiting: 50, tenants: {header: X-Tenant, weights: {gold: 3}}}]`)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		refused := make(chan int, 100)
		for range 60 {
			for _, tenant := range []string{"iron", "gold"} {
				go func() {
					if w := askWith(ctx, p, "GET", "/", "X-Tenant", tenant); w.Code == 429 {
						refused <- w.Code
					}
				}()
				synctest.Wait()
			}
		}
		time.Sleep(41500 * time.Millisecond) // between two starts
		s.mu.Lock()
		gold := 0
		for _, tenant := range order[1:41] {
			if tenant == "gold" {
				gold++
			}
		}
		s.mu.Unlock()
		if gold != 30 {
			t.Errorf("gold had %d of 40 starts, want 30", gold)
		}
		if got := len(refused); got != 2*(60-50)-1 { // one had started at once
			t.Errorf("%d refused, want 19: each tenant has a queue of its own", got)
		}
		go askWith(ctx, p, "GET", "/", "X-Tenant", "new")
		time.Sleep(10 * time.Second) // two rounds of all three
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Contains(order[42:], "new") {
			t.Errorf("a new tenant waited behind those who flood: %q", order[42:])
		}
	})
}

func TestARetriedRequestHasItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, string(body))
			return response(r, []int{503, 200}[len(got)-1], ""), nil
		}), `upstreams: [{name: a, prefix: /, url: "http://a", limits: 10/s, buffer: 4}]`)
		r := httptest.NewRequest("PUT", "/", strings.NewReader("body"))
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != 200 || !slices.Equal(got, []string{"body", "body"}) {
			t.Errorf("%d, sent %q", w.Code, got)
		}
	})
}

// Who waits for "100 Continue" gets it from the proxy where that has read the body before it asks
// the upstream, which need not be asked whether it wants it.
func TestAnExpectationEndsWhereItIsMet(t *testing.T) {
	for buffer, want := range map[int]string{4: "", 3: "100-continue"} {
		p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("Expect"); got != want {
				t.Errorf("with a buffer of %d: Expect is %q, want %q", buffer, got, want)
			}
			return response(r, 200, ""), nil
		}), fmt.Sprintf(`upstreams: [{name: a, prefix: /, url: "http://a", limits: 1/s, buffer: %d}]`, buffer))
		r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
		r.Header.Set("Expect", "100-continue")
		p.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// Every attempt takes a slot of its own: so limits hold while an upstream fails.
func TestRetriesTakeSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		base := s.base()
		p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
			resp, err := base(r)
			resp.StatusCode = 503
			return resp, err
		}), `upstreams: [{name: a, prefix: /, url: "http://a", limits: 1/20s}]`)
		ask(p, "GET", "/")
		s.want(t, 0, 20*time.Second, 40*time.Second, 60*time.Second)
		for _, u := range p.table.Load().upstreams {
			c := u.reverse.Transport.(chains)
			for _, chain := range []http.RoundTripper{c.again, c.once} {
				if err := chain.(*pacedhttp.Transport).Check(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// A body that streams is sent once, and no attempt's timeout cuts it.
func TestABodyThatStreamsIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		p := proxyOf(t, answers(func(r *http.Request) (*http.Response, error) {
			sent++
			time.Sleep(time.Minute)
			_, err := io.ReadAll(r.Body)
			if err != nil || r.Context().Err() != nil {
				t.Errorf("cut: %v, %v", err, r.Context().Err())
			}
			return response(r, 503, "theirs"), nil
		}), `upstreams: [{name: a, prefix: /, url: "http://a", limits: 10/s, buffer: 3, retries: {attempt_timeout: 1s}}]`)
		for _, length := range []int64{4, -1} {
			r := httptest.NewRequest("PUT", "/", strings.NewReader("body"))
			r.ContentLength = length
			w := httptest.NewRecorder()
			sent = 0
			p.ServeHTTP(w, r)
			if w.Code != 503 || w.Body.String() != "theirs" || sent != 1 {
				t.Errorf("length %d: %d %s, sent %d times", length, w.Code, w.Body, sent)
			}
		}
	})
}

func TestAPathIsNeverReadTwoWays(t *testing.T) {
	for _, escaped := range []string{"/", "/a", "/a%2Fb", "/a%2fb", "/%E4", "/a+b", "/a;b=c", "/a//b", "/~x", "/a%20b", "/*"} {
		decoded, kept := join("/base/", escaped)
		u := &url.URL{Scheme: "http", Host: "h", Path: decoded, RawPath: kept}
		if got, want := u.EscapedPath(), "/base"+escaped; got != want {
			t.Errorf("%s became %s", want, got)
		}
	}
}
