//go:build !windows

// There are no signals to send on Windows.

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program returns the path of a program that is no part of Go. Where it is missing the test is
// skipped, but not in CI, which installs or has it.
func program(t *testing.T, name, required string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if required != "" && os.Getenv(required) != "" {
			t.Fatalf("%s is missing, and %s is set", name, required)
		}
		t.Skipf("no %s on this machine", name)
	}
	return path
}

func TestCurlGetsWhatItAsksFor(t *testing.T) {
	curl := program(t, "curl", "")
	a := newAPI(t)
	p := startProcess(t, fmt.Sprintf(`upstreams: [{name: api, prefix: /api, url: %q, limits: 2/h, max_wait: 1s}]`, a.URL), nil)
	run := func(args ...string) string {
		t.Helper()
		args = append([]string{"--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code} %{content_type} %header{retry-after}"}, args...)
		out, err := exec.Command(curl, args...).CombinedOutput()
		if err != nil {
			t.Errorf("curl %v: %v, %s", args, err, out)
		}
		return string(out)
	}
	if got := run(p.url+"/api/x", "--data", "hello"); got != "hello\n200 text/plain; charset=utf-8 " {
		t.Errorf("got %q", got)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	upload := exec.Command(curl, "--silent", "--show-error", "--noproxy", "*", "--data-binary", "@-", "--header", "Transfer-Encoding: chunked", p.url+"/api/x")
	upload.Stdin = strings.NewReader(big)
	if out, err := upload.Output(); err != nil || string(out) != big {
		t.Errorf("of 1 MiB %d bytes came back, %v", len(out), err)
	}
	got := run(p.url + "/api/x")
	if !strings.Contains(got, `#max-wait"`) || !strings.Contains(got, "\n429 application/problem+json 3") {
		t.Errorf("got %q", got)
	}
	if got := run(p.url + "/other"); !strings.HasSuffix(got, "\n404 application/problem+json ") {
		t.Errorf("got %q", got)
	}
	open := exec.Command(curl, "--silent", "--show-error", "--noproxy", "", "--proxy", p.url, "--proxytunnel", "http://127.0.0.1:1/")
	if out, err := open.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("405")) {
		t.Errorf("as an open proxy: %v, %s", err, out)
	}
	open = exec.Command(curl, "--silent", "--show-error", "--noproxy", "", "--proxy", p.url, a.URL+"/api/x")
	if out, err := open.CombinedOutput(); err != nil || !bytes.Contains(out, []byte(`#no-upstream"`)) {
		t.Errorf("as an open proxy: %v, %s", err, out)
	}
}

// It knows nothing of quotas but that a 429 says when to come again.
const pythonFlood = `
import sys, threading, time, urllib.request, urllib.error
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
answers, refused, lock = [], [], threading.Lock()
def client(c):
    for i in range(10):
        body = ("%d %d" % (c, i)).encode()
        while True:
            try:
                got = opener.open(urllib.request.Request(sys.argv[1], data=body)).read()
                break
            except urllib.error.HTTPError as e:
                if e.code != 429:
                    raise
                with lock:
                    refused.append(e.code)
                time.sleep(int(e.headers["Retry-After"]))
        assert got == body, got
        with lock:
            answers.append(got)
threads = [threading.Thread(target=client, args=(c,)) for c in range(30)]
for t in threads: t.start()
for t in threads: t.join()
print(len(answers), "answers,", "some refused" if refused else "none refused")
`

func TestAProgramInPythonThatFloodsGetsEveryAnswer(t *testing.T) {
	python := program(t, "python3", "")
	for config, want := range map[string]string{
		"limits: 100/s":                 "300 answers, none refused\n",
		"limits: 100/s, max_waiting: 2": "300 answers, some refused\n",
	} {
		a := newAPI(t)
		p := startProcess(t, fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: %q, flights: 10, %s}]`, a.URL, config), nil)
		out, err := exec.Command(python, "-c", pythonFlood, p.url).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: %v, %s", config, err, out)
		}
		if a.count() != 300 || a.busiest(time.Second) > 110 {
			t.Errorf("%s: %d requests arrived, at most %d in a second", config, a.count(), a.busiest(time.Second))
		}
	}
}

// A gibibyte goes each way, an eighth of that under the race detector. A proxy that kept it would
// grow by as much; what it may grow by is an eighth, or half of the lesser: buffers and garbage.
func TestMemoryIsConstantOverAGibibyte(t *testing.T) {
	size, most := int64(1<<30), float64(128<<20)
	if raced {
		size, most = size/8, most/2
	}
	chunk := make([]byte, 1<<20)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if r.Method == "PUT" {
			fmt.Fprint(w, n, " ", err)
			return
		}
		for range size / int64(len(chunk)) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer upstream.Close()
	p := startProcess(t, fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: %q, limits: 100/s, flights: 1}]`, upstream.URL), nil)
	get(t, p.url+"/metrics") // whatever is made once
	const resident = "process_resident_memory_bytes"
	before := p.metric(resident)
	grown := func() float64 { return p.metric(resident) - before }

	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	resp, err := client.Get(p.url)
	if err != nil {
		t.Fatal(err)
	}
	var got int64
	for range 8 {
		n, err := io.CopyN(io.Discard, resp.Body, size/8)
		if got += n; err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		if g := grown(); g > most {
			t.Errorf("grown by %.0f MiB after %d MiB of an answer", g/(1<<20), got>>20)
		}
	}
	resp.Body.Close()

	body := &counted{size: size, at: size / 2, then: func() {
		if g := grown(); g > most {
			t.Errorf("grown by %.0f MiB in the middle of a request", g/(1<<20))
		}
	}}
	req, err := http.NewRequest("PUT", p.url, body)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = client.Do(req); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); string(said) != fmt.Sprint(size, " ", nil) {
		t.Errorf("the upstream got %s", said)
	}
	if g := grown(); g > most {
		t.Errorf("grown by %.0f MiB in the end", g/(1<<20))
	}
}

