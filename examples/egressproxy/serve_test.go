//go:build !windows

// There are no signals to send on Windows.

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestAReloadUnderLoadLosesNothing(t *testing.T) {
	const flights = 10
	a := newAPI(t)
	yaml := func(limits string) string {
		return fmt.Sprintf(`upstreams: [{name: api, prefix: /, url: %q, limits: %s, flights: %d}]`, a.URL, limits, flights)
	}
	p := startProcess(t, yaml("200/s"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	var reloads sync.WaitGroup
	defer reloads.Wait()
	defer cancel()
	reloads.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			limits := []string{"300/s", "200/s even", "nonsense", "250/s"}[i%4]
			if r := p.reload(yaml(limits)); (r.Msg == "reloaded") == (limits == "nonsense") {
				t.Errorf("%s: %+v", limits, r)
			}
		}
	})
	flood(t, p.url, 20, 50, true)
	cancel()
	if n := a.busiest(time.Second); n > 300+flights {
		t.Errorf("%d requests in a second, want at most those of the largest limit and %d", n, flights)
	}
}

// Processes take over the socket from each other, as where systemd keeps it: what comes between
// them waits.
func TestARestartUnderLoadLosesNothing(t *testing.T) {
	a := newAPI(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	yaml := fmt.Sprintf(`{shutdown: {delay: 1m, timeout: 1m}, upstreams: [{name: api, prefix: /, url: %q, limits: 400/s, flights: 10}]}`, a.URL)
	first := startProcess(t, yaml, socket)
	var load sync.WaitGroup
	for _, keepAlive := range []bool{true, false} {
		load.Go(func() { flood(t, "http://"+l.Addr().String(), 10, 60, keepAlive) })
	}
	eventually(t, "there is load", func() bool { return a.count() > 200 })
	first.signal(syscall.SIGTERM)
	first.exit(exitOK)
	if n := a.count(); n >= 1200 {
		t.Errorf("all %d requests were answered before the first process had ended: nothing is proved", n)
	}
	startProcess(t, yaml, socket)
	load.Wait()
	if n := a.count(); n != 1200 {
		t.Errorf("%d requests arrived, want 1200", n)
	}
}

// Those who wait in the queue when the process is told to end are answered, all of them.
func TestTheEndLosesNoRequestThatWaits(t *testing.T) {
	a := newAPI(t)
	p := startProcess(t, fmt.Sprintf(`{shutdown: {delay: 100ms, timeout: 10m}, upstreams: [{name: api, prefix: /, url: %q, limits: 1/20ms even}]}`, a.URL), nil)
	var load sync.WaitGroup
	load.Go(func() { flood(t, p.url, 100, 1, true) })
	eventually(t, "all have come", func() bool { return p.metric("process_open_fds") > 0 && p.waiting()+a.count() >= 100 })
	p.signal(syscall.SIGTERM)
	p.logged("shutting down")
	if status, text := get(t, p.admin+"/readyz"); status != 503 || text != "shutting down\n" {
		t.Errorf("/readyz says %d %q", status, text)
	}
	load.Wait()
	p.exit(exitOK)
	if conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://")); err == nil {
		conn.Close()
		t.Error("somebody still listens")
	}
}

// What does not come to its end in time is told so, and the exit code says it.
func TestASecondSignalCutsOffWhatIsUnderWay(t *testing.T) {
	arrived := make(chan struct{}, 2)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer slow.Close()
	for _, tt := range []struct {
		shutdown string
		twice    bool
	}{{"{delay: 1h, timeout: 1h}", true}, {"{delay: 1ms, timeout: 1ms}", false}} {
		p := startProcess(t, fmt.Sprintf(`{shutdown: %s, upstreams: [{name: api, prefix: /, url: %q, limits: 1/h}]}`, tt.shutdown, slow.URL), nil)
		answers := make(chan string, 2)
		for range 2 { // one is sent, one waits
			go func() {
				status, body := get(t, p.url)
				answers <- fmt.Sprint(status, " ", body)
			}()
		}
		<-arrived
		eventually(t, "one waits", func() bool { return p.waiting() == 1 })
		p.signal(syscall.SIGTERM)
		if tt.twice {
			p.logged("shutting down")
			p.signal(syscall.SIGTERM)
		}
		for range 2 {
			if got := <-answers; !strings.HasPrefix(got, "503 ") || !strings.Contains(got, `#shutting-down"`) {
				t.Errorf("got %s", got)
			}
		}
		p.exit(exitFault)
	}
}

// An upgraded connection is left to its ends, for as long as the shutdown may take.
func TestTheEndWaitsForUpgradedConnections(t *testing.T) {
	p := newPair(t, echoing(t), `limits: 10/s, flights: 1`)
	conn, from := upgraded(t, p.url)
	stopped := make(chan error, 1)
	go func() { stopped <- p.stop(Shutdown{Timeout: time.Hour}, nil) }()
	eventually(t, "it is about to end", p.proxy.leaving.Load)
	for range 3 {
		_, _ = io.WriteString(conn, "still\n")
		if line, err := from.ReadString('\n'); line != "still\n" {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("it has ended: %v", err)
	default:
	}
	conn.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// When the end is near no connection is used again, whoever answers; but one may still be upgraded.
func TestEachAnswerNearTheEndClosesItsConnection(t *testing.T) {
	echo := echoing(t)
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
		}
	}, `limits: 1000/s, retries: {attempts: 1}`)
	for _, leaving := range []bool{false, true} {
		p.proxy.leaving.Store(leaving)
		for path, status := range map[string]int{"/": 200, "/%2e%2e": 400} {
			resp, err := p.client.Get(p.url + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != status || resp.Close != leaving {
				t.Errorf("%s, leaving %t: %s, closes %t", path, leaving, resp.Status, resp.Close)
			}
		}
		upgraded(t, p.url)
	}
	p.upstream.Close()
	resp, err := p.client.Post(p.url, "", nil) // a problem of the upstream's
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 502 || !resp.Close {
		t.Errorf("%s, closes %t", resp.Status, resp.Close)
	}
}
