package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// visit is a request at a time and how the server must answer it.
type visit struct {
	at         time.Duration
	status     int
	retryAfter string
}

func TestTheServerIsStrict(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, tt := range []struct {
		name    string
		args    []string
		visits  []visit
		busiest int
	}{
		{"a window is half-open", []string{"-rate", "2"}, []visit{
			{0, 200, ""}, {500 * ms, 200, ""}, {1*s - 1, 429, "1"}, {1 * s, 200, ""}, {1500*ms - 1, 429, "1"}, {1500 * ms, 200, ""},
		}, 4},
		{"what is refused uses up nothing", []string{"-rate", "1"}, []visit{
			{0, 200, ""}, {900 * ms, 429, "1"}, {1 * s, 200, ""},
		}, 2},
		{"the tolerance shortens the window", []string{"-rate", "1", "-tolerance", "20ms"}, []visit{
			{0, 200, ""}, {980*ms - 1, 429, "1"}, {980 * ms, 200, ""},
		}, 2},
		{"Retry-After is rounded up to seconds", []string{"-rate", "1", "-period", "2s"}, []visit{
			{0, 200, ""}, {0, 429, "2"}, {1*s - 1, 429, "2"}, {1 * s, 429, "1"}, {2 * s, 200, ""},
		}, 4},
		{"every nth request let in fails", []string{"-rate", "3", "-fail", "3"}, []visit{
			{0, 200, ""}, {0, 200, ""}, {0, 503, ""}, {0, 429, "1"}, {1 * s, 200, ""}, {1 * s, 200, ""}, {1 * s, 503, ""},
		}, 4},
		{"none fails", []string{"-rate", "1", "-fail", "0"}, []visit{{0, 200, ""}, {1 * s, 200, ""}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newAPI(defaults(t, tt.args...))
				began := time.Now()
				admitted, rejected := 0, 0
				for i, v := range tt.visits {
					time.Sleep(v.at - time.Since(began))
					w := httptest.NewRecorder()
					api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
					if got := w.Header().Get("Retry-After"); w.Code != v.status || got != v.retryAfter {
						t.Errorf("request %d at %v: %d with Retry-After %q, want %d and %q", i+1, v.at, w.Code, got, v.status, v.retryAfter)
					}
					if v.status == 429 {
						rejected++
					} else {
						admitted++
					}
				}
				r := api.record()
				if r.busiest != tt.busiest || r.admitted != admitted || r.rejected() != rejected || len(r.seen) != len(tt.visits) {
					t.Errorf("counted %d seen, %d admitted, %d rejected, busiest %d; want %d, %d, %d, %d",
						len(r.seen), r.admitted, r.rejected(), r.busiest, len(tt.visits), admitted, rejected, tt.busiest)
				}
			})
		})
	}
}