// counted is so many zeros, and calls a function on the way.
type counted struct {
	size, at int64
	then     func()
}

func (c *counted) Read(p []byte) (int, error) {
	if c.size == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), c.size)
	clear(p[:n])
	if c.size -= n; c.size < c.at && c.then != nil {
		c.then()
		c.then = nil
	}
	return int(n), nil
}

// A redisServer is one of its own on loopback, which can be stopped and started.
type redisServer struct {
	t          *testing.T
	path, addr string
	cmd        *exec.Cmd
}

func newRedis(t *testing.T) *redisServer {
	r := &redisServer{t: t, path: program(t, "redis-server", "PACEDHTTP_REQUIRE_REDIS"), addr: freeAddr(t)}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *redisServer) start() {
	r.t.Helper()
	_, port, _ := strings.Cut(r.addr, ":")
	r.cmd = exec.Command(r.path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", r.t.TempDir())
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		var log bytes.Buffer
		buf := make([]byte, 4096)
		for told := false; ; {
			n, err := out.Read(buf)
			log.Write(buf[:n])
			if !told && bytes.Contains(log.Bytes(), []byte("Ready to accept connections")) {
				told = true
				close(ready)
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-ready:
	case <-r.t.Context().Done():
		r.t.Fatal("redis-server did not start")
	}
}

func (r *redisServer) stop() {
	if r.cmd != nil {
		_ = r.cmd.Process.Signal(syscall.SIGKILL)
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

func TestProcessesShareAQuotaInRedis(t *testing.T) {
	const flights = 3
	redis := newRedis(t)
	a := newAPI(t)
	yaml := fmt.Sprintf(`{redis: {address: %q}, upstreams: [{name: api, prefix: /, url: %q, limits: 100/s, flights: %d, redis: {key: api, timeout: 1m}}]}`, redis.addr, a.URL, flights)
	var load sync.WaitGroup
	for range 2 {
		p := startProcess(t, yaml, nil)
		load.Go(func() { flood(t, p.url, 10, 15, true) })
	}
	load.Wait()
	// What arrives in a window was reserved in it, or was in flight when it began.
	if n := a.busiest(time.Second); a.count() != 300 || n > 100+2*flights {
		t.Errorf("%d requests arrived, at most %d in a second, want at most %d", a.count(), n, 100+2*flights)
	}
}

func TestWhenRedisIsDownTheFallbackPacesOrRequestsAreRefused(t *testing.T) {
	redis := newRedis(t)
	a, b := newAPI(t), newAPI(t)
	p := startProcess(t, fmt.Sprintf(`
redis: {address: %q}
upstreams:
  - {name: with, prefix: /with, url: %q, limits: 100/s, flights: 5, redis: {key: with, timeout: 1m, fallback: 50/s}}
  - {name: without, prefix: /without, url: %q, limits: 100/s, flights: 5, redis: {key: without, timeout: 1m}}
`, redis.addr, a.URL, b.URL), nil)
	flood(t, p.url+"/with", 5, 10, true)
	flood(t, p.url+"/without", 5, 10, true)

	var load sync.WaitGroup
	load.Go(func() { flood(t, p.url+"/with", 5, 60, true) })
	before := a.count()
	eventually(t, "there is load", func() bool { return a.count() > before+50 })
	redis.stop() // in the midst of it
	load.Wait()
	if n := a.busiest(time.Second); n > 100+5 {
		t.Errorf("%d requests in a second, want at most the quota and the flights", n)
	}
	status, body := get(t, p.url+"/without")
	if status != 503 || !strings.Contains(body, `#quota-unavailable"`) || !strings.Contains(body, `"retry_after":`) {
		t.Errorf("without a fallback: %d %s", status, body)
	}
	redis.start()
	eventually(t, "Redis is used again", func() bool { status, _ := get(t, p.url+"/without"); return status == 200 })
}
