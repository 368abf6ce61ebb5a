package pacedhttp_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A vendor is a base that counts requests, and what they use, in windows that begin with the
// first request after the one before; it tells what is left.
type vendor struct {
	requests, tokens int // a window
	window           time.Duration
	latency          time.Duration
	uses             int // tokens a request
	says             func(h http.Header, left, leftTokens int, resets time.Duration)

	mu                 sync.Mutex
	began              time.Time
	used, usedTokens   int
	answered, refusals int
}

func (v *vendor) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(v.latency / 2)
	v.mu.Lock()
	if now := time.Now(); now.Sub(v.began) >= v.window {
		v.began, v.used, v.usedTokens = now, 0, 0
	}
	resp := &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody, Request: req}
	if v.used < v.requests && (v.tokens == 0 || v.usedTokens+v.uses <= v.tokens) {
		v.used++
		v.usedTokens += v.uses
		v.answered++
	} else {
		resp.StatusCode = 429
		v.refusals++
	}
	v.says(resp.Header, v.requests-v.used, v.tokens-v.usedTokens, v.window-time.Since(v.began))
	v.mu.Unlock()
	time.Sleep(v.latency / 2)
	return resp, nil
}

func github(h http.Header, left, _ int, resets time.Duration) {
	h.Set("X-RateLimit-Limit", "60")
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(resets+time.Second-1).Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
}

func openAI(h http.Header, left, leftTokens int, resets time.Duration) {
	h.Set("X-Ratelimit-Limit-Requests", "500")
	h.Set("X-Ratelimit-Limit-Tokens", "1000")
	h.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(left))
	h.Set("X-Ratelimit-Remaining-Tokens", strconv.Itoa(leftTokens))
	h.Set("X-Ratelimit-Reset-Requests", resets.String())
	h.Set("X-Ratelimit-Reset-Tokens", resets.String())
}

// A client whose pacer knows nothing of the server's quota learns it from the first answer.
func TestChainLearnsTheServersQuota(t *testing.T) {
	generous := []pacer.Limit{{Calls: 1000, Period: time.Second}}
	for name, tt := range map[string]struct {
		vendor *vendor
		cfg    pacer.Config
	}{
		"GitHub, by a pacer that needs no slots": {
			&vendor{requests: 60, window: time.Hour, latency: 100 * time.Millisecond, says: github},
			pacer.Config{Limits: generous, MaxPause: 2 * time.Hour},
		},
		"GitHub, with flights": {
			&vendor{requests: 60, window: time.Hour, latency: 100 * time.Millisecond, says: github},
			pacer.Config{Limits: generous, MaxInFlight: 8, MaxPause: 2 * time.Hour},
		},
		"OpenAI, by tokens": {
			&vendor{requests: 500, tokens: 1000, uses: 50, window: time.Minute, latency: 300 * time.Millisecond, says: openAI},
			pacer.Config{Limits: []pacer.Limit{{Calls: 1000, Period: time.Second}, {Cost: 1e6, Unit: "tokens", Period: time.Second}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := tt.vendor
				p := pacer.Must(tt.cfg)
				rt := pacedhttp.New(v, costing(50), pacedhttp.Retry(nil), pacedhttp.Pace(p))
				send(t, rt, newRequest(t, "GET", nil)) // the first answer
				const windows = 5
				deadline := time.Now().Add(windows * v.window)
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						for time.Now().Before(deadline) {
							if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 {
								t.Errorf("got %d, %v", status, err)
								return
							}
						}
					})
				}
				wg.Wait()
				perWindow := v.requests
				if v.tokens > 0 {
					perWindow = v.tokens / v.uses
				}
				if all := perWindow * windows; v.refusals != 0 || v.answered < all*98/100 {
					t.Errorf("%d refusals, %d of %d requests in %d windows", v.refusals, v.answered, all, windows)
				}
			})
		})
	}
}

func TestServersQuotaNeverRaisesTheConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{header: header("X-RateLimit-Remaining", "100000", "X-RateLimit-Reset", "3600")})
		rt := pacedhttp.New(base, pacedhttp.Pace(pacer.Burst(2, time.Minute)))
		began := time.Now()
		for range 4 {
			send(t, rt, newRequest(t, "GET", nil))
		}
		wantTimes(t, base, began, seconds(0, 0, 60, 60)...)
	})
}

// The other host's quota is not ours, and its troubles neither.
func TestAnotherHostsAnswerTeachesAndPausesNothing(t *testing.T) {
	for name, p := range map[string]*pacer.Pacer{"windows": unlimited(), "flights": flights(9)} {
		for status, head := range map[int]http.Header{
			200: header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "3600"),
			429: header("Retry-After", "3600"),
		} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				base := newScript(
					step{status: 302, header: header("Location", "http://elsewhere.test/")},
					step{status: status, header: head})
				rt := pacedhttp.New(base, pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1})), pacedhttp.Pace(p))
				resp, err := rt.Client().Get("http://api.test/")
				if err != nil || resp.StatusCode != status {
					t.Fatal(resp, err)
				}
				resp.Body.Close()
				if stats := p.Stats(); !stats.PausedUntil.IsZero() || stats.Quotas != nil {
					t.Errorf("paused until %v, learned %v", stats.PausedUntil, stats.Quotas)
				}
			})
		}
	}
}

// GitHub counts no request for what has not been modified, if it knows who asks; and what it
// says is left counts all the same.
func TestNotModifiedOfGitHubIsFree(t *testing.T) {
	hourly := []pacer.Limit{{Calls: 9, Period: time.Hour}}
	for kind, cfg := range map[string]pacer.Config{
		"with flights":                   {Limits: hourly, MaxInFlight: 9},
		"by a pacer that needs no slots": {Limits: hourly},
	} {
		for name, tt := range map[string]struct {
			status int
			head   http.Header
			key    string
			used   int
		}{
			"GitHub's":            {304, header("X-RateLimit-Resource", "core"), "Bearer x", 0},
			"GitHub's, to nobody": {304, header("X-RateLimit-Resource", "core"), "", 1},
			"GitHub's, but anew":  {200, header("X-RateLimit-Resource", "core"), "Bearer x", 1},
			"another's":           {304, header("X-RateLimit-Limit", "60"), "Bearer x", 1},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := pacer.Must(cfg)
					tt.head.Set("X-RateLimit-Remaining", "3")
					tt.head.Set("X-RateLimit-Reset", "60")
					base := newScript(step{status: tt.status, header: tt.head}, step{status: tt.status, header: tt.head}, step{})
					rt := pacedhttp.New(base, pacedhttp.Pace(p))
					send := func() {
						req := newRequest(t, "GET", nil)
						if tt.key != "" {
							req.Header.Set("Authorization", tt.key)
						}
						send(t, rt, req)
					}
					send()
					send()
					if used(p) != 2*tt.used {
						t.Errorf("%d used, want %d", used(p), 2*tt.used)
					}
					began := time.Now()
					for range 4 { // of which three are left
						send()
					}
					if took := time.Since(began); took != time.Minute {
						t.Errorf("the last started after %v, want 1m", took)
					}
				})
			})
		}
	}
}
