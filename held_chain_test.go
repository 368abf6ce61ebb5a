package pacedhttp_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A callerHeld is a way in which a caller is held for longer than 10 s, and what tells of it.
type callerHeld struct {
	limits string // of the pacer
	pacer  pacer.Config
	policy retrypolicy.Config
	steps  []step                                         // of the server
	before func(p *pacer.Pacer, call func(async ...bool)) // what happened before the caller came
	after  time.Duration                                  // when it has been held for long, 11 s if zero

	record  string                         // at Info
	waiting func(pacedhttp.SlotInfo) bool  // what SlotWaiting is told …
	retry   func(pacedhttp.RetryInfo) bool // … or RetryScheduled
	stats   func(pacer.Stats) bool
}

func waysToBeHeld() map[string]callerHeld {
	const s = time.Second
	because := func(cause string) func(pacedhttp.SlotInfo) bool {
		return func(i pacedhttp.SlotInfo) bool {
			return i.State == pacer.StatePaused && i.Cause == cause && i.Predicted > 0
		}
	}
	paused := func(cause string) func(pacer.Stats) bool {
		return func(got pacer.Stats) bool {
			return got.State == pacer.StatePaused && got.Cause == cause && time.Until(got.PausedUntil) > 0 && got.Waiting == 1
		}
	}
	takesOne := func(p *pacer.Pacer, _ func(...bool)) { p.Allow() }
	return map[string]callerHeld{
		"the server's Retry-After": {
			limits: "1000/s", steps: []step{throttling("30"), {}},
			record:  `msg=paused method=GET host=api.test status=429 until=2000-01-01T00:00:30.000Z`,
			waiting: because("throttled"), stats: paused("throttled"),
		},
		"throttled without a delay": { // for 1 s, 2 s, 4 s, 8 s, and now 16 s
			limits: "1000/s", policy: retrypolicy.Config{MaxAttempts: 6}, steps: []step{{status: 429}}, after: 26 * s,
			record:  `msg="waiting for a slot" method=GET host=api.test waited=10s wait=6s state=paused cause=throttled`,
			waiting: because("throttled"), stats: paused("throttled"),
		},
		"the program's PauseUntil": {
			limits: "1000/s", before: func(p *pacer.Pacer, _ func(...bool)) { p.PauseUntil(time.Now().Add(30 * s)) },
			record:  `msg="waiting for a slot" method=GET host=api.test waited=10s wait=20s state=paused cause="paused by the program"`,
			waiting: because("paused by the program"), stats: paused("paused by the program"),
		},
		"a quota that is used up": {
			limits: "1000/s", steps: []step{{header: header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30")}},
			before:  func(_ *pacer.Pacer, call func(...bool)) { call() },
			record:  `msg=paused method=GET host=api.test status=200 until=2000-01-01T00:00:30.000Z`,
			waiting: because("quota of requests used up"), stats: paused("quota of requests used up"),
		},
		"a low limit": {
			limits: "1/min", before: takesOne,
			record:  `msg="waiting for a slot" method=GET host=api.test waited=10s wait=1m50s state=flowing cause=""`,
			waiting: func(i pacedhttp.SlotInfo) bool { return i.State == pacer.StateFlowing && i.Predicted == 110*s },
			stats: func(got pacer.Stats) bool {
				return got.Limits[0].Left == 0 && time.Until(got.Limits[0].Next) == 49*s && got.Waiting == 1
			},
		},
		"a limit on cost": {
			limits: "1 tokens/min", before: takesOne,
			record:  `msg="waiting for a slot" method=GET host=api.test waited=10s wait=1m50s state=flowing cause=""`,
			waiting: func(i pacedhttp.SlotInfo) bool { return i.State == pacer.StateFlowing && i.Predicted == 110*s },
			stats: func(got pacer.Stats) bool {
				return got.Limits[0].Left == 0 && time.Until(got.Limits[0].Next) == 49*s && got.Waiting == 1
			},
		},
		"flights that are not done": {
			pacer: pacer.Config{MaxInFlight: 1}, steps: []step{{delay: time.Hour}},
			before: func(_ *pacer.Pacer, call func(...bool)) { call(true) },
			record: `msg="waiting for a slot" method=GET host=api.test waited=10s state=flowing cause="" "in flight"=1`,
			waiting: func(i pacedhttp.SlotInfo) bool {
				return i.State == pacer.StateFlowing && i.Waited == 10*s && i.InFlight == 1 && i.Predicted == 0
			},
			stats: func(got pacer.Stats) bool {
				return got.InFlight == 1 && time.Since(got.OldestInFlight) == 11*s && got.Waiting == 1
			},
		},
		"an outage": { // whose probes get no answer
			limits: "1000/s", pacer: pacer.Config{Outage: &pacer.Outage{}}, policy: retrypolicy.Config{MaxAttempts: 1},
			steps: append(slices.Repeat([]step{{status: 503}}, 5), step{delay: time.Hour}),
			before: func(_ *pacer.Pacer, call func(...bool)) {
				for range 5 {
					call()
				}
				for range 3 {
					call(true)
				}
			},
			record:  `state=down cause="5 failures in a row"`,
			waiting: func(i pacedhttp.SlotInfo) bool { return i.State == pacer.StateDown && i.Cause == "5 failures in a row" },
			stats: func(got pacer.Stats) bool {
				return got.State == pacer.StateDown && got.Cause == "5 failures in a row" && got.Waiting > 0
			},
		},
		"Retry's own backoff": {
			limits: "1000/s", policy: retrypolicy.Config{Backoff: retrypolicy.Constant(30 * s)}, steps: []step{{status: 503}},
			record: `msg=retrying method=GET host=api.test attempt=1 status=503 reason=transient delay=30s`,
			retry:  func(i pacedhttp.RetryInfo) bool { return i.Verdict == retrypolicy.Transient && i.Delay == 30*s },
			stats: func(got pacer.Stats) bool {
				return got.State == pacer.StateFlowing && got.Waiting == 0 && got.Granted == 1
			},
		},
		"a delay that is the call's own": { // of which no pacer hears
			limits: "1000/s", steps: []step{{status: 413, header: header("Retry-After", "30")}},
			record: `msg=retrying method=GET host=api.test attempt=1 status=413 reason=unprocessed delay=3`,
			retry:  func(i pacedhttp.RetryInfo) bool { return i.Response.StatusCode == 413 && i.Delay >= 30*s },
			stats: func(got pacer.Stats) bool {
				return got.State == pacer.StateFlowing && got.Waiting == 0 && got.Granted == 1
			},
		},
	}
}

// Nobody waits in the dark: of every way in which a caller can be held for longer than 10 s a
// record, a hook and the Stats say why.
func TestWhoeverIsHeldForTenSecondsIsToldWhy(t *testing.T) {
	for name, way := range waysToBeHeld() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				var told atomic.Bool
				hooks := pacedhttp.Hooks{
					SlotWaiting: func(_ context.Context, i pacedhttp.SlotInfo) {
						if way.waiting != nil && way.waiting(i) {
							told.Store(true)
						}
					},
					RetryScheduled: func(_ context.Context, i pacedhttp.RetryInfo) {
						if way.retry != nil && way.retry(i) {
							told.Store(true)
						}
					},
				}
				if way.limits != "" {
					way.pacer.Limits, _ = pacer.ParseLimits(way.limits)
				}
				p := pacer.Must(way.pacer)
				rt := pacedhttp.New(newScript(way.steps...), pacedhttp.Log(logTo(&out, slog.LevelInfo)),
					pacedhttp.Observe(hooks), pacedhttp.Retry(retrypolicy.Must(way.policy)), pacedhttp.Pace(p))
				ctx, cancel := context.WithCancel(t.Context())
				var calls sync.WaitGroup
				call := func(async ...bool) {
					calls.Go(func() { send(t, rt, newRequest(t, "GET", nil).WithContext(ctx)) })
					if len(async) == 0 {
						calls.Wait()
					}
					synctest.Wait()
				}
				if way.before != nil {
					way.before(p, call)
				}
				call(true)
				if way.after == 0 {
					way.after = 11 * time.Second
				}
				time.Sleep(way.after)
				synctest.Wait()
				if !strings.Contains(out.String(), way.record) {
					t.Errorf("no record says %s:\n%s", way.record, out.String())
				}
				if !told.Load() {
					t.Error("no hook was told")
				}
				if got := p.Stats(); !way.stats(got) {
					t.Errorf("the Stats say %+v", got)
				}
				cancel()
				calls.Wait()
			})
		})
	}
}
