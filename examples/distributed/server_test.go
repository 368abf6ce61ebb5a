package main

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// visit is a request at a time and how the server must answer it.
type visit struct {
	at         time.Duration
	call       int
	status     int
	retryAfter string
}

func TestTheServerIsStrict(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, tt := range []struct {
		name    string
		cfg     config
		visits  []visit
		busiest int
	}{
		{"a window is half-open", config{quota: 2, period: s}, []visit{
			{0, 1, 200, ""}, {500 * ms, 1, 200, ""}, {1*s - 1, 1, 429, "1"}, {1 * s, 1, 200, ""}, {1500*ms - 1, 1, 429, "1"}, {1500 * ms, 1, 200, ""},
		}, 4},
		{"what is refused uses up nothing", config{quota: 1, period: s}, []visit{
			{0, 1, 200, ""}, {900 * ms, 1, 429, "1"}, {1 * s, 1, 200, ""},
		}, 2},
		{"the tolerance shortens the window", config{quota: 1, period: s, tolerance: 20 * ms}, []visit{
			{0, 1, 200, ""}, {980*ms - 1, 1, 429, "1"}, {980 * ms, 1, 200, ""},
		}, 2},
		{"Retry-After is rounded up to seconds", config{quota: 1, period: 2 * s}, []visit{
			{0, 1, 200, ""}, {0, 1, 429, "2"}, {1*s - 1, 1, 429, "2"}, {1 * s, 1, 429, "1"}, {2 * s, 1, 200, ""},
		}, 4},
		{"every nth call fails once", config{quota: 2, period: s, failEvery: 3}, []visit{
			{0, 2, 200, ""}, {0, 3, 503, ""}, {0, 6, 429, "1"}, {1 * s, 3, 200, ""}, {1 * s, 6, 503, ""}, {2 * s, 6, 200, ""},
		}, 3},
		{"none fails", config{quota: 1, period: s}, []visit{{0, 1, 200, ""}, {1 * s, 2, 200, ""}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newAPI(tt.cfg)
				began := time.Now()
				admitted, rejected := 0, 0
				for i, v := range tt.visits {
					time.Sleep(v.at - time.Since(began))
					req := httptest.NewRequest(http.MethodGet, "/", nil)
					req.Header.Set(callHeader, strconv.Itoa(v.call))
					w := httptest.NewRecorder()
					api.ServeHTTP(w, req)
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
