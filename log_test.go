package pacedhttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// logTo returns a logger that writes lines without a time.
func logTo(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

const secretURL = "https://user:hunter2@api.test:8443/tenants/hunter2?token=hunter2#hunter2"

// logged returns what Log writes about one call that fails twice and is then
// answered by a fallback.
func logged(t *testing.T, level slog.Level, steps ...step) string {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		rt := pacedhttp.New(newScript(steps...),
			pacedhttp.Log(logTo(&out, level)),
			pacedhttp.Fallback(pacedhttp.StaticResponse(203, nil, nil)),
			pacedhttp.Retry(policyOf(2, 2*time.Second)),
			pacedhttp.Pace(pacer.Drip(1, 3*time.Second)))
		req := newRequestTo(t, "GET", secretURL, nil)
		req.Header.Set("Authorization", "Bearer hunter2")
		send(t, rt, req)
	})
	return out.String()
}

func TestLogOfAFailingCall(t *testing.T) {
	for name, tc := range map[string]struct {
		level slog.Level
		steps []step
		want  string
	}{
		"at Debug": {slog.LevelDebug, []step{{status: 503, delay: time.Second / 2}, {err: &url.Error{Op: "Get", URL: secretURL, Err: errLost}}}, `
level=DEBUG msg="slot acquired" method=GET host=api.test:8443 waited=0s
level=DEBUG msg="attempt done" method=GET host=api.test:8443 attempt=1 status=503 duration=500ms
level=WARN msg=retrying method=GET host=api.test:8443 attempt=1 status=503 reason=transient delay=2s
level=DEBUG msg="slot acquired" method=GET host=api.test:8443 waited=500ms
level=DEBUG msg="attempt done" method=GET host=api.test:8443 attempt=2 error="Get: connection lost" duration=0s
level=ERROR msg="gave up" method=GET host=api.test:8443 attempt=2 error="retrypolicy: gave up after 2 attempts (max_attempts): Get: connection lost" reason=max_attempts duration=3s
level=WARN msg="fallback used" method=GET host=api.test:8443 status=203
`},
		"at Warn": {slog.LevelWarn, []step{{err: errLost}, {status: 500}}, `
level=WARN msg=retrying method=GET host=api.test:8443 attempt=1 error="connection lost" reason=transient delay=2s
level=ERROR msg="gave up" method=GET host=api.test:8443 attempt=2 status=500 reason=max_attempts duration=3s
level=WARN msg="fallback used" method=GET host=api.test:8443 status=203
`},
		"at Error": {slog.LevelError, []step{{status: 500}}, `
level=ERROR msg="gave up" method=GET host=api.test:8443 attempt=2 status=500 reason=max_attempts duration=3s
`},
		"above": {slog.LevelError + 1, []step{{status: 500}}, "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := "\n" + logged(t, tc.level, tc.steps...); got != tc.want {
				t.Errorf("got:%s\nwant:%s", got, tc.want)
			}
		})
	}
}

func TestLogHoldsNoSecrets(t *testing.T) {
	for name, s := range map[string]step{
		"a *url.Error":        {err: &url.Error{Op: "Get", URL: secretURL, Err: errLost}},
		"a URL in a text":     {err: errors.New("proxy: " + secretURL)},
		"a path in a text":    {err: errors.New("dialing https://api.test/tenants/hunter2: broken pipe")},
		"a quoted path":       {err: errors.New(`parse "https://api.test/tenants/hunter2": no`)},
		"a response's header": {status: 503, header: header("Set-Cookie", "hunter2", "Location", "/hunter2")},
	} {
		t.Run(name, func(t *testing.T) {
			out := logged(t, slog.LevelDebug, s)
			if strings.Contains(out, "hunter2") || strings.Contains(out, "user") || strings.Contains(out, "tenants") {
				t.Errorf("the log says:\n%s", out)
			}
			if strings.Contains(name, "path") && !strings.Contains(out, "https://api.test") {
				t.Errorf("the log lost the host:\n%s", out)
			}
			if strings.Contains(out, "broken") && !strings.Contains(out, "dialing https://api.test: broken pipe") {
				t.Errorf("the log lost the error's end:\n%s", out)
			}
		})
	}
}

func TestLogOfARefusedSlot(t *testing.T) {
	var out bytes.Buffer
	rt := pacedhttp.New(newScript(), pacedhttp.Log(logTo(&out, slog.LevelDebug)), pacedhttp.Pace(grants(0)))
	send(t, rt, newRequest(t, "POST", nil))
	// Without Retry it is up to the caller to log how the call ended.
	if want := "level=WARN msg=\"slot refused\" method=POST host=api.test waited="; !strings.HasPrefix(out.String(), want) ||
		!strings.HasSuffix(out.String(), " error=\"closed for today\" reason=pacing_refused\n") {
		t.Errorf("got %s", out.String())
	}
}

