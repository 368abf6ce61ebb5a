package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// starts notes when requests reach a base that answers at once.
type starts struct {
	mu    sync.Mutex
	began time.Time
	list  []time.Duration
}

func (s *starts) base() answers {
	s.began = time.Now()
	return func(r *http.Request) (*http.Response, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, time.Since(s.began))
		return response(r, 200, ""), nil
	}
}

func (s *starts) want(t *testing.T, at ...time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.list, at) {
		t.Errorf("started at %v, want %v", s.list, at)
	}
}

func TestAReloadChangesTheLimitsOfThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		const yaml = `upstreams: [{name: api, prefix: /, url: "http://api", limits: %s}]`
		p := proxyOf(t, s.base(), fmt.Sprintf(yaml, "1/10s"))
		for range 4 {
			go ask(p, "GET", "/")
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		p.reload(func() (*Config, error) { return parse(t, fmt.Sprintf(yaml, "1/3s")), nil })
		time.Sleep(time.Minute)
		s.want(t, 0, 3*time.Second, 6*time.Second, 9*time.Second)
	})
}

func TestAReloadChangesTheLimitsOfEveryTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		const yaml = `upstreams: [{name: api, prefix: /, url: "http://api", limits: 100/s, tenants: {header: X-Tenant, limits: %s}}]`
		p := proxyOf(t, s.base(), fmt.Sprintf(yaml, "1/h"))
		for _, tenant := range []string{"a", "a", "b", "b"} {
			go ask(p, "GET", "/", "X-Tenant", tenant)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		p.reload(func() (*Config, error) { return parse(t, fmt.Sprintf(yaml, "1/3s")), nil })
		time.Sleep(time.Minute)
		go ask(p, "GET", "/", "X-Tenant", "new")
		go ask(p, "GET", "/", "X-Tenant", "new")
		time.Sleep(time.Minute)
		s.want(t, 0, 0, 3*time.Second, 3*time.Second, 61*time.Second, 64*time.Second)
	})
}

func TestAReloadChangesWhatIsNoQueueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		base := answers(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.URL.String())
			time.Sleep(time.Second)
			return response(r, 500, ""), nil
		})
		p := proxyOf(t, base, `upstreams: [{name: api, prefix: /, url: "http://old", limits: 1/10s, retries: {attempts: 2}}, {name: gone, prefix: /gone, url: "http://gone", limits: 1/10s}]`)
		done := make(chan int)
		go func() { done <- ask(p, "GET", "/x").Code }()
		synctest.Wait()
		p.reload(func() (*Config, error) {
			return parse(t, `upstreams: [{name: api, prefix: /new, url: "http://new", limits: 1/10s, retries: {attempts: 1}, fallback: {status: 203}}]`), nil
		})
		if code := <-done; code != 500 {
			t.Errorf("who began before got %d, want 500", code)
		}
		if code := ask(p, "GET", "/new/y").Code; code != 203 {
			t.Errorf("who came after got %d, want 203", code)
		}
		if code := ask(p, "GET", "/gone/").Code; code != 404 {
			t.Errorf("what was taken out answers %d, want 404", code)
		}
		if want := []string{"http://old/x", "http://old/x", "http://new/y"}; !slices.Equal(sent, want) {
			t.Errorf("sent %q, want %q", sent, want)
		}
	})
}

func TestAnUpstreamThatComesBackHasItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		api := `{name: api, prefix: /, url: "http://api", limits: 1/10s}`
		other := `{name: other, prefix: /other, url: "http://other", limits: 1/s}`
		p := proxyOf(t, s.base(), `upstreams: [`+api+`]`)
		ask(p, "GET", "/")
		for _, yaml := range []string{other, api} {
			p.reload(func() (*Config, error) { return parse(t, `upstreams: [`+yaml+`]`), nil })
		}
		ask(p, "GET", "/")
		s.want(t, 0, 10*time.Second)
	})
}

// logged makes p log to the buffer that is returned, without times.
func logged(p *Proxy) *bytes.Buffer {
	var out bytes.Buffer
	p.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return &out
}

