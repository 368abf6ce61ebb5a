package redispacer

import (
	"bufio"
	"cmp"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// A server is a redis-server of the test's own on a free loopback port, or miniredis
// where none is installed.
type server struct {
	addr     string // "" until it has been started
	bus      string // the port that the members of its cluster talk to, if it is one
	path     string // of redis-server; "" = miniredis
	args     []string
	sentinel string // its configuration, if it is one
	cmd      *exec.Cmd
	mini     *miniredis.Miniredis
}

// startServer starts a redis-server with what args add to its command line. With args,
// miniredis cannot stand in for it, and the test is skipped.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	return launch(t, &server{args: args})
}

// startSentinel starts one that is configured so.
func startSentinel(t testing.TB, config string) *server {
	t.Helper()
	return launch(t, &server{sentinel: config})
}

func launch(t testing.TB, s *server) *server {
	t.Helper()
	switch path, err := exec.LookPath("redis-server"); {
	case err == nil:
		s.path = path
	case os.Getenv("PACEDHTTP_REQUIRE_REDIS") == "1":
		t.Fatal("PACEDHTTP_REQUIRE_REDIS is 1, and there is no redis-server on PATH")
	case len(s.args) > 0 || s.sentinel != "":
		t.Skip("needs a redis-server on PATH")
	}
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// handedOut are the addresses of all servers so far. None is given to two: a cluster or a
// sentinel goes on looking for a member that was killed, and would take in another test's server.
var handedOut sync.Map

func freeAddr(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		if _, taken := handedOut.LoadOrStore(addr, true); !taken {
			return addr
		}
	}
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// start returns when the server takes connections, on the port that it had before if it had one.
func (s *server) start(t testing.TB) {
	t.Helper()
	if s.path == "" {
		s.mini = miniredis.NewMiniRedis()
		if err := s.mini.StartAddr(cmp.Or(s.addr, "127.0.0.1:0")); err != nil {
			t.Fatal(err)
		}
		s.addr = s.mini.Addr()
		return
	}
	addr := s.addr
	for {
		if s.addr == "" {
			addr = freeAddr(t)
		}
		log, ok := s.run(t, addr)
		if ok {
			s.addr = addr
			return
		}
		if !strings.Contains(log, "Address already in use") {
			t.Fatalf("redis-server did not start:\n%s", log)
		}
		// Somebody else was faster: another port, or this one when it is free again.
	}
}

// run starts a redis-server, and returns what it said if it ended at once.
func (s *server) run(t testing.TB, addr string) (log string, ok bool) {
	t.Helper()
	dir := memoryDir(t)
	args := []string{"--bind", "127.0.0.1", "--port", portOf(addr), "--dir", dir}
	switch {
	case s.sentinel != "":
		file := filepath.Join(dir, "sentinel.conf") // which it writes to
		if err := os.WriteFile(file, []byte(s.sentinel), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{file, "--sentinel"}, args...)
	case slices.Contains(s.args, "--cluster-enabled"):
		s.bus = portOf(freeAddr(t))
		args = append(args, "--cluster-port", s.bus)
		fallthrough
	default:
		args = append(args, "--save", "", "--appendonly", "no")
	}
	s.cmd = exec.Command(s.path, append(args, s.args...)...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); log += lines.Text() + "\n" {
		if strings.Contains(lines.Text(), "Ready to accept connections") || strings.Contains(lines.Text(), "Sentinel ID is") {
			go io.Copy(io.Discard, out) // ends with the server
			return "", true
		}
	}
	s.kill()
	return log, false
}

// memoryDir is a directory in memory, where the system has one. Members of a cluster and
// sentinels write all that they decide to it and wait for that, while a disk may take seconds.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "redispacer")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// kill ends the server as a crash would.
func (s *server) kill() {
	switch {
	case s.mini != nil:
		s.mini.Close()
	case s.cmd != nil:
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) client(t testing.TB) *redis.Client {
	return client(t, &redis.Options{Addr: s.addr})
}

// client returns a client that has a minute: a busy machine is no failure.
func client(t testing.TB, opt *redis.Options) *redis.Client {
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout = time.Minute, time.Minute, time.Minute
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// delayed is the address of a proxy to addr that holds all bytes up by delay, each way.
func delayed(t testing.TB, addr string, delay time.Duration) string {
	t.Helper()
	return proxied(t, addr, func() time.Time { return time.Now().Add(delay) })
}

// proxied is the address of a proxy to addr that hands bytes on when they are due.
func proxied(t testing.TB, addr string, due func() time.Time) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", addr)
			if err != nil {
				near.Close()
				continue
			}
			go carry(far, near, due)
			go carry(near, far, due)
		}
	}()
	return l.Addr().String()
}

func carry(dst, src net.Conn, due func() time.Time) {
	type chunk struct {
		data []byte
		due  time.Time
	}
	chunks := make(chan chunk, 1000)
	go func() {
		defer dst.Close()
		for c := range chunks {
			time.Sleep(time.Until(c.due))
			dst.Write(c.data)
		}
	}()
	defer close(chunks)
	for {
		buf := make([]byte, 4096)
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		chunks <- chunk{buf[:n], due()}
	}
}
