package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// roleEnv makes the test's binary, where it is started as another program, one that fails.
const roleEnv = "PACEDHTTP_EXAMPLE_TEST_ROLE"

func TestMain(m *testing.M) {
	logging.Disable()
	switch role := os.Getenv(roleEnv); {
	case role == "dies at once":
		fmt.Fprintln(os.Stderr, "boom")
		os.Exit(3)
	case role == "dies while it calls":
		orders, reports := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
		var j job
		orders.Decode(&j)
		reports.Encode(report{Event: ready})
		var start bool
		orders.Decode(&start)
		reports.Encode(report{Event: begin, Call: j.First})
		fmt.Fprintln(os.Stderr, "boom")
		os.Exit(3)
	case role == "ignores the quota":
		orders, reports := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
		var j job
		orders.Decode(&j)
		reports.Encode(report{Event: ready})
		var start bool
		orders.Decode(&start)
		for n := j.First; n <= j.Calls; n += j.Step {
			status, err := makeCall(context.Background(), http.DefaultClient, j.URL, n)
			reports.Encode(report{Event: end, Call: n, Status: status, Error: fmt.Sprint(err)})
		}
		reports.Encode(report{Event: done})
		os.Exit(0)
	case role == "no redis-server":
		fmt.Println("Fatal: boom")
		os.Exit(1)
	case os.Getenv(workerEnv) != "":
		os.Exit(runWorker())
	}
	goleak.VerifyTestMain(m)
}

func noRedis(string) (string, error) { return "", exec.ErrNotFound }

// closedAddr is an address where nobody listens, nor can as long as the test runs: it is the near end of a connection.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// runShow runs the program and returns what it left behind.
func runShow(t *testing.T, lookPath func(string) (string, error), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var errs bytes.Buffer
	code = run(t.Context(), args, out, &errs, lookPath)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, string(text), errs.String()
}

// TestProcessesShareOneQuota runs the whole show. Processes have no virtual time, so nothing is checked that depends on how
// busy the machine is: the server's window is a nanosecond, within which no two requests arrive, and that processes hold to
// one quota is seen by the time it takes, which can only be longer. A quota each would take them a period.
func TestProcessesShareOneQuota(t *testing.T) {
	for _, tt := range []struct {
		redis    string
		lookPath func(string) (string, error)
	}{
		{"a redis-server of their own", exec.LookPath},
		{"miniredis in this process", noRedis},
	} {
		t.Run(tt.redis, func(t *testing.T) {
			if _, err := tt.lookPath("redis-server"); tt.redis != "miniredis in this process" && err != nil {
				if os.Getenv("PACEDHTTP_REQUIRE_REDIS") == "1" {
					t.Fatalf("PACEDHTTP_REQUIRE_REDIS is 1: %v", err)
				}
				t.Skipf("needs a redis-server on PATH: %v", err)
			}
			t.Setenv("NO_COLOR", "1")
			code, stdout, stderr := runShow(t, tt.lookPath,
				"-procs", "3", "-calls", "24", "-quota", "8", "-period", "500ms", "-tolerance", "499.999999ms", "-fail", "10")
			if code != 0 || stderr != "" {
				t.Fatalf("exit code %d, %s\n%s", code, stderr, stdout)
			}
			for _, want := range []string{
				`through ` + tt.redis,
				`\n  24 of 24 calls answered, 26 attempts, 0 rejected, `,
				`\n +alpha [0-9] .*a`, `\n +bravo [0-9] .*b`, `\ncharlie [0-9] .*c`, // somewhere in the picture
				`\n +alpha +8 +9 +1 +0 +0 +[1-9][0-9]* *\n`, // call 10
				`\n +bravo +8 +9 +1 +0 +0 +[1-9][0-9]* *\n`, // call 20
				`\n +charlie +8 +8 +0 +0 +0 +[1-9][0-9]* *\n`,
				`\n +all +24 +26 +2 +0 +0 +[1-9][0-9]* *\n`,
				`\nbusiest +[1-8] requests, of 8 allowed`,
			} {
				if !regexp.MustCompile(want).MatchString(stdout) {
					t.Errorf("nothing matches %q", want)
				}
			}
			took := regexp.MustCompile(`\ntime +([0-9.]+s) of at least 1\.50s`).FindStringSubmatch(stdout)
			if took == nil {
				t.Error("no time, of at least 1.50s")
			} else if d, err := time.ParseDuration(took[1]); err != nil || d < 1500*time.Millisecond { // 3 periods for what is beyond 3 × 8 of the 26
				t.Errorf("took %s, want at least 1.50s", took[1])
			}
			if t.Failed() {
				t.Log("\n" + stdout)
			}
		})
	}
}