func TestAnInvalidFileKeepsTheOldAndSaysWhy(t *testing.T) {
	const valid = `upstreams: [{name: a, prefix: /a, url: "http://a", limits: 1/10s}, {name: b, prefix: /b, url: "http://b", limits: 1/10s}]`
	for _, tt := range []struct{ name, yaml, why string }{
		{"a fault", `upstreams: [{name: a, prefix: /a, url: "http://a", limits: 1/x}, {name: b, prefix: /b, url: "http://b", flights: x}]`,
			`level=ERROR msg="reload refused: all is as it was" error="new.yaml:1: upstreams[0].limits: limit 1, \"1/x\": period is \"x\", must be \"s\", \"min\", \"h\", \"d\" or a duration such as \"1m30s\"\nnew.yaml:1: upstreams[1].flights: is \"x\", must be a whole number of at least 1"` + "\n"},
		{"what the second queue cannot be told", `upstreams: [{name: a, prefix: /a, url: "http://a", limits: 1/s}, {name: b, prefix: /b, url: "http://b", flights: 5}]`,
			`level=ERROR msg="reload refused: all is as it was" error="upstream b: SetLimits: limits is empty, must hold at least one Limit where MaxInFlight is 0 and Parent is nil"` + "\n"},
		{"redis where there was none", `{redis: {address: "x:1"}, upstreams: [{name: a, prefix: /a, url: "http://a", limits: 1/s}, {name: c, prefix: /c, url: "http://c", limits: 1/s, flights: 1, redis: {key: c}}]}`,
			`level=ERROR msg="reload refused: all is as it was" error="upstream c: redis takes a restart to be added"` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s starts
				p := proxyOf(t, s.base(), valid)
				said := logged(p)
				for range 2 {
					go ask(p, "GET", "/a")
					go ask(p, "GET", "/b")
				}
				synctest.Wait()
				p.reload(func() (*Config, error) { return parseConfig("new.yaml", []byte(tt.yaml)) })
				if said.String() != tt.why {
					t.Errorf("said\n%swant\n%s", said, tt.why)
				}
				time.Sleep(time.Minute)
				s.want(t, 0, 0, 10*time.Second, 10*time.Second)
			})
		})
	}
}

// Redis is none of a bubble: its client looks for names.
func TestWhatTakesARestartIsSaid(t *testing.T) {
	p := proxyOf(t, answers200(0), `
redis: {address: "127.0.0.1:1"}
upstreams:
  - {name: a, prefix: /a, url: "http://a", limits: 1/10s}
  - {name: b, prefix: /b, url: "http://b", limits: 1/s, flights: 1, redis: {key: b}}`)
	said := logged(p)
	p.reload(func() (*Config, error) {
		return parse(t, `
listen: :1
admin: :2
redis: {address: "127.0.0.1:2"}
upstreams:
  - {name: a, prefix: /a, url: "http://a", limits: 1/3s, flights: 1, max_waiting: 1, max_wait: 1s, max_pause: 1s, margin: 1s, outage: {}, tenants: {header: X}, redis: {key: a}}
  - {name: b, prefix: /b, url: "http://b", limits: 2/s, flights: 2, redis: {key: c}}`), nil
	})
	var want strings.Builder
	for _, what := range []string{"admin", "listen", "redis",
		"upstream a: flights", "upstream a: max_waiting", "upstream a: max_wait", "upstream a: max_pause", "upstream a: margin",
		"upstream a: outage", "upstream a: tenants", "upstream a: redis", "upstream b: flights", "upstream b: redis", "upstream b: limits"} {
		setting := what
		if strings.Contains(what, " ") {
			setting = `"` + what + `"`
		}
		fmt.Fprintf(&want, "level=WARN msg=\"takes a restart to change: it is as it was\" setting=%s\n", setting)
	}
	want.WriteString("level=INFO msg=reloaded upstreams=2\n")
	if said.String() != want.String() {
		t.Errorf("said\n%swant\n%s", said, &want)
	}
}

func TestWhatTakesARestartIsAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		const yaml = `upstreams: [{name: a, prefix: /, url: "http://a", limits: 100/s, tenants: {header: %s, limits: %s}}]`
		p := proxyOf(t, s.base(), fmt.Sprintf(yaml, "X-Old", "1/20s"))
		p.reload(func() (*Config, error) { return parse(t, fmt.Sprintf(yaml, "X-New", "1/10s")), nil })
		for i := range 4 {
			go ask(p, "GET", "/", "X-Old", fmt.Sprint(i%2), "X-New", "same")
		}
		time.Sleep(time.Minute)
		s.want(t, 0, 0, 10*time.Second, 10*time.Second) // what can be changed was
	})
}

func TestAFileThatCannotBeReadKeepsTheOld(t *testing.T) {
	p := proxyOf(t, answers200(0), `upstreams: [{name: a, prefix: /, url: "http://a", limits: 1/s}]`)
	before := p.table.Load()
	said := logged(p)
	p.reload(func() (*Config, error) { return nil, errors.New("gone") })
	if p.table.Load() != before || !strings.Contains(said.String(), "error=gone") {
		t.Errorf("table replaced: %t; said %s", p.table.Load() != before, said)
	}
}
