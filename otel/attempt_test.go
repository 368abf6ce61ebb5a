package otelpacedhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
)

var (
	startKeys = []string{"http.request.method", "server.address", "server.port", "url.full"}
	laterKeys = []string{"http.response.status_code", "network.protocol.version", "network.peer.address", "network.peer.port"}
)

func TestAttemptSpanHasTheAttributesOfTheConventions(t *testing.T) {
	for _, tt := range []struct {
		name     string
		site     func(testing.TB, ...int) *site
		status   int
		protocol string
		more     []string
	}{
		{"HTTP/1 success", serve, 200, "1.1", nil},
		{"HTTP/1 failure", serve, 503, "1.1", []string{"error.type"}},
		{"HTTP/2 success", serveHTTP2, 204, "2", nil},
		{"HTTP/2 failure", serveHTTP2, 404, "2", []string{"error.type"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, srv := record(t), tt.site(t, tt.status)
			get(t, rec.Attempt(srv.base(t)), srv.URL+"/users?page=2")

			span := rec.attempts(t, 1)[0]
			wantKeys(t, "span", span.Attributes(), append(append(tt.more, startKeys...), laterKeys...), nil)
			wantKeys(t, "sampler", rec.sampler.seen["GET"], startKeys, nil)

			u, _ := url.Parse(srv.URL)
			port, _ := strconv.Atoi(u.Port())
			for key, want := range map[string]any{
				"http.request.method":       "GET",
				"url.full":                  srv.URL + "/users?page=2",
				"server.address":            "127.0.0.1",
				"server.port":               int64(port),
				"network.peer.address":      "127.0.0.1",
				"network.peer.port":         int64(port),
				"network.protocol.version":  tt.protocol,
				"http.response.status_code": int64(tt.status),
			} {
				if got := value(span, key).AsInterface(); got != want {
					t.Errorf("%s = %v, want %v", key, got, want)
				}
			}
		})
	}
}

func TestAttemptSpanStatusFollowsTheResponse(t *testing.T) {
	for status, want := range map[int]string{
		101: "", 200: "", 204: "", 304: "", 399: "",
		400: "400", 404: "404", 429: "429", 500: "500", 503: "503", 600: "600", 99: "99",
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			rec := record(t)
			get(t, rec.Attempt(answering(status)), "http://example.com/")
			span := rec.attempts(t, 1)[0]
			code := codes.Unset
			if want != "" {
				code = codes.Error
			}
			if got := span.Status(); got.Code != code || got.Description != "" {
				t.Errorf("status = %v, want %v without description", got, code)
			}
			if got := value(span, "error.type").AsString(); got != want {
				t.Errorf("error.type = %q, want %q", got, want)
			}
		})
	}
}

func TestMethodIsKnownOrOther(t *testing.T) {
	for _, tt := range []struct{ env, method, want, original, name string }{
		{"", "", "GET", "", "GET"},
		{"", "GET", "GET", "", "GET"},
		{"", "PATCH", "PATCH", "", "PATCH"},
		{"", "QUERY", "QUERY", "", "QUERY"},
		{"", "TRACE", "TRACE", "", "TRACE"},
		{"", "get", "_OTHER", "get", "HTTP"},
		{"", "PROPFIND", "_OTHER", "PROPFIND", "HTTP"},
		{"PROPFIND, GET ,", "PROPFIND", "PROPFIND", "", "PROPFIND"},
		{"PROPFIND, GET ,", "GET", "GET", "", "GET"},
		{"PROPFIND, GET ,", "POST", "_OTHER", "POST", "HTTP"},
	} {
		t.Run(tt.env+" "+tt.method, func(t *testing.T) {
			t.Setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", tt.env)
			rec := record(t)
			req := newRequest(t, t.Context(), http.MethodGet, "http://example.com/")
			req.Method = tt.method
			if _, err := rec.Attempt(answering(200)).RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			span := rec.attempts(t, 1)[0]
			if got := value(span, "http.request.method").AsString(); got != tt.want {
				t.Errorf("method = %q, want %q", got, tt.want)
			}
			if got := value(span, "http.request.method_original").AsString(); got != tt.original {
				t.Errorf("original = %q, want %q", got, tt.original)
			}
			if span.Name() != tt.name {
				t.Errorf("name = %q, want %q", span.Name(), tt.name)
			}
		})
	}
}

