package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestEveryFaultIsNamedAtOnceWithItsLine(t *testing.T) {
	const yaml = `listen: nowhere
redos: 1
shutdown: {delay: soon, timeout: 0s}
upstreams:
  - name: a
    prefix: /a b
    url: ftp://x
    limits: 20/s, 0/min, 3 tok/never
    flights: many
    outage: {after: 0, foo: 1}
    name: b
  - name: a
    host: api.internal
    url: https://user:pw@x.y
    margin: -3s
    limits:
    redis: {key: k}
  - name: a
    host: api.internal
    url: https://x.y?q
    buffer: 99999999
    limits: 1/s
    tenants: {limits: 1/s even bucket 3, weights: {gold: 0}}
    costs: {tokens: "X Cost"}
    fallback: {status: 99, body: x, body_file: /none, headers: {"a b": x}}
    retries: [1]
  - prefix: /c
    host: c
  - name: d
    prefix: /d
    url: https://d
  - name: e
    prefix: /d
    url: https://d
    limits: 20/s bucket 5000000000
    costs: {tokens: X-Tokens}
    redis: {key: e}
`
	_, noFile := os.ReadFile("/none")
	want := []string{
		`1: listen: is "nowhere", must be host:port`,
		`2: redos: is not known here, must be one of admin, listen, redis, shutdown, upstreams`,
		`3: shutdown.delay: is "soon", must be a duration of at least 0s, such as 500ms or 1m30s`,
		`3: shutdown.timeout: is "0s", must be a duration of at least 1ms, such as 500ms or 1m30s`,
		`6: upstreams[0].prefix: is "/a b", must be a path such as /github, of letters, digits, "-", "_" and "~"`,
		`7: upstreams[0].url: must be an http or https URL`,
		`8: upstreams[0].limits: limit 2, "0/min": number is "0", must be from 1 to 9223372036854775807`,
		`8: upstreams[0].limits: limit 3, "3 tok/never": period is "never", must be "s", "min", "h", "d" or a duration such as "1m30s"`,
		`9: upstreams[0].flights: is "many", must be a whole number of at least 1`,
		`10: upstreams[0].outage.after: is "0", must be a whole number of at least 1`,
		`10: upstreams[0].outage.foo: is not known here, must be one of after, refuse`,
		`11: upstreams[0].name: stands here again, is in line 5 already`,
		`12: upstreams[1]: name is "a", must be one that no other upstream has`,
		`12: upstreams[1]: has redis, so the file must have redis at its top`,
		`14: upstreams[1].url: holds a user or password, must be without: requests bring their own credentials`,
		`15: upstreams[1].margin: is "-3s", must be a duration of at least 0s, such as 500ms or 1m30s`,
		`16: upstreams[1].limits: is empty, must be a text`,
		`18: upstreams[2]: has the prefix or host of another upstream`,
		`18: upstreams[2]: name is "a", must be one that no other upstream has`,
		`20: upstreams[2].url: holds a query or fragment, must be without`,
		`21: upstreams[2].buffer: is 99999999, must be at most 16777216 bytes`,
		`23: upstreams[2].tenants.limits: limit 1, "1/s even bucket 3": "even bucket 3" after the period, must be "even", "bucket" number or nothing`,
		`23: upstreams[2].tenants.weights.gold: is "0", must be a whole number of at least 1`,
		`23: upstreams[2].tenants: header is missing, must name the header that tells tenants apart`,
		`24: upstreams[2].costs.tokens: is "X Cost", must be the name of a header`,
		`25: upstreams[2].fallback.status: is "99", must be a whole number of at least 200`,
		`25: upstreams[2].fallback.body_file: ` + errors.Unwrap(noFile).Error(),
		`25: upstreams[2].fallback.headers.a b: is no header`,
		`25: upstreams[2].fallback: has body and body_file, must have one of them`,
		`26: upstreams[2].retries: is a list, must be a mapping`,
		`27: upstreams[3]: must have one of prefix and host, which tell whose requests are meant`,
		`27: upstreams[3]: name is missing, must be one that metrics and answers may show`,
		`27: upstreams[3]: url is missing, must say where requests go`,
		`27: upstreams[3]: must have limits or flights`,
		`29: upstreams[4]: must have limits or flights`,
		`32: upstreams[5]: has the prefix or host of another upstream`,
		`32: upstreams[5]: has redis, so the file must have redis at its top`,
		`32: upstreams[5]: costs names "tokens", must be a unit that a limit counts in`,
		`32: upstreams[5]: flights is missing, must be set where redis is: it bounds who waits there`,
		`32: upstreams[5].redis: Config.Limits[0].Bucket is 5000000000, must be at most 4294967296`,
	}
	_, err := parseConfig("x.yaml", []byte(yaml))
	if err == nil {
		t.Fatal("taken for valid")
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = "x.yaml:" + want[i]
		}
		if g != w {
			t.Errorf("fault %d: got\n%s, want\n%s", i+1, g, w)
		}
	}
}

