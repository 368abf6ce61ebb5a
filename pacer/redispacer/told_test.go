package redispacer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// answering is an API that accepts everything.
func answering(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: req}, nil
}

func call(t *testing.T, rt http.RoundTripper) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close()
}

// A call that the Fallback paced says so to hooks, and why, whatever the Pace layer was given:
// the Pacer, the one that it embeds, which may grant no slot, or one of which it is the Parent.
func TestACallThatFellBackSaysSoAndWhy(t *testing.T) {
	for name, of := range map[string]func(*Pacer) pacedhttp.Waiter{
		"Pacer":    func(p *Pacer) pacedhttp.Waiter { return p },
		"embedded": func(p *Pacer) pacedhttp.Waiter { return p.Pacer },
		"child":    func(p *Pacer) pacedhttp.Waiter { return pacer.Must(pacer.Config{Parent: p.Pacer}) },
		"grandchild": func(p *Pacer) pacedhttp.Waiter {
			return pacer.Must(pacer.Config{Parent: pacer.Must(pacer.Config{Parent: p.Pacer})})
		},
	} {
		for _, flights := range []int{0, 3} {
			t.Run(fmt.Sprint(name, " of ", flights, " flights"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFakeRedis(t)
					p := mustNew(t, f, Config{Limits: burst(100, time.Second), MaxInFlight: flights, Fallback: pacer.Drip(1, time.Second)})
					var told []error
					rt := pacedhttp.New(pacedhttp.RoundTripperFunc(answering),
						pacedhttp.Observe(pacedhttp.Hooks{SlotAcquired: func(_ context.Context, i pacedhttp.SlotInfo) { told = append(told, i.Fallback) }}),
						pacedhttp.Retry(nil), pacedhttp.Pace(of(p)))
					down := errors.New("connection refused")
					for _, cause := range []error{nil, down, nil} {
						f.fail = func(int) error { return cause }
						if err := p.Warm(t.Context()); !errors.Is(err, cause) { // else the first call after a failure is the Fallback's, and a probe
							t.Errorf("Warm: %v, want %v", err, cause)
						}
						for range 3 {
							call(t, rt)
						}
						for i, got := range told {
							if !errors.Is(got, cause) {
								t.Errorf("with Redis failing by %v, call %d was told %v", cause, i, got)
							}
						}
						if len(told) != 3 {
							t.Errorf("told %d times of 3 calls", len(told))
						}
						told = nil
					}
					if got := p.Stats().Shared.Fallback; got != 3 {
						t.Errorf("%d starts by the fallback, want 3", got)
					}
				})
			})
		}
	}
}

// Who has a start reserved when Redis fails starts by that, and not by the Fallback.
func TestAReservedStartIsNotTheFallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		p := mustNew(t, f, Config{Limits: burst(1, time.Second), Fallback: pacer.Burst(100, time.Second)})
		starts(t, p, 1)
		reserved, lent := make(chan error), make(chan error)
		for _, told := range []chan error{reserved, lent} {
			go func() {
				slot, err := p.Acquire(t.Context())
				if err != nil {
					t.Error(err)
				}
				told <- slot.Fallback()
			}()
			synctest.Wait()
		}
		time.Sleep(995 * ms) // due within the horizon
		synctest.Wait()
		down := errors.New("connection refused")
		f.fail = func(int) error { return down }
		p.remote.queue.Lock()
		p.remote.next = longAgo
		p.remote.queue.Wake()
		p.remote.queue.Unlock()
		synctest.Wait()
		if got := p.Stats().Shared; got.Reserved != 1 || !errors.Is(got.Err, down) {
			t.Errorf("%d reserved and Redis fails by %v, want 1 and %v", got.Reserved, got.Err, down)
		}
		if err := <-reserved; err != nil {
			t.Errorf("who had a reserved start was told %v", err)
		}
		if err := <-lent; !errors.Is(err, down) {
			t.Errorf("the other was told %v, want %v", err, down)
		}
	})
}

// Log warns that the Fallback paces and why, once a minute however many calls there are, and
// writes it of each at Debug.
func TestLogWarnsOfTheFallbackOnceAMinute(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelWarn: `
0s level=WARN msg="paced by a fallback" method=GET host=api.test error="dial tcp 10.0.0.7:6379: connection refused"
1m0s level=WARN msg="paced by a fallback" method=GET host=api.test error="dial tcp 10.0.0.7:6379: connection refused"
2m0s level=WARN msg="paced by a fallback" method=GET host=api.test error="dial tcp 10.0.0.7:6379: connection refused"
`,
		slog.LevelDebug: `
0s level=WARN msg="paced by a fallback" method=GET host=api.test error="dial tcp 10.0.0.7:6379: connection refused"
0s level=DEBUG msg="slot acquired" method=GET host=api.test waited=0s fallback="dial tcp 10.0.0.7:6379: connection refused"
`,
	} {
		t.Run(level.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				p := mustNew(t, f, Config{Limits: burst(100, time.Second), Fallback: pacer.Drip(1, time.Second)})
				var out bytes.Buffer
				var began time.Time
				l := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key != slog.TimeKey {
						return a
					}
					fmt.Fprint(&out, time.Since(began), " ")
					return slog.Attr{}
				}}))
				rt := pacedhttp.New(pacedhttp.RoundTripperFunc(answering), pacedhttp.Log(l), pacedhttp.Pace(p))
				call(t, rt)
				out.Reset()
				f.fail = func(int) error { return errors.New("dial tcp 10.0.0.7:6379: connection refused") }
				began = time.Now()
				calls := 121 // one a second
				if level < slog.LevelInfo {
					calls = 1
				}
				for range calls {
					call(t, rt)
				}
				if got := "\n" + out.String(); got != want {
					t.Errorf("got:%s\nwant:%s", got, want)
				}
			})
		})
	}
}