func TestURLTemplateNamesTheSpan(t *testing.T) {
	template := otelpacedhttp.WithURLTemplate(func(req *http.Request) string {
		if req.URL.Path == "/" {
			return ""
		}
		return "/users/{id}"
	})
	for _, tt := range []struct{ method, path, name, template string }{
		{"GET", "/users/7", "GET /users/{id}", "/users/{id}"},
		{"SING", "/users/7", "HTTP /users/{id}", "/users/{id}"},
		{"GET", "/", "GET", ""},
	} {
		rec := record(t, template)
		if _, err := rec.Attempt(answering(200)).RoundTrip(newRequest(t, t.Context(), tt.method, "http://example.com"+tt.path)); err != nil {
			t.Fatal(err)
		}
		span := rec.attempts(t, 1)[0]
		if span.Name() != tt.name || value(span, "url.template").AsString() != tt.template {
			t.Errorf("%s %s: name %q, template %q", tt.method, tt.path, span.Name(), value(span, "url.template").AsString())
		}
	}
}

func TestCapturedHeadersAreThoseOnTheWire(t *testing.T) {
	rec := record(t,
		otelpacedhttp.WithCapturedRequestHeaders("x-token", "X-Absent"),
		otelpacedhttp.WithCapturedResponseHeaders("X-RateLimit-Remaining"))
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"X-Ratelimit-Remaining": {"7"}, "Set-Cookie": {"secret"}}, Body: http.NoBody}, nil
	})
	sign := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		req.Header["X-Token"] = []string{"a", "b"}
		return nil
	})
	get(t, pacedhttp.New(base, sign, rec.Attempt), "http://example.com/")
	span := rec.attempts(t, 1)[0]
	if got := fmt.Sprint(value(span, "http.request.header.x-token").AsStringSlice()); got != "[a b]" {
		t.Errorf("request header = %s", got)
	}
	if got := fmt.Sprint(value(span, "http.response.header.x-ratelimit-remaining").AsStringSlice()); got != "[7]" {
		t.Errorf("response header = %s", got)
	}
	wantKeys(t, "span", span.Attributes(), startKeys, []string{"http.response.status_code",
		"http.request.header.x-token", "http.response.header.x-ratelimit-remaining"})
}

func TestAttemptSpanEndsWithoutItsBodyBeingRead(t *testing.T) {
	rec, srv := record(t), serve(t, 200)
	resp, err := rec.Attempt(srv.base(t)).RoundTrip(newRequest(t, t.Context(), http.MethodGet, srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	rec.attempts(t, 1)
	_ = resp.Body.Close()
}

func TestAttemptLeavesTheResponseAlone(t *testing.T) {
	want := &http.Response{StatusCode: 200, Body: io.NopCloser(nil)}
	body := want.Body
	rt := pacedhttp.New(roundTripper(func(*http.Request) (*http.Response, error) { return want, nil }), record(t).Call, record(t).Attempt)
	got, err := rt.RoundTrip(newRequest(t, t.Context(), http.MethodGet, "http://example.com/"))
	if err != nil || got != want || got.Body != body {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestAttemptSpanBeginsWithItsSlot also pins the wait on the span and that the span and
// the metric last equally long.
func TestAttemptSpanBeginsWithItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t)
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			time.Sleep(300 * time.Millisecond)
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		rt := pacedhttp.New(base, rec.Call, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Drip(1, 2*time.Second)), rec.Attempt)
		began := time.Now()
		get(t, rt, "http://example.com/")
		get(t, rt, "http://example.com/")

		spans := rec.attempts(t, 2)
		for i, want := range []struct{ wait, start time.Duration }{{0, 0}, {1700 * time.Millisecond, 2 * time.Second}} {
			if got := value(spans[i], "pacedhttp.pacing.wait.duration"); got.Type() != attribute.FLOAT64 || got.AsFloat64() != want.wait.Seconds() {
				t.Errorf("attempt %d: wait = %v, want %v", i+1, got.AsInterface(), want.wait.Seconds())
			}
			if got := spans[i].StartTime().Sub(began); got != want.start {
				t.Errorf("attempt %d: starts at %v, want %v", i+1, got, want.start)
			}
			if got := spans[i].EndTime().Sub(spans[i].StartTime()); got != 300*time.Millisecond {
				t.Errorf("attempt %d: lasts %v", i+1, got)
			}
		}
	})
}

