package main

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.uber.org/goleak"

	"github.com/pacedhttp/pacedhttp"
)

// asProcess makes this test binary the proxy: so it is built once, and with -race where the tests are.
const asProcess = "EGRESSPROXY_AS_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		os.Exit(run(os.Args[1:], environment, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// environment is what systemd would set: it knows the process's number.
func environment(name string) string {
	value := os.Getenv(name)
	if name == "LISTEN_PID" && value == "self" {
		return strconv.Itoa(os.Getpid())
	}
	return value
}

// answers is a base transport that answers by itself.
type answers = pacedhttp.RoundTripperFunc

// response is an answer to r, as a base transport gives it.
func response(r *http.Request, status int, body string, header ...string) *http.Response {
	resp := &http.Response{
		StatusCode:    status,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        make(http.Header),
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Add(header[i], header[i+1])
	}
	if r.Body != nil {
		r.Body.Close()
	}
	return resp
}

// parse returns the configuration that yaml is, which must be valid.
func parse(t testing.TB, yaml string) *Config {
	t.Helper()
	cfg, err := parseConfig("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// proxyOf returns a proxy with that configuration over base. What it logs is thrown away.
func proxyOf(t testing.TB, base http.RoundTripper, yaml string) *Proxy {
	t.Helper()
	p, err := newProxy(parse(t, yaml), sdkmetric.NewMeterProvider(), base, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}