func TestNilLoggerIsTheDefaultOfTheMoment(t *testing.T) {
	rt := pacedhttp.New(newScript(step{status: 503}), pacedhttp.Log(nil), pacedhttp.Retry(policyOf(1, 0)))
	before := slog.Default()
	defer slog.SetDefault(before)
	var out bytes.Buffer
	slog.SetDefault(logTo(&out, slog.LevelError))
	send(t, rt, newRequest(t, "GET", nil))
	if !strings.Contains(out.String(), `msg="gave up"`) {
		t.Errorf("got %q", out.String())
	}
}

// An unprintable error tells whether somebody made a text of it.
type unprintable struct{ printed *int }

func (e unprintable) Error() string { *e.printed++; return "unprintable" }

func TestDisabledLevelMakesNoAttributes(t *testing.T) {
	printed := 0
	rt := pacedhttp.New(newScript(),
		pacedhttp.Log(logTo(io.Discard, slog.LevelError)),
		pacedhttp.Pace(waiterFunc(func(context.Context) error { return unprintable{&printed} })))
	send(t, rt, newRequest(t, "GET", nil))
	if printed != 0 {
		t.Errorf("the error of a record that is not written was printed %d times", printed)
	}
}

func TestLogOfAMalformedRequest(t *testing.T) {
	var out bytes.Buffer
	rt := pacedhttp.New(newScript(step{err: errors.New("http: nil Request.URL")}), pacedhttp.Log(logTo(&out, slog.LevelError)), pacedhttp.Retry(nil))
	send(t, rt, &http.Request{Method: "GET", Host: "api.test"})
	want := `level=ERROR msg="gave up" method=GET host=api.test attempt=1 error="http: nil Request.URL" reason=not_retryable`
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %s", out.String())
	}
}

func TestLogTellsWhatHoldsCallersBack(t *testing.T) {
	for name, tc := range map[string]struct {
		level slog.Level
		steps []step
		quota pacer.Config
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		want  string
	}{
		"a pause and a long wait": {slog.LevelInfo, []step{{status: 429, header: header("Retry-After", "30")}, {}}, pacer.Config{}, nil, `
level=WARN msg=paused method=GET host=api.test:8443 status=429 until=2000-01-01T00:00:30.000Z
level=WARN msg=retrying method=GET host=api.test:8443 attempt=1 status=429 reason=throttled delay=0s
level=INFO msg="waiting for a slot" method=GET host=api.test:8443 waited=10s wait=20s state=paused cause=throttled
`},
		"a refusal": {slog.LevelWarn, []step{{status: 503}}, pacer.Config{MaxWait: 2 * time.Second}, nil, `
level=WARN msg=retrying method=GET host=api.test:8443 attempt=1 status=503 reason=transient delay=2s
level=WARN msg="slot refused" method=GET host=api.test:8443 waited=0s error="pacer: no slot within MaxWait (the wait would be 58s)" reason=pacing_max_wait wait=58s
level=WARN msg="gave up" method=GET host=api.test:8443 attempt=1 status=503 reason=max_wait duration=2s
`},
		"one for the deadline's sake": {slog.LevelWarn, []step{{status: 503}}, pacer.Config{}, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Minute)
		}, `
level=WARN msg=retrying method=GET host=api.test:8443 attempt=1 status=503 reason=transient delay=2s
level=WARN msg="slot refused" method=GET host=api.test:8443 waited=0s error="pacer: no slot before the context's deadline (the wait would be 58s)" reason=pacing_deadline wait=58s
level=ERROR msg="gave up" method=GET host=api.test:8443 attempt=1 status=503 reason=deadline duration=2s
`},
		"a caller who leaves the queue": {slog.LevelInfo, []step{{status: 503}}, pacer.Config{}, canceledAfter(5 * time.Second), `
level=WARN msg=retrying method=GET host=api.test:8443 attempt=1 status=503 reason=transient delay=2s
`},
		"at Debug": {slog.LevelDebug, nil, pacer.Config{}, canceledAfter(0), `
level=DEBUG msg="gave up" method=GET host=api.test:8443 attempt=0 error="context canceled" reason=canceled duration=0s
`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				tc.quota.Limits = []pacer.Limit{{Calls: 1, Period: time.Minute}}
				if name == "a pause and a long wait" {
					tc.quota.Limits[0].Calls = 9
				}
				ctx := t.Context()
				if tc.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tc.ctx(ctx)
					defer cancel()
				}
				rt := pacedhttp.New(newScript(tc.steps...), pacedhttp.Log(logTo(&out, tc.level)),
					pacedhttp.Retry(policyOf(2, 2*time.Second)), pacedhttp.Pace(pacer.Must(tc.quota)))
				send(t, rt, newRequestTo(t, "GET", secretURL, nil).WithContext(ctx))
				if got := "\n" + out.String(); got != tc.want {
					t.Errorf("got:%s\nwant:%s", got, tc.want)
				}
			})
		})
	}
}
