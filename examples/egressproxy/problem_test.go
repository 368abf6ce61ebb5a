package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// ask sends one request through p and returns the answer.
func ask(p http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	return askWith(context.Background(), p, method, path, header...)
}

func askWith(ctx context.Context, p http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// wantProblem checks that w is the problem of that kind, in every particular.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, kind, upstream, detail, retryAfter string) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	known := kinds[kind]
	want := map[string]any{"type": problemTypes + kind, "title": known.Title, "status": float64(known.Status)}
	for name, value := range map[string]string{"upstream": upstream, "detail": detail} {
		if value != "" {
			want[name] = value
		}
	}
	if retryAfter != "" {
		var seconds float64
		_ = json.Unmarshal([]byte(retryAfter), &seconds)
		want["retry_after"] = seconds
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if w.Code != known.Status || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Retry-After") != retryAfter {
		t.Errorf("%s: status %d, %v, want Retry-After %q", kind, w.Code, w.Header(), retryAfter)
	}
}

// An answers200 works, after a while.
func answers200(after time.Duration) answers {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(after):
			return response(r, 200, "done"), nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

func TestWhoIsRefusedIsToldForHowLong(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name, yaml string
		base       answers
		before     int // requests that stand before
		kind       string
		detail     string
		retryAfter string
		took       time.Duration
	}{
		{
			"queue-full", `limits: 1/10s, max_waiting: 2`, answers200(0), 3,
			"queue-full", "pacedhttp: not sent: pacer: queue is full (the wait would be 30s)", "30", 0,
		}, {
			"max-wait", `limits: 1/10s, max_wait: 15s`, answers200(0), 2,
			"max-wait", "pacedhttp: not sent: pacer: no slot within MaxWait (the wait would be 20s)", "20", 0,
		}, {
			"deadline", `limits: 1/10s, timeout: 9500ms`, answers200(0), 1,
			"deadline", "pacedhttp: not sent: pacer: no slot before the context's deadline (the wait would be 10s)", "10", 0,
		}, {
			"paused", `limits: 100/s, max_pause: 1m, retries: {attempts: 1}`,
			func(r *http.Request) (*http.Response, error) { return response(r, 429, "", "Retry-After", "90"), nil }, 1,
			"paused", "pacedhttp: not sent: pacer: paused for longer than MaxPause (the wait would be 1m30s)", "90", 0,
		}, {
			"down", `limits: 100/s, outage: {after: 2, refuse: true}, retries: {attempts: 1}`,
			func(r *http.Request) (*http.Response, error) { return response(r, 500, ""), nil }, 2,
			"down", "pacedhttp: not sent: pacer: the service is down (the wait would be 100ms)", "1", 0,
		}, {
			"upstream-timeout", `limits: 1/10s, timeout: 12s`, answers200(time.Hour), 0,
			"upstream-timeout", "context deadline exceeded", "1", 12 * s,
		}, {
			"attempt_timeout", `limits: 1/10s, retries: {attempts: 1, attempt_timeout: 3s}`, answers200(time.Hour), 0,
			"upstream-timeout", "pacedhttp: attempt timed out: no response within 3s", "7", 3 * s,
		}, {
			"unreachable", `limits: 1/10s, retries: {attempts: 1}`,
			func(r *http.Request) (*http.Response, error) {
				return nil, errors.New("no route to http://u:p@host/?q=1")
			}, 0,
			"unreachable", "no route to http://host/", "10", 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := proxyOf(t, tt.base, `upstreams: [{name: api, prefix: /, url: "http://api", `+tt.yaml+`}]`)
				ctx, leave := context.WithCancel(t.Context())
				for range tt.before {
					go askWith(ctx, p, "GET", "/")
					synctest.Wait()
				}
				began := time.Now()
				w := ask(p, "GET", "/")
				if took := time.Since(began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				wantProblem(t, w, tt.kind, "api", tt.detail, tt.retryAfter)
				leave()
			})
		})
	}
}

func TestWhatCostsTooMuchIsNotToBeAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := proxyOf(t, answers200(0), `upstreams: [{name: api, prefix: /, url: "http://api", limits: 100 tokens/min, costs: {tokens: X-Tokens}}]`)
		wantProblem(t, ask(p, "GET", "/", "X-Tokens", "101"), "too-costly", "api",
			"pacedhttp: not sent: pacer: too costly (101 tokens where the limit is 100)", "")
		wantProblem(t, ask(p, "GET", "/", "X-Tokens", "many"), "bad-request", "api", "X-Tokens must be a whole number of tokens", "")
		wantProblem(t, ask(p, "GET", "/", "X-Tokens", "1", "X-Tokens", "90"), "bad-request", "api", "X-Tokens must be a whole number of tokens", "")
		began := time.Now()
		for range 2 {
			if w := ask(p, "GET", "/", "X-Tokens", "60"); w.Code != 200 {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("two of 60 tokens took %v, want a minute", took)
		}
	})
}

func TestAProblemOfAHeadRequestSaysTheSame(t *testing.T) {
	p := proxyOf(t, answers200(0), `upstreams: [{name: api, prefix: /api, url: "http://api", limits: 1/s}]`)
	server := httptest.NewServer(p)
	defer server.Close()
	resp, err := server.Client().Head(server.URL + "/other")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/problem+json" || resp.ContentLength < 1 {
		t.Errorf("got %d, %v", resp.StatusCode, resp.Header)
	}
}

func TestAFallbackAnswersWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 500
		base := answers(func(r *http.Request) (*http.Response, error) { return response(r, status, "theirs"), nil })
		p := proxyOf(t, base, `upstreams: [{name: api, prefix: /, url: "http://api", limits: 1/s, max_waiting: 1, retries: {attempts: 1},
			fallback: {status: 203, headers: {X-From: fallback}, body: ours}}]`)
		for _, tt := range []struct {
			status int
			want   string
		}{{500, "203 ours"}, {404, "404 theirs"}, {200, "200 theirs"}} {
			status = tt.status
			w := ask(p, "GET", "/")
			if got := fmt.Sprint(w.Code, " ", w.Body); got != tt.want {
				t.Errorf("upstream answers %d: got %s, want %s", tt.status, got, tt.want)
			}
		}
	})
}

func TestRetryAfterIsWholeSecondsAndNeverTooFew(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-time.Second: 1, 0: 1, 1: 1, time.Second: 1, time.Second + 1: 2, time.Hour: 3600,
	} {
		if got := seconds(d); got != want {
			t.Errorf("%v: %d, want %d", d, got, want)
		}
	}
}
