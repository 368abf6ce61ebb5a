package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A waiterFunc is a Waiter without PauseUntil, like that of golang.org/x/time/rate.
type waiterFunc func(context.Context) error

func (f waiterFunc) Wait(ctx context.Context) error { return f(ctx) }

// A pausable is a Waiter that never waits and remembers what it was told.
type pausable struct {
	mu     sync.Mutex
	waits  int
	paused []time.Time
}

func (p *pausable) Wait(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits++
	return nil
}

func (p *pausable) PauseUntil(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = append(p.paused, t)
}

// A lateContext is cancelled from a moment on without waking anybody: whoever looks
// at Err only before a wait does not notice.
type lateContext struct {
	context.Context
	from time.Time
}

func (c lateContext) Err() error {
	if time.Now().Before(c.from) {
		return nil
	}
	return context.Canceled
}

// A journal is a list of what the hooks were told, a line each.
type journal struct {
	began time.Time
	mu    sync.Mutex
	lines []string
}

func newJournal() *journal { return &journal{began: time.Now()} }

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := time.Since(j.began)
	j.lines = append(j.lines, fmt.Sprintf("%v ", at)+fmt.Sprintf(format, args...))
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, want) {
		t.Errorf("the hooks were told:")
		for _, line := range j.lines {
			t.Errorf("\t%s", line)
		}
		t.Errorf("want:")
		for _, line := range want {
			t.Errorf("\t%s", line)
		}
	}
}

func result(resp *http.Response, err error) string {
	switch {
	case resp != nil && err != nil:
		return "both a response and an error"
	case err != nil:
		return err.Error()
	case resp != nil:
		return fmt.Sprint(resp.StatusCode)
	default:
		return "neither a response nor an error"
	}
}

// hooks returns hooks that write everything into j.
func (j *journal) hooks() pacedhttp.Hooks {
	number := func(ctx context.Context) int {
		info, _ := pacedhttp.AttemptFromContext(ctx)
		return info.Number
	}
	return pacedhttp.Hooks{
		SlotRequested: func(ctx context.Context, i pacedhttp.SlotInfo) {
			j.add("slot requested #%d waited=%v err=%v", number(ctx), i.Waited, i.Err)
		},
		SlotAcquired: func(ctx context.Context, i pacedhttp.SlotInfo) {
			j.add("slot acquired #%d waited=%v err=%v", number(ctx), i.Waited, i.Err)
		},
		SlotRefused: func(ctx context.Context, i pacedhttp.SlotInfo) {
			j.add("slot refused #%d waited=%v err=%v", number(ctx), i.Waited, i.Err)
		},
		SlotWaiting: func(ctx context.Context, i pacedhttp.SlotInfo) {
			j.add("slot waiting #%d waited=%v %v %s predicted=%v", number(ctx), i.Waited, i.State, i.Cause, i.Predicted)
		},
		Paused: func(ctx context.Context, i pacedhttp.PauseInfo) {
			j.add("paused #%d %s for %v", number(ctx), result(i.Response, i.Err), time.Until(i.Until))
		},
		AttemptStarted: func(ctx context.Context, i pacedhttp.AttemptStart) {
			j.add("attempt started #%d/%d paced=%v previous=%v", number(ctx), i.Number, i.PacedFor, i.Previous)
		},
		AttemptDone: func(ctx context.Context, i pacedhttp.AttemptResult) {
			j.add("attempt done #%d/%d %s %v took=%v", number(ctx), i.Number, result(i.Response, i.Err), i.Verdict, i.Duration)
		},
		RetryScheduled: func(ctx context.Context, i pacedhttp.RetryInfo) {
			j.add("retry scheduled #%d/%d %s %v delay=%v", number(ctx), i.Number, result(i.Response, i.Err), i.Verdict, i.Delay)
		},
		GaveUp: func(ctx context.Context, i pacedhttp.CallInfo) {
			j.add("gave up #%d %s attempts=%d %s elapsed=%v", number(ctx), result(i.Response, i.Err), i.Attempts, i.Reason, i.Elapsed)
		},
		CallDone: func(ctx context.Context, i pacedhttp.CallInfo) {
			j.add("call done #%d %s attempts=%d %s elapsed=%v", number(ctx), result(i.Response, i.Err), i.Attempts, i.Reason, i.Elapsed)
		},
		FallbackUsed: func(ctx context.Context, i pacedhttp.FallbackInfo) {
			j.add("fallback used #%d %s", number(ctx), result(i.Response, i.Err))
		},
	}
}

// reasons returns a middleware that appends why calls gave up to to.
func reasons(to *[]retrypolicy.Reason) pacedhttp.Middleware {
	return pacedhttp.Observe(pacedhttp.Hooks{
		GaveUp: func(_ context.Context, i pacedhttp.CallInfo) { *to = append(*to, i.Reason) },
	})
}

// delays returns a middleware that appends the delay of each retry to to.
func delays(to *[]time.Duration) pacedhttp.Middleware {
	return pacedhttp.Observe(pacedhttp.Hooks{
		RetryScheduled: func(_ context.Context, i pacedhttp.RetryInfo) { *to = append(*to, i.Delay) },
	})
}

// policyOf returns a policy of some sends, a constant delay apart.
func policyOf(attempts int, delay time.Duration) *retrypolicy.Policy {
	return retrypolicy.Must(retrypolicy.Config{MaxAttempts: attempts, Backoff: retrypolicy.Constant(delay)})
}

// send makes one call. It reads and closes the body of the response, if there is one.
func send(t *testing.T, rt http.RoundTripper, req *http.Request) (status int, body string, err error) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	switch {
	case resp == nil && err == nil:
		t.Fatal("neither a response nor an error")
	case resp != nil && err != nil:
		t.Fatalf("both a response and an error: %v", err)
	case resp != nil:
		return resp.StatusCode, readAll(t, resp), nil
	}
	return 0, "", err
}

// isRetryError reports whether err is that of a call of several attempts.
func isRetryError(err error) bool {
	_, ok := errors.AsType[*retrypolicy.Error](err)
	return ok
}

// seconds returns durations of so many seconds.
func seconds(n ...float64) []time.Duration {
	d := make([]time.Duration, len(n))
	for i, s := range n {
		d[i] = time.Duration(s * float64(time.Second))
	}
	return d
}

// wantTimes fails t unless the script was called at exactly these times.
func wantTimes(t *testing.T, s *script, began time.Time, want ...time.Duration) {
	t.Helper()
	if got := s.times(began); !slices.Equal(got, want) {
		t.Errorf("sent at %v, want %v", got, want)
	}
}

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}
