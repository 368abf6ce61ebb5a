package main

import (
	"bytes"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inProcess is a transport without a network, so that a whole scenario runs in a bubble, where requests arrive at the very
// moment they start and no tolerance is needed.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, req)
	return w.Result(), nil
}

func defaults(t *testing.T, args ...string) config {
	t.Helper()
	cfg, err := parse(append([]string{"-tolerance", "0"}, args...), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// playAll plays every scenario of a configuration in a bubble.
func playAll(t *testing.T, cfg config, check func(*testing.T, result)) {
	t.Helper()
	for _, s := range scenarios(cfg) {
		t.Run(s.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newAPI(cfg)
				check(t, play(cfg, s, api, inProcess{api}, "http://api.test", func(demo.Step) {}))
			})
		})
	}
}

func TestThePacedChainNeverExceedsTheQuota(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"-fail", "1", "-calls", "7"},
		{"-fail", "2"},
		{"-fail", "3", "-goroutines", "40", "-calls", "100"},
		{"-fail", "5", "-quota", "1"},
		{"-quota", "50", "-calls", "500", "-goroutines", "100"},
		{"-goroutines", "1"},
		{"-period", "100ms"},
		{"-period", "1m"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			cfg := defaults(t, args...)
			playAll(t, cfg, func(t *testing.T, r result) {
				if err := r.broken(cfg); err != nil {
					t.Error(err)
				}
				if !r.contrast && (r.Rejected() > 0 || r.Busiest > cfg.Quota || r.took < r.ideal(cfg)) {
					t.Errorf("busiest window %d, %d rejected, took %v of at least %v", r.Busiest, r.Rejected(), r.took, r.ideal(cfg))
				}
			})
		})
	}
}

func TestThePacedChainLosesNoTime(t *testing.T) {
	for _, args := range [][]string{{"-fail", "0"}, {"-fail", "0", "-quota", "3"}, nil} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			cfg := defaults(t, args...)
			playAll(t, cfg, func(t *testing.T, r result) {
				if want := r.ideal(cfg); !r.contrast && r.took != want {
					t.Errorf("took %v, want %v", r.took, want)
				}
				var last time.Duration
				for _, c := range r.calls {
					last = max(last, c.end)
				}
				if last != r.took {
					t.Errorf("the last call ended after %v, all of them after %v", last, r.took)
				}
			})
		})
	}
}

func TestTheUsualOrderExceedsTheQuota(t *testing.T) {
	for _, mode := range []string{"burst", "drip"} {
		t.Run(mode, func(t *testing.T) {
			cfg := defaults(t, "-mode", mode)
			playAll(t, cfg, func(t *testing.T, r result) {
				if r.contrast && (r.Busiest <= cfg.Quota || r.Rejected() == 0) {
					t.Errorf("busiest window %d of %d, %d rejected: nothing to contrast", r.Busiest, cfg.Quota, r.Rejected())
				}
			})
		})
	}
}

func TestTheUsualOrderIsSoundWhereNothingFailsAndTheBurstIsEnough(t *testing.T) {
	cfg := defaults(t, "-mode", "burst", "-fail", "0", "-calls", "5")
	playAll(t, cfg, func(t *testing.T, r result) {
		if r.Busiest != 5 || r.Rejected() != 0 || r.took != 0 {
			t.Errorf("busiest window %d, %d rejected, took %v, want 5, 0 and no time", r.Busiest, r.Rejected(), r.took)
		}
	})
}

func TestEachModeHasItsScenarios(t *testing.T) {
	for mode, want := range map[string]string{
		"burst": "paced, burst; usual order",
		"drip":  "paced, drip; usual order",
		"all":   "paced, burst; paced, drip; usual order",
	} {
		var titles []string
		for _, s := range scenarios(defaults(t, "-mode", mode)) {
			titles = append(titles, s.title)
		}
		if got := strings.Join(titles, "; "); got != want {
			t.Errorf("-mode %s: %s, want %s", mode, got, want)
		}
	}
}

func TestACallThatFailsForGoodIsAnsweredByTheFallback(t *testing.T) {
	cfg := defaults(t, "-fail", "1", "-calls", "3")
	playAll(t, cfg, func(t *testing.T, r result) {
		for i, c := range r.calls {
			if !c.fallback || c.failed() {
				t.Errorf("call %d: fallback %t, status %d", i+1, c.fallback, c.status)
			}
		}
		if len(r.Seen) != 3*4 {
			t.Errorf("%d attempts at 3 calls, want 4 each", len(r.Seen))
		}
	})
}

