package demo

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
		cfg     Config
		visits  []visit
		busiest int
	}{
		{"a window is half-open", Config{Quota: 2, Period: s}, []visit{
			{0, 1, 200, ""}, {500 * ms, 1, 200, ""}, {1*s - 1, 1, 429, "1"}, {1 * s, 1, 200, ""}, {1500*ms - 1, 1, 429, "1"}, {1500 * ms, 1, 200, ""},
		}, 4},
		{"what is refused uses up nothing", Config{Quota: 1, Period: s}, []visit{
			{0, 1, 200, ""}, {900 * ms, 1, 429, "1"}, {1 * s, 1, 200, ""},
		}, 2},
		{"the tolerance shortens the window", Config{Quota: 1, Period: s, Tolerance: 20 * ms}, []visit{
			{0, 1, 200, ""}, {980*ms - 1, 1, 429, "1"}, {980 * ms, 1, 200, ""},
		}, 2},
		{"Retry-After is rounded up to seconds", Config{Quota: 1, Period: 2 * s}, []visit{
			{0, 1, 200, ""}, {0, 1, 429, "2"}, {1*s - 1, 1, 429, "2"}, {1 * s, 1, 429, "1"}, {2 * s, 1, 200, ""},
		}, 4},
		{"what is let in may fail", Config{Quota: 3, Period: s, FailEvery: 3}, []visit{
			{0, 9, 200, ""}, {0, 7, 503, ""}, {0, 9, 503, ""}, {0, 7, 429, "1"}, {1 * s, 7, 503, ""}, {1 * s, 9, 200, ""}, {1 * s, 9, 503, ""},
		}, 4},
		{"none fails", Config{Quota: 1, Period: s}, []visit{{0, 7, 200, ""}, {1 * s, 7, 200, ""}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := NewAPI(tt.cfg, func(call, admitted int) bool { return call == 7 || admitted%3 == 0 })
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
				r := api.Record()
				if r.Busiest != tt.busiest || r.Admitted != admitted || r.Rejected() != rejected || len(r.Seen) != len(tt.visits) {
					t.Errorf("counted %d seen, %d admitted, %d rejected, busiest %d; want %d, %d, %d, %d",
						len(r.Seen), r.Admitted, r.Rejected(), r.Busiest, len(tt.visits), admitted, rejected, tt.busiest)
				}
			})
		})
	}
}
