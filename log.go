package pacedhttp

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Log writes what the layers below it do to l:
//
//	Error  a call that failed for good
//	Warn   a retry and its reason; a fallback; a pause of the pacer and until when; a slot that the
//	       pacer refused, why, and the wait that it would have been, and a call that ends for that;
//	       once a minute at most, that a shared pacer's fallback paces calls, and why
//	Info   a call that waits for a slot for 10 s, and every minute after: why, and how long yet
//	Debug  an attempt; a slot, one by a shared pacer's fallback with an attribute of that name; what
//	       the caller cancelled
//
// The attributes are method, host, attempt, status or error, reason, waited, wait, state, cause, in
// flight, fallback, until, delay and duration. No record holds a query, a header or user
// information, nor the path of any URL. Before the first call it writes what [Transport.Check]
// finds, at Warn. A nil l means slog.Default() at the time of each record.
func Log(l *slog.Logger) Middleware {
	acquired := record(l, slog.LevelDebug, "slot acquired", func(i SlotInfo) (*http.Request, []slog.Attr) {
		attrs := []slog.Attr{slog.Duration("waited", i.Waited)}
		for _, unit := range slices.Sorted(maps.Keys(i.Costs)) {
			attrs = append(attrs, slog.Int("cost in "+unit, i.Costs[unit]))
		}
		if i.Fallback != nil {
			attrs = append(attrs, slog.Attr{Key: "fallback", Value: outcomeOf(nil, i.Fallback).Value})
		}
		return i.Request, inFlight(attrs, i)
	})
	fellBack := record(l, slog.LevelWarn, "paced by a fallback", func(i SlotInfo) (*http.Request, []slog.Attr) {
		return i.Request, []slog.Attr{outcomeOf(nil, i.Fallback)}
	})
	var told seldom
	hooks := Hooks{
		SlotAcquired: func(ctx context.Context, i SlotInfo) {
			if i.Fallback != nil && told.due() {
				fellBack(ctx, i)
			}
			acquired(ctx, i)
		},
		SlotRefused: recordAt(l, refusalLevel, "slot refused", func(i SlotInfo) (*http.Request, []slog.Attr) {
			attrs := []slog.Attr{slog.Duration("waited", i.Waited), outcomeOf(nil, i.Err),
				slog.String("reason", (&PaceError{i.Err}).ErrorType())}
			if wait, ok := wouldWait(i.Err); ok {
				attrs = append(attrs, slog.Duration("wait", wait))
			}
			return i.Request, attrs
		}),
		SlotWaiting: record(l, slog.LevelInfo, "waiting for a slot", func(i SlotInfo) (*http.Request, []slog.Attr) {
			attrs := []slog.Attr{slog.Duration("waited", i.Waited)}
			if i.Predicted > 0 {
				attrs = append(attrs, slog.Duration("wait", i.Predicted))
			}
			attrs = append(attrs, slog.String("state", i.State.String()), slog.String("cause", i.Cause))
			return i.Request, inFlight(attrs, i)
		}),
		Paused: record(l, slog.LevelWarn, "paused", func(i PauseInfo) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{outcomeOf(i.Response, i.Err), slog.Time("until", i.Until)}
		}),
		AttemptDone: record(l, slog.LevelDebug, "attempt done", func(i AttemptResult) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{slog.Int("attempt", i.Number), outcomeOf(i.Response, i.Err),
				slog.Duration("duration", i.Duration)}
		}),
		RetryScheduled: record(l, slog.LevelWarn, "retrying", func(i RetryInfo) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{slog.Int("attempt", i.Number), outcomeOf(i.Response, i.Err),
				slog.String("reason", i.Verdict.String()), slog.Duration("delay", i.Delay)}
		}),
		GaveUp: recordAt(l, failureLevel, "gave up", func(i CallInfo) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{slog.Int("attempt", i.Attempts), outcomeOf(i.Response, i.Err),
				slog.String("reason", string(i.Reason)), slog.Duration("duration", i.Elapsed)}
		}),
		FallbackUsed: record(l, slog.LevelWarn, "fallback used", func(i FallbackInfo) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{outcomeOf(i.Response, i.Err)}
		}),
	}
	warn := func(fault error) {
		logger(l).LogAttrs(context.Background(), slog.LevelWarn, "layers in a wrong order", slog.String("error", fault.Error()))
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return &observeTransport{layer: layer{strict(next)}, hooks: hooks, warn: warn}
	}
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}

// seldom lets something happen once a minute at most.
type seldom struct {
	mu   sync.Mutex
	last time.Time
}

func (s *seldom) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.last) < time.Minute {
		return false
	}
	s.last = now
	return true
}

// inFlight adds how many requests there are, where they are bounded.
func inFlight(attrs []slog.Attr, i SlotInfo) []slog.Attr {
	if i.InFlight > 0 {
		attrs = append(attrs, slog.Int("in flight", i.InFlight))
	}
	return attrs
}

// refusalLevel tells a refusal of the pacer's from a caller who left.
func refusalLevel(ctx context.Context, _ SlotInfo) slog.Level {
	if ctx.Err() == context.Canceled {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// failureLevel tells a failure from a caller who left, and from a pacer that did its work.
func failureLevel(_ context.Context, i CallInfo) slog.Level {
	_, refused := errors.AsType[*PaceError](i.Err)
	switch {
	case i.Reason == retrypolicy.ReasonCanceled:
		return slog.LevelDebug
	case refused || i.Reason.Pacing():
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

// wouldWait returns the wait that a pacer refused, if it is one that ends.
func wouldWait(err error) (wait time.Duration, ok bool) {
	refusal, ok := errors.AsType[*pacer.Error](err)
	if !ok || errors.Is(refusal, pacer.ErrTooCostly) {
		return 0, false
	}
	return refusal.Wait(), true
}

// record is recordAt with one level.
func record[T any](l *slog.Logger, level slog.Level, message string, describe func(T) (*http.Request, []slog.Attr)) func(context.Context, T) {
	return recordAt(l, func(context.Context, T) slog.Level { return level }, message, describe)
}

// recordAt returns a hook that writes what describe makes of its info. Where the
// level is off, nothing is made of it.
func recordAt[T any](l *slog.Logger, levelOf func(context.Context, T) slog.Level, message string, describe func(T) (*http.Request, []slog.Attr)) func(context.Context, T) {
	return func(ctx context.Context, info T) {
		to, level := logger(l), levelOf(ctx, info)
		if !to.Enabled(ctx, level) {
			return
		}
		req, attrs := describe(info)
		about := []slog.Attr{slog.String("method", req.Method), slog.String("host", hostOf(req))}
		to.LogAttrs(ctx, level, message, append(about, attrs...)...)
	}
}

func hostOf(req *http.Request) string {
	if req.URL == nil { // malformed, but only the base transport says so
		return req.Host
	}
	return req.URL.Host
}

// path finds the path of a URL in the text of an error, up to the colon that ends
// a context.
var path = regexp.MustCompile(`(//[^/\s"]+)/[^\s"]*?(:?(?:[\s"]|$))`)

// outcomeOf describes a result by its status or its error, with what of URLs and
// headers errors are known to carry left out.
func outcomeOf(resp *http.Response, err error) slog.Attr {
	if err == nil {
		return slog.Int("status", resp.StatusCode)
	}
	return slog.String("error", path.ReplaceAllString(retrypolicy.ErrorText(err), "$1$2"))
}
