package pacedhttp_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A program is what a chain calls of its user's. Every field is something that works.
type program struct {
	hooks    pacedhttp.Hooks
	fallback pacedhttp.FallbackFunc
	policy   retrypolicy.Config
	waiter   pacedhttp.Waiter
	pick     func(*http.Request) pacedhttp.Waiter
	prepare  func(*http.Request, pacedhttp.AttemptInfo) error
	estimate func(*http.Request) int
	base     http.RoundTripper
}

func TestPanicOfTheProgramsOwnPassesThroughAndLeavesNothingOpen(t *testing.T) {
	const mine = "mine"
	for name, breaks := range map[string]func(*program){
		"SlotRequested": func(p *program) { p.hooks.SlotRequested = func(context.Context, pacedhttp.SlotInfo) { panic(mine) } },
		"SlotAcquired":  func(p *program) { p.hooks.SlotAcquired = func(context.Context, pacedhttp.SlotInfo) { panic(mine) } },
		"AttemptStarted": func(p *program) {
			p.hooks.AttemptStarted = func(context.Context, pacedhttp.AttemptStart) { panic(mine) }
		},
		"AttemptDone":    func(p *program) { p.hooks.AttemptDone = func(context.Context, pacedhttp.AttemptResult) { panic(mine) } },
		"RetryScheduled": func(p *program) { p.hooks.RetryScheduled = func(context.Context, pacedhttp.RetryInfo) { panic(mine) } },
		"GaveUp":         func(p *program) { p.hooks.GaveUp = func(context.Context, pacedhttp.CallInfo) { panic(mine) } },
		"GaveUp, of a response set aside": func(p *program) {
			p.waiter = grants(1)
			p.hooks.GaveUp = func(context.Context, pacedhttp.CallInfo) { panic(mine) }
		},
		"CallDone": func(p *program) { p.hooks.CallDone = func(context.Context, pacedhttp.CallInfo) { panic(mine) } },
		"Paused": func(p *program) {
			p.waiter = unlimited()
			p.hooks.Paused = func(context.Context, pacedhttp.PauseInfo) { panic(mine) }
		},
		"SlotRefused": func(p *program) {
			p.waiter = grants(1)
			p.hooks.SlotRefused = func(context.Context, pacedhttp.SlotInfo) { panic(mine) }
		},
		"FallbackUsed": func(p *program) { p.hooks.FallbackUsed = func(context.Context, pacedhttp.FallbackInfo) { panic(mine) } },
		"Fallback": func(p *program) {
			p.fallback = func(*http.Request, *http.Response, error) (*http.Response, error) { panic(mine) }
		},
		"Classifier": func(p *program) { p.policy.Classify = func(retrypolicy.Attempt) retrypolicy.Verdict { panic(mine) } },
		"Backoff": func(p *program) {
			p.policy.Classify = func(retrypolicy.Attempt) retrypolicy.Verdict { return retrypolicy.Transient } // else the delay is a pacer's
			p.policy.Backoff = backoffFunc(func() time.Duration { panic(mine) })
		},
		"Waiter":     func(p *program) { p.waiter = waiterFunc(func(context.Context) error { panic(mine) }) },
		"PauseUntil": func(p *program) { p.waiter = panicsWhenPaused{mine} },
		"PaceBy":     func(p *program) { p.pick = func(*http.Request) pacedhttp.Waiter { panic(mine) } },
		"Prepare":    func(p *program) { p.prepare = func(*http.Request, pacedhttp.AttemptInfo) error { panic(mine) } },
		"Cost":       func(p *program) { p.estimate = func(*http.Request) int { panic(mine) } },
		"the base": func(p *program) {
			p.base = pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) { req.Body.Close(); panic(mine) })
		},
	} {
		for chain, retry := range map[string]bool{"under Retry": true, "without Retry": false, "under Retry, holding slots": true, "without Retry, holding slots": false} {
			t.Run(name+"/"+chain, func(t *testing.T) {
				outer := pacer.Must(pacer.Config{MaxInFlight: 9})
				holding := strings.HasSuffix(chain, "slots")
				base := newScript(step{status: 429, header: header("Retry-After", "0.001"), body: "busy"})
				p := program{fallback: keep, waiter: grants(9), estimate: func(*http.Request) int { return 1 }, prepare: func(req *http.Request, _ pacedhttp.AttemptInfo) error {
					req.Context().Done() // as net/http does
					return nil
				}, base: base}
				p.policy = retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.Constant(0), ReplayBuffer: kib, AttemptTimeout: time.Minute}
				breaks(&p)
				mw := []pacedhttp.Middleware{pacedhttp.Observe(p.hooks), pacedhttp.Fallback(p.fallback), pacedhttp.Cost("tokens", p.estimate)}
				if retry {
					mw = append(mw, pacedhttp.Retry(retrypolicy.Must(p.policy)))
				}
				if p.pick == nil {
					p.pick = func(*http.Request) pacedhttp.Waiter { return p.waiter }
				}
				if holding {
					mw = append(mw, pacedhttp.Pace(outer))
				}
				mw = append(mw, pacedhttp.PaceBy(p.pick), pacedhttp.Prepare(p.prepare))

				ctx, body := newRegistry(t.Context()), trackString("payload")
				got := func() (v any) {
					defer func() { v = recover() }()
					resp, err := pacedhttp.New(p.base, mw...).RoundTrip(newRequest(t, "PUT", body).WithContext(ctx))
					if err == nil {
						resp.Body.Close()
					}
					return nil
				}()
				switch name {
				case "AttemptStarted", "AttemptDone", "RetryScheduled", "GaveUp", "GaveUp, of a response set aside", "CallDone", "SlotRefused", "Classifier", "Backoff":
					if !retry {
						return // nobody calls it, or not for the first attempt
					}
				}
				if got != mine {
					t.Errorf("recovered %v", got)
				}
				body.wantOneClose(t)
				for _, resp := range base.responseBodies() {
					resp.wantOneClose(t)
				}
				if n := outer.Stats().InFlight; n != 0 {
					t.Errorf("%d are in flight", n)
				}
				if n := ctx.registered.Load(); n != 0 {
					t.Errorf("%d are left with the context", n)
				}
			})
		}
	}
}

type backoffFunc func() time.Duration

func (f backoffFunc) Delay(int, time.Duration) time.Duration { return f() }

type panicsWhenPaused struct{ value any }

func (panicsWhenPaused) Wait(context.Context) error { return nil }
func (p panicsWhenPaused) PauseUntil(time.Time)     { panic(p.value) }
