package debug_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/debug"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// ask returns the answer to a request with some Accept headers.
func ask(t *testing.T, h http.Handler, method, target string, accept ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(method, target, nil)
	req.Header["Accept"] = accept
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func askJSON(t *testing.T, h http.Handler) (v struct {
	Now    time.Time
	Pacers []map[string]any
	Keyed  []struct {
		Name    string
		Keys    int
		States  map[string]int
		Waiting int
		Granted int
		Busiest []struct {
			Name    string
			Waiting int
			State   string
			Granted int
		}
	}
}) {
	t.Helper()
	rec := ask(t, h, "GET", "/", "application/json")
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return v
}

func only(s pacer.Stats) func() pacer.Stats { return func() pacer.Stats { return s } }

func TestJSONSaysWhatStatsSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{
			Limits: []pacer.Limit{
				{Calls: 2, Period: time.Second},
				{Cost: 90, Unit: "tokens", Period: time.Minute, Bucket: 100},
			},
			MaxInFlight: 8,
		})
		slot, err := p.Acquire(pacer.WithCost(t.Context(), "tokens", 30))
		if err != nil {
			t.Fatal(err)
		}
		defer slot.Done()
		time.Sleep(100 * time.Millisecond)
		p.PauseUntil(time.Now().Add(20 * time.Second))

		rec := ask(t, debug.Handler(debug.Pacer("github", p.Stats)), "GET", "/", "application/json")
		const want = `{
  "now": "2000-01-01T00:00:00.1Z",
  "pacers": [
    {
      "name": "github",
      "state": "paused",
      "cause": "paused by the program",
      "paused_until": "2000-01-01T00:00:20.1Z",
      "waiting": 0,
      "in_flight": 1,
      "oldest_in_flight": "2000-01-01T00:00:00Z",
      "next": "2000-01-01T00:00:20.1Z",
      "predicted": "2000-01-01T00:00:20.1Z",
      "granted": 1,
      "rejected": 0,
      "canceled": 0,
      "late": 0,
      "limits": [
        {
          "limit": "2/s",
          "size": 2,
          "used": 1,
          "left": 1,
          "uncosted": 0,
          "next": "2000-01-01T00:00:00.1Z"
        },
        {
          "limit": "90 tokens/min bucket 100",
          "size": 100,
          "used": 30,
          "left": 70,
          "uncosted": 0,
          "next": "2000-01-01T00:00:00.1Z"
        }
      ]
    }
  ],
  "keyed": []
}
`
		if got := strings.ReplaceAll(rec.Body.String(), time.Now().Format("-07:00"), "Z"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestQuotasThatServersToldAreShown(t *testing.T) {
	now := time.Now()
	h := debug.Handler(debug.Pacer("github", only(pacer.Stats{
		Quotas: []pacer.QuotaStats{
			{Name: "core", Remaining: 12, Limit: 5000, Reset: now.Add(time.Hour)},
			{Name: "search", Unit: "points", Remaining: 27},
		},
	})))
	v := askJSON(t, h)
	got, err := json.Marshal(v.Pacers[0]["quotas"])
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"limit":5000,"name":"core","remaining":12,"reset":"` + now.Add(time.Hour).Format(time.RFC3339Nano) +
		`","unit":""},{"name":"search","remaining":27,"unit":"points"}]`
	if string(got) != want {
		t.Errorf("quotas are\n%s, want\n%s", got, want)
	}
}

func TestOnlyGETAndHEADAreAnswered(t *testing.T) {
	called := 0
	h := debug.Handler(debug.Pacer("p", func() pacer.Stats { called++; return pacer.Stats{} }))
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"} {
		rec := ask(t, h, method, "/")
		if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, HEAD" || called != 0 {
			t.Errorf("%s: status %d, Allow %q, Stats called %d times", method, rec.Code, rec.Header().Get("Allow"), called)
		}
	}
}

func TestHEADIsGETWithoutBody(t *testing.T) {
	h := debug.Handler(debug.Pacer("p", only(pacer.Stats{Granted: 3})))
	for _, accept := range []string{"text/html", "application/json", "image/png"} {
		get, head := ask(t, h, "GET", "/", accept), ask(t, h, "HEAD", "/", accept)
		if get.Code != head.Code {
			t.Errorf("%s: status %d, of HEAD %d", accept, get.Code, head.Code)
		}
		if get.Code != http.StatusOK {
			continue
		}
		if head.Body.Len() != 0 {
			t.Errorf("%s: HEAD has a body", accept)
		}
		for name := range get.Header() {
			if name != "Content-Length" && get.Header().Get(name) != head.Header().Get(name) {
				t.Errorf("%s: %s is %q, of HEAD %q", accept, name, get.Header().Get(name), head.Header().Get(name))
			}
		}
		if n := get.Header().Get("Content-Length"); n != strconv.Itoa(get.Body.Len()) || head.Header().Get("Content-Length") == "" {
			t.Errorf("%s: Content-Length %s of %d bytes, of HEAD %q", accept, n, get.Body.Len(), head.Header().Get("Content-Length"))
		}
	}
}

func TestAnswersAreNeitherStoredNorReadByOthers(t *testing.T) {
	h := debug.Handler()
	for _, req := range [][2]string{{"GET", "text/html"}, {"GET", "application/json"}, {"GET", "image/png"}, {"HEAD", "*/*"}, {"POST", "*/*"}} {
		got := ask(t, h, req[0], "/", req[1]).Header()
		for name, want := range map[string]string{
			"Cache-Control":                "no-store",
			"Vary":                         "Accept",
			"X-Content-Type-Options":       "nosniff",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
		} {
			if got.Get(name) != want {
				t.Errorf("%v: %s is %q, want %q", req, name, got.Get(name), want)
			}
		}
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(got.Get("Content-Security-Policy"), part) {
				t.Errorf("%v: no %s in %q", req, part, got.Get("Content-Security-Policy"))
			}
		}
	}
}

func TestNilSourcesAreLeftOut(t *testing.T) {
	v := askJSON(t, debug.Handler(debug.Source{}, debug.Pacer("nil", nil), debug.Keyed("nil", nil, nil), debug.Pacer("p", only(pacer.Stats{}))))
	if len(v.Pacers) != 1 || v.Pacers[0]["name"] != "p" || v.Keyed == nil || len(v.Keyed) != 0 {
		t.Errorf("shown are %v and %v", v.Pacers, v.Keyed)
	}
}

func TestZeroPacerIsShown(t *testing.T) {
	h := debug.Handler(debug.Pacer("zero", new(pacer.Pacer).Stats))
	if _, there := askJSON(t, h).Pacers[0]["next"]; there {
		t.Error("a zero time is not left out")
	}
	if page := ask(t, h, "GET", "/").Body.String(); !strings.Contains(page, "<bdi>zero</bdi>") || strings.Contains(page, "0001-01-01") {
		t.Error("the page does not show it, or shows the zero time")
	}
}

func TestSourcesAreShownInTheirOrder(t *testing.T) {
	sources := []debug.Source{debug.Pacer("b", only(pacer.Stats{})), debug.Pacer("a", only(pacer.Stats{}))}
	h := debug.Handler(sources...)
	sources[0] = debug.Source{} // the caller's own
	if v := askJSON(t, h); v.Pacers[0]["name"] != "b" || v.Pacers[1]["name"] != "a" {
		t.Errorf("the order is %v", v.Pacers)
	}
}