func TestWaitIsOnTheSpanWhateverLayersThereAre(t *testing.T) {
	for _, tt := range []struct {
		name        string
		call, retry bool
		paces       int
		want        any
	}{
		{"call, retry, pace", true, true, 1, 1.0},
		{"call, retry, pace, pace", true, true, 2, 3.0},
		{"call, pace", true, false, 1, 1.0},
		{"call, pace, pace", true, false, 2, 3.0},
		{"retry, pace", false, true, 1, 1.0},
		{"call, retry", true, true, 0, nil},
		{"retry", false, true, 0, nil},
		{"none", false, false, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t)
				var mw []pacedhttp.Middleware
				if tt.call {
					mw = append(mw, rec.Call)
				}
				if tt.retry {
					mw = append(mw, pacedhttp.Retry(nil))
				}
				for n := range tt.paces {
					p := pacer.Drip(1, time.Duration(2*n+1)*time.Second)
					p.Allow()
					mw = append(mw, pacedhttp.Pace(p))
				}
				get(t, pacedhttp.New(answering(200), append(mw, rec.Attempt)...), "http://example.com/")
				if got := value(rec.attempts(t, 1)[0], "pacedhttp.pacing.wait.duration").AsInterface(); got != tt.want {
					t.Errorf("wait = %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestSpanAndMetricLastEquallyLong(t *testing.T) {
	rec, srv := record(t), serve(t, 200)
	get(t, rec.Attempt(srv.base(t)), srv.URL)
	span := rec.attempts(t, 1)[0]
	metric := histogram[float64](t, rec, "http.client.request.duration")[0].Sum
	if got := span.EndTime().Sub(span.StartTime()).Seconds(); got != metric {
		t.Errorf("span %v s, metric %v s", got, metric)
	}
}

func TestCallersRequestIsNotModified(t *testing.T) {
	rec := record(t)
	req := newRequest(t, t.Context(), http.MethodGet, "http://user:secret@example.com/?sig=1")
	req.Header.Set("X-Mine", "1")
	before := req.Clone(t.Context())
	rt := pacedhttp.New(answering(503, 200), rec.Call, pacedhttp.Retry(patient()), rec.Attempt)
	if _, err := rt.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(req.Header) != fmt.Sprint(before.Header) || req.URL.String() != before.URL.String() || req.Context() != t.Context() {
		t.Errorf("request is now %v %v", req.URL, req.Header)
	}
}

func TestPanicEndsTheSpans(t *testing.T) {
	rec := record(t)
	rt := pacedhttp.New(roundTripper(func(*http.Request) (*http.Response, error) { panic("boom") }), rec.Call, rec.Attempt)
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = rt.RoundTrip(newRequest(t, t.Context(), http.MethodGet, "http://example.com/"))
	}()
	for _, span := range []sdktrace.ReadOnlySpan{rec.attempts(t, 1)[0], rec.calls(t, 1)[0]} {
		if span.Status().Code != codes.Error || value(span, "error.type").AsString() != "_OTHER" {
			t.Errorf("%s: %v %v", span.Name(), span.Status(), span.Attributes())
		}
	}
}

func TestCloseIdleConnectionsPassesThrough(t *testing.T) {
	var closed int
	base := closer{answering(200), &closed}
	rec := record(t)
	closeIdle(rec.Call(base))
	closeIdle(rec.Attempt(base))
	if closed != 2 {
		t.Errorf("closed %d times, want 2", closed)
	}
}

type closer struct {
	http.RoundTripper
	closed *int
}

func (c closer) CloseIdleConnections() { *c.closed++ }

func TestUnusableRequestIsLeftToTheBase(t *testing.T) {
	rec, want := record(t), errors.New("no URL")
	_, err := pacedhttp.New(failing(want), rec.Call, rec.Attempt).RoundTrip(&http.Request{})
	if !errors.Is(err, want) {
		t.Errorf("err = %v", err)
	}
	if span := rec.attempts(t, 1)[0]; span.SpanKind() != trace.SpanKindClient {
		t.Error(span.SpanKind())
	}
}