func TestInterruptionEndsEverything(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lookPath func(string) (string, error)
	}{{"redis-server", exec.LookPath}, {"miniredis", noRedis}} {
		t.Run(tt.name, func(t *testing.T) {
			tmp := t.TempDir()
			for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
				t.Setenv(name, tmp)
			}
			in, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var stdout strings.Builder
			finished := make(chan struct{})
			go func() {
				defer close(finished)
				for lines := bufio.NewScanner(in); lines.Scan(); {
					fmt.Fprintln(&stdout, lines.Text())
					if strings.Contains(lines.Text(), "calls answered") {
						cancel()
					}
				}
			}()
			var stderr bytes.Buffer
			code := run(ctx, []string{"-calls", "8", "-quota", "2", "-period", "1m"}, out, &stderr, tt.lookPath)
			out.Close()
			<-finished
			if code != 1 || stderr.String() != "distributed: interrupted\n" {
				t.Errorf("exit code %d, %s\n%s", code, &stderr, &stdout)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(stdout.String()); addr != "" {
				if conn, err := net.Dial("tcp", addr); err == nil {
					conn.Close()
					t.Errorf("redis-server still listens at %s", addr)
				}
			}
		})
	}
}

func TestTroubleIsExitCodeOneAndSaysWhatItWas(t *testing.T) {
	self := func(string) (string, error) { return os.Executable() }
	nobody := closedAddr(t)
	for _, tt := range []struct {
		name, role string
		lookPath   func(string) (string, error)
		args       []string
		want       string
	}{
		{"a process dies at once", "dies at once", noRedis, nil, "process alpha: exit status 3: boom"},
		{"a process dies while it calls", "dies while it calls", noRedis, nil, "exit status 3: boom"},
		{"no redis-server", "no redis-server", self, nil, "did not start:\nFatal: boom"},
		{"nothing at the address", "", noRedis, []string{"-redis", nobody}, "cannot use the Redis at " + nobody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(roleEnv, tt.role)
			code, stdout, stderr := runShow(t, tt.lookPath, tt.args...)
			if code != 1 || !strings.Contains(stderr, tt.want) || !strings.HasPrefix(stderr, "distributed: ") {
				t.Errorf("exit code %d, %q, want 1 and %q\n%s", code, stderr, tt.want, stdout)
			}
		})
	}
}

// TestRequestsOverTheQuotaAreTrouble has no command line: its window is longer than any run.
func TestRequestsOverTheQuotaAreTrouble(t *testing.T) {
	t.Setenv(roleEnv, "ignores the quota")
	cfg := config{Config: demo.Config{Calls: 5, Quota: 2, Period: 24 * time.Hour}, procs: 3}
	var out strings.Builder
	err := play(t.Context(), cfg, screen{demo.Screen{Writer: &out, Width: 80}}, noRedis)
	if err == nil || err.Error() != "the server counted 5 requests in a window that allows 2" {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestABrokenPromiseIsAnError(t *testing.T) {
	cfg := config{Config: demo.Config{Quota: 5}}
	for _, tt := range []struct {
		name   string
		change func(*result)
		want   string
	}{
		{"kept", func(*result) {}, ""},
		{"over the quota", func(r *result) { r.Busiest = 6 }, "the server counted 6 requests in a window that allows 5"},
		{"failed", func(r *result) { r.calls[1].status = 503 }, "call 2, by bravo, ended with status 503"},
		{"unanswered", func(r *result) { r.calls[2] = call{err: "boom"} }, "call 3, by alpha, got no answer: boom"},
	} {
		r := result{Record: demo.Record{Busiest: 5}, calls: []call{{status: 200}, {status: 200}, {status: 200}}, roundTrips: make([]uint64, 2)}
		tt.change(&r)
		got := ""
		if err := r.broken(cfg); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
