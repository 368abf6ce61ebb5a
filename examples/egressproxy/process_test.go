//go:build !windows

// There are no signals to send on Windows.

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is the proxy as its users run it.
type process struct {
	t          *testing.T
	cmd        *exec.Cmd
	file       string
	url, admin string

	mu   sync.Mutex
	log  []record
	more chan struct{} // closed when there is more in the log, and replaced
	over chan struct{} // closed when the process has ended
	code int
}

// A record is a line of the log.
type record struct {
	Level, Msg, Error, Setting, Listen, Admin string
}

// startProcess starts the proxy with that configuration. A socket, if it is not nil, is handed over
// as systemd does.
func startProcess(t *testing.T, yaml string, socket *os.File) *process {
	t.Helper()
	p := &process{t: t, file: filepath.Join(t.TempDir(), "egressproxy.yaml"), more: make(chan struct{}), over: make(chan struct{})}
	p.write(yaml)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(exe, "-config", p.file, "-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0")
	p.cmd.Env = append(os.Environ(), asProcess+"=1")
	if socket != nil {
		p.cmd.ExtraFiles = []*os.File{socket}
		p.cmd.Env = append(p.cmd.Env, "LISTEN_FDS=1", "LISTEN_PID=self")
	}
	out, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go p.read(out)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.over
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("the log: %+v", p.log[max(0, len(p.log)-20):])
		}
	})
	serving := p.logged("serving")
	p.url, p.admin = "http://"+serving.Listen, "http://"+serving.Admin
	return p
}

func (p *process) write(yaml string) {
	p.t.Helper()
	if err := os.WriteFile(p.file, []byte(yaml), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// read reads the log to its end, and then the exit code.
func (p *process) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			r = record{Level: "none", Msg: lines.Text()} // of a crash
		}
		p.mu.Lock()
		p.log = append(p.log, r)
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	_ = p.cmd.Wait()
	p.code = p.cmd.ProcessState.ExitCode()
	close(p.over)
}

// logged waits for a record with one of the messages, and returns it with all before it taken off.
func (p *process) logged(messages ...string) record {
	p.t.Helper()
	for {
		p.mu.Lock()
		i := slices.IndexFunc(p.log, func(r record) bool { return slices.Contains(messages, r.Msg) })
		if i >= 0 {
			r := p.log[i]
			p.log = slices.Delete(p.log, 0, i+1)
			p.mu.Unlock()
			return r
		}
		more := p.more
		p.mu.Unlock()
		select {
		case <-more:
		case <-p.over:
			p.t.Fatalf("ended with code %d, and never logged %q", p.code, messages)
		}
	}
}

// reload makes the process read another file, and returns what it says of it.
func (p *process) reload(yaml string) record {
	p.t.Helper()
	p.write(yaml)
	p.signal(syscall.SIGHUP)
	return p.logged("reloaded", "reload refused: all is as it was")
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end of the process.
func (p *process) exit(want int) {
	p.t.Helper()
	if <-p.over; p.code != want {
		p.t.Errorf("exit code %d, want %d", p.code, want)
	}
}

// get returns status and body of what is at a URL.
func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// metric returns the value of a metric without labels.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	_, text := get(p.t, p.admin+"/metrics")
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		p.t.Fatalf("no metric %s in\n%s", name, text)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// waiting returns how many requests wait for the first upstream, as the status page shows it.
func (p *process) waiting() int {
	p.t.Helper()
	_, text := get(p.t, p.admin+"/status?format=json")
	var status struct{ Pacers []struct{ Waiting int } }
	if err := json.Unmarshal([]byte(text), &status); err != nil || len(status.Pacers) == 0 {
		p.t.Fatalf("%v in %s", err, text)
	}
	return status.Pacers[0].Waiting
}

// An api is an upstream that notes when requests arrive.
type api struct {
	*httptest.Server
	mu       sync.Mutex
	arrivals []time.Time
}

func newAPI(t *testing.T) *api {
	a := new(api)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.arrivals = append(a.arrivals, time.Now())
		a.mu.Unlock()
		body, _ := io.ReadAll(r.Body) // all of it, before the answer begins
		_, _ = w.Write(body)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.arrivals)
}