func TestABrokenPromiseIsExitCodeOne(t *testing.T) {
	cfg := defaults(t)
	good := result{scenario: scenario{title: "paced"}, Record: demo.Record{Busiest: 5}, calls: []call{{status: 200}}}
	for _, tt := range []struct {
		name   string
		change func(*result)
		want   string
	}{
		{"kept", func(*result) {}, ""},
		{"over the quota", func(r *result) { r.Busiest = 6 }, "the server counted 6 requests in a window that allows 5"},
		{"unanswered", func(r *result) { r.calls = []call{{status: 200}, {}} }, "call 2 ended with status 0"},
		{"nothing promised", func(r *result) { r.contrast, r.Busiest = true, 6 }, ""},
	} {
		r := good
		tt.change(&r)
		var errs bytes.Buffer
		code := verdict(cfg, []result{good, r, good}, &errs)
		wantCode, want := 0, ""
		if tt.want != "" {
			wantCode, want = 1, "quickstart: paced: "+tt.want+"\n"
		}
		if code != wantCode || errs.String() != want {
			t.Errorf("%s: exit code %d, %q, want %d, %q", tt.name, code, &errs, wantCode, want)
		}
	}
}

func TestIdealIsTheLeastTimeForWhatWasLetIn(t *testing.T) {
	cfg := defaults(t)
	for _, tt := range []struct {
		admitted    int
		burst, drip time.Duration
	}{
		{0, 0, 0},
		{1, 0, 0},
		{5, 0, 800 * time.Millisecond},
		{6, time.Second, time.Second},
		{23, 4 * time.Second, 4400 * time.Millisecond},
	} {
		r := result{Record: demo.Record{Admitted: tt.admitted}}
		if got := r.ideal(cfg); got != tt.burst {
			t.Errorf("burst of %d: %v, want %v", tt.admitted, got, tt.burst)
		}
		r.even = true
		if got := r.ideal(cfg); got != tt.drip {
			t.Errorf("drip of %d: %v, want %v", tt.admitted, got, tt.drip)
		}
	}
}

// Four calls fit the quota, so this waits for nothing. The window is a minute long: that is how long a busy machine may take.
func TestTheDemoRunsOnLoopback(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var errs bytes.Buffer
	svg := filepath.Join(t.TempDir(), "picture.svg")
	if code := run([]string{"-calls", "4", "-mode", "burst", "-period", "1m", "-svg", svg}, out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d, want 0; errors: %s", code, &errs)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"PACED, BURST", "USUAL ORDER", "4 of 4 calls answered, 4 attempts, 0 rejected", "call 4 ", "● ok", "at most 4 requests   quota, one row: 5",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	picture, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Pace under Retry: 4 requests for 4 calls, 0 answered 429", "Pace above Retry", "</svg>"} {
		if !strings.Contains(string(picture), want) {
			t.Errorf("no %q in:\n%s", want, picture)
		}
	}
}

func TestAPictureThatCannotBeWrittenIsExitCodeOne(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var errs bytes.Buffer
	svg := filepath.Join(t.TempDir(), "no folder", "picture.svg")
	if code := run([]string{"-calls", "1", "-mode", "burst", "-svg", svg}, out, &errs); code != 1 || !strings.Contains(errs.String(), svg) {
		t.Errorf("exit code %d, want 1; errors: %s", code, &errs)
	}
}

func TestABadFlagIsNamedWithItsValueAndWhatIsAllowed(t *testing.T) {
	var errs bytes.Buffer
	code := run([]string{"-mode", "flood"}, os.Stdout, &errs)
	const want = "quickstart: invalid value \"flood\" for flag -mode: must be one of burst, drip, outage, all (-h explains the flags)\n"
	if code != 2 || errs.String() != want {
		t.Errorf("exit code %d, %q, want 2 and %q", code, &errs, want)
	}
	errs.Reset()
	if code := run([]string{"-mode", "outage", "-svg", "x"}, os.Stdout, &errs); code != 2 || !strings.Contains(errs.String(), "-svg") {
		t.Errorf("a picture of an outage: exit code %d, %q", code, &errs)
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	var help bytes.Buffer
	if _, err := parse([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v, want %v", err, flag.ErrHelp)
	}
	for _, want := range []string{"outside the retries", "-calls N", "-mode what", "-svg FILE", "(default all)"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("no %q in:\n%s", want, &help)
		}
	}
}