func TestWhatIsNoConfigurationSaysWhy(t *testing.T) {
	const valid = "\nupstreams: [{name: a, prefix: /, url: http://a, limits: 1/s}]"
	_, noFile := os.ReadFile("/none")
	for yaml, want := range map[string]string{
		"redis: {}" + valid: "x.yaml:1: redis: address is missing, must be host:port",
		"redis: {address: here, password_file: /none}" + valid: `x.yaml:1: redis.address: is "here", must be host:port` +
			"\nx.yaml:1: redis.password_file: " + errors.Unwrap(noFile).Error(),
		"":                       "x.yaml: is empty, must have upstreams",
		"# nothing":              "x.yaml: is empty, must have upstreams",
		"a: [\nb":                "x.yaml:2: did not find expected ',' or ']'",
		"- a":                    "x.yaml:1: is a list, must be a mapping",
		"listen: :80":            "x.yaml:1: upstreams is missing, must have at least one",
		"upstreams: []":          "x.yaml:1: upstreams is missing, must have at least one",
		"upstreams:":             "x.yaml:1: upstreams: is empty, must be a list",
		"listen: :80\n---\na: 1": "x.yaml: holds a second document, must be one",
		"listen: :80\n---\na: [": "x.yaml:3: did not find expected node content",
		"listen: :65536" + valid: `x.yaml:1: listen: is ":65536", must be host:port`,
		"\nupstreams: [{name: a, prefix: /, url: http://a, limits: 1/s, tenants: {header: host}}]": `x.yaml:2: upstreams[0].tenants.header: is "host", must be another header: by host, upstreams are told apart`,
	} {
		if _, err := parseConfig("x.yaml", []byte(yaml)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", yaml, err, want)
		}
	}
	if _, err := readConfig(filepath.Join(t.TempDir(), "none.yaml")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "answer.json"), []byte(`{"cached":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "egressproxy.yaml")
	err := os.WriteFile(file, []byte(`
listen: 10.0.0.1:80
admin: "[::1]:81"
shutdown: {delay: 2s, timeout: 3s}
redis: {address: "redis:6379", username: u, password_file: secret, db: 2, tls: true}
upstreams:
  - name: github
    prefix: /github/
    url: https://api.github.com/v3/
    limits: 20/s, 90000 tokens/min
    flights: 5
    max_waiting: 6
    max_wait: 7s
    max_pause: 8s
    margin: 9ms
    outage: {after: 10, refuse: true}
    tenants: {header: x-tenant, strip: true, max: 11, limits: 12/s, flights: 13, weights: {gold: 14, "": 15}}
    timeout: 17s
    buffer: 18
    x_forwarded: true
    costs: {tokens: x-tokens}
    retries: {attempts: 19, attempt_timeout: 20s, max_elapsed: 21s, max_retry_after: 22s}
    fallback: {status: 203, headers: {content-type: application/json}, body_file: answer.json}
  - name: shared
    host: Shared.Internal:8080
    url: http://10.0.0.2:8000
    flights: 1
    limits: 1/s
    redis: {key: k, timeout: 16ms, fallback: 17/s}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{got.Upstreams[0].URL.String(), got.Upstreams[1].URL.String()}
	if want := []string{"https://api.github.com/v3/", "http://10.0.0.2:8000"}; !reflect.DeepEqual(urls, want) {
		t.Errorf("URLs %q, want %q", urls, want)
	}
	per := func(n int, d time.Duration) pacer.Limit { return pacer.Limit{Calls: n, Period: d} }
	want := &Config{
		Listen: "10.0.0.1:80", Admin: "[::1]:81",
		Shutdown: Shutdown{2 * time.Second, 3 * time.Second},
		Redis:    &RedisServer{"redis:6379", "u", filepath.Join(dir, "secret"), 2, true},
		Upstreams: []*Upstream{{
			Name: "github", Prefix: "/github", URL: got.Upstreams[0].URL,
			Limits:       []pacer.Limit{per(20, time.Second), {Cost: 90000, Unit: "tokens", Period: time.Minute}},
			TenantLimits: []pacer.Limit{per(12, time.Second)},
			Queue: Queue{
				Flights: 5, MaxWaiting: 6, MaxWait: 7 * time.Second, MaxPause: 8 * time.Second, Margin: 9 * time.Millisecond,
				Outage:  &Outage{10, true},
				Tenants: &Tenants{"X-Tenant", true, 11, 13, map[string]int{"gold": 14, "": 15}},
			},
			Timeout: 17 * time.Second, Buffer: 18, Forwarded: true, Costs: map[string]string{"tokens": "X-Tokens"},
			Retries:  Retries{19, 20 * time.Second, 21 * time.Second, 22 * time.Second},
			Fallback: &Fallback{203, http.Header{"Content-Type": {"application/json"}}, []byte(`{"cached":true}`)},
			line:     7,
		}, {
			Name: "shared", Host: "shared.internal:8080", URL: got.Upstreams[1].URL,
			Limits: []pacer.Limit{per(1, time.Second)},
			Queue:  Queue{Flights: 1, Shared: &Shared{"k", 16 * time.Millisecond, []pacer.Limit{per(17, time.Second)}}},
			Buffer: defaultBuffer,
			line:   24,
		}},
	}
	opts, err := got.Redis.options()
	if err != nil || opts.Addr != "redis:6379" || opts.Username != "u" || opts.Password != "password" || opts.DB != 2 || opts.TLSConfig.ServerName != "redis" {
		t.Errorf("Redis is called with %+v, %v", opts, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\n%+v\n%+v, want\n%+v\n%+v\n%+v", got, got.Upstreams[0], got.Upstreams[1], want, want.Upstreams[0], want.Upstreams[1])
	}
}

func TestFlagsAreAFileOfOneUpstream(t *testing.T) {
	for args, want := range map[string]string{
		"":                              "egressproxy: -config or -upstream is missing (-h explains the flags)",
		"x":                             `egressproxy: unexpected argument "x": only flags are allowed`,
		"-nonsense":                     "egressproxy: flag provided but not defined: -nonsense (-h explains the flags)",
		"-config x -limits 1/s":         "egressproxy: -upstream, -limits and -flights are for use without -config",
		"-upstream http://x":            "egressproxy: the flags:1: upstreams[0]: must have limits or flights",
		"-limits 1/s":                   "egressproxy: the flags:1: upstreams[0].url: must be an http or https URL",
		"-upstream http://x -flights 2": "",
		"-upstream http://x -limits 1/s -listen here": `egressproxy: invalid value "here" for flag -listen: must be host:port`,
	} {
		opts, err := parseFlags(strings.Fields(args), new(strings.Builder))
		if err == nil {
			_, err = opts.config()
		}
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
	opts, err := parseFlags(strings.Fields(`-upstream http://x/y -limits 3/s -flights 2 -listen :1 -admin :2`), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := opts.config()
	if err != nil {
		t.Fatal(err)
	}
	u := cfg.Upstreams[0]
	if cfg.Listen != ":1" || cfg.Admin != ":2" || u.Prefix != "/" || u.URL.String() != "http://x/y" ||
		u.Flights != 2 || u.Limits[0].String() != "3/s" {
		t.Errorf("got %+v, %+v", cfg, u)
	}
}
