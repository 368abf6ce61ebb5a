package pacedhttp

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Log writes what the layers below it do to l: a retry and its reason at level Warn,
// a call that failed for good at Error, a fallback at Warn, an attempt and a wait for
// a slot at Debug. The attributes are method, host, attempt, status or error,
// reason, waited, delay and duration. No record holds a query, a header or user information,
// nor the path of any URL. Before the first call it writes what [Transport.Check] finds, at
// Warn. A nil l means slog.Default() at the time of each record.
func Log(l *slog.Logger) Middleware {
	hooks := Hooks{
		SlotAcquired: record(l, slog.LevelDebug, "slot acquired", func(i SlotInfo) (*http.Request, []slog.Attr) {
			attrs := []slog.Attr{slog.Duration("waited", i.Waited)}
			for _, unit := range slices.Sorted(maps.Keys(i.Costs)) {
				attrs = append(attrs, slog.Int("cost in "+unit, i.Costs[unit]))
			}
			if i.InFlight > 0 {
				attrs = append(attrs, slog.Int("in flight", i.InFlight))
			}
			return i.Request, attrs
		}),
		SlotRefused: record(l, slog.LevelDebug, "slot refused", func(i SlotInfo) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{slog.Duration("waited", i.Waited), outcomeOf(nil, i.Err)}
		}),
		AttemptDone: record(l, slog.LevelDebug, "attempt done", func(i AttemptResult) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{slog.Int("attempt", i.Number), outcomeOf(i.Response, i.Err),
				slog.Duration("duration", i.Duration)}
		}),
		RetryScheduled: record(l, slog.LevelWarn, "retrying", func(i RetryInfo) (*http.Request, []slog.Attr) {
			return i.Request, []slog.Attr{slog.Int("attempt", i.Number), outcomeOf(i.Response, i.Err),
				slog.String("reason", i.Verdict.String()), slog.Duration("delay", i.Delay)}
		}),
		GaveUp: record(l, slog.LevelError, "gave up", func(i GaveUpInfo) (*http.Request, []slog.Attr) {
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
		return &observeTransport{layer: layer{next}, hooks: hooks, warn: warn}
	}
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}

// record returns a hook that writes what describe makes of its info. Where the
// level is off, nothing is made of it.
func record[T any](l *slog.Logger, level slog.Level, message string, describe func(T) (*http.Request, []slog.Attr)) func(context.Context, T) {
	return func(ctx context.Context, info T) {
		to := logger(l)
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