// busiest returns the most arrivals in any window of that length.
func (a *api) busiest(window time.Duration) (most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := 0
	for i, at := range a.arrivals {
		for at.Sub(a.arrivals[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// freeAddr returns an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// flood makes each of the clients send so many requests one after another, and waits for the end.
// Every answer must be 200 and what was sent. POST is never sent again by net/http.
func flood(t *testing.T, url string, clients, requests int, keepAlive bool) {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: clients, DisableKeepAlives: !keepAlive}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range requests {
				body := fmt.Sprint("request ", c, " ", i)
				resp, err := client.Post(url, "text/plain", strings.NewReader(body))
				if err != nil {
					t.Errorf("%s: %v", body, err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || string(got) != body || err != nil {
					t.Errorf("%s: %s %q, %v", body, resp.Status, got, err)
				}
			}
		})
	}
	all.Wait()
}

// No window of the upstream's own clock holds more than the limit and the flights, whatever delays
// there are on the way: what arrives in a window either started in it, or was in flight when it began.
func TestNoLimitIsExceededInTenThousandRequests(t *testing.T) {
	const flights = 20
	a := newAPI(t)
	p := startProcess(t, fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: %q, limits: "400/s, 120/250ms", flights: %d}]`, a.URL, flights), nil)
	flood(t, p.url, 100, 100, true)
	if n := a.count(); n != 10_000 {
		t.Errorf("%d requests arrived, want 10000", n)
	}
	for window, limit := range map[time.Duration]int{time.Second: 400, 250 * time.Millisecond: 120} {
		if n := a.busiest(window); n > limit+flights {
			t.Errorf("%d requests in %v, want at most %d", n, window, limit+flights)
		}
	}
}

func TestAnUpstreamThatIsDownIsLeftAloneAndNoticedWhenItIsBack(t *testing.T) {
	addr := freeAddr(t)
	p := startProcess(t, fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: "http://%s", limits: 100/s, outage: {after: 3, refuse: true}, retries: {attempts: 1}}]`, addr), nil)
	for range 3 {
		if status, body := get(t, p.url); status != 502 || !strings.Contains(body, `#unreachable"`) {
			t.Errorf("got %d %s", status, body)
		}
	}
	down := 0
	for range 50 {
		if status, body := get(t, p.url); status == 503 && strings.Contains(body, `#down"`) {
			down++
		}
	}
	if down < 40 { // but for the probes
		t.Errorf("%d of 50 requests were told that the upstream is down", down)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	up := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "back") })}
	go up.Serve(l)
	defer up.Close()
	eventually(t, "it is back", func() bool { status, _ := get(t, p.url); return status == 200 })
}

func TestTheAdminPortShowsHowItStands(t *testing.T) {
	a := newAPI(t)
	p := startProcess(t, fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: %q, limits: 1000/s, tenants: {header: Authorization}}]`, a.URL), nil)
	get(t, p.url, "Authorization", "secret")
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n"} {
		if status, text := get(t, p.admin+path); status != 200 || text != want {
			t.Errorf("%s says %d %q", path, status, text)
		}
	}
	_, metrics := get(t, p.admin+"/metrics")
	for _, want := range []string{
		`pacedhttp_pacer_limit{`, `pacedhttp_pacer_name="api"`, `http_client_request_duration_seconds_count{`,
		`pacedhttp_call_duration_seconds_count{`, `pacedhttp_pacing_request_time_in_queue_seconds_count{`, "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	_, page := get(t, p.admin+"/status", "Accept", "text/html")
	_, status := get(t, p.admin+"/status?format=json")
	if !strings.Contains(page, "api tenants") || !strings.Contains(status, `"name": "api"`) || !strings.Contains(status, `"keys": 1`) {
		t.Errorf("the status is\n%s\n%s", status, page)
	}
	if strings.Contains(metrics+page+status, "secret") {
		t.Error("a tenant's key is shown")
	}
	if status, _ := get(t, p.url+"/metrics"); status != 200 || a.count() != 2 {
		t.Errorf("a client's /metrics is %d, and not the upstream's", status)
	}
}
