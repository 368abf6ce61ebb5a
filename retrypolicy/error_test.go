package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

func TestErrorText(t *testing.T) {
	secret := &url.Error{Op: "Get", URL: "https://user:pass@service.test/v1?token=abc#frag", Err: io.ErrUnexpectedEOF}
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{&Error{3, ReasonMaxAttempts, errBoom}, "retrypolicy: gave up after 3 attempts (max_attempts): boom"},
		{&Error{1, ReasonNotRetryable, errBoom}, "retrypolicy: gave up after 1 attempt (not_retryable): boom"},
		{&Error{0, ReasonCanceled, context.Canceled}, "retrypolicy: gave up after 0 attempts (canceled): context canceled"},
		{&Error{2, ReasonDeadline, nil}, "retrypolicy: gave up after 2 attempts (deadline): no error"},
		{&Error{2, ReasonMaxAttempts, secret}, "retrypolicy: gave up after 2 attempts (max_attempts): Get: unexpected EOF"},
		{&Error{2, ReasonMaxAttempts, fmt.Errorf("quote: %w", secret)}, "retrypolicy: gave up after 2 attempts (max_attempts): quote: Get: unexpected EOF"},
		{&Error{2, ReasonMaxAttempts, errors.Join(errBoom, fmt.Errorf("quote: %w", secret))}, "retrypolicy: gave up after 2 attempts (max_attempts): boom\nquote: Get: unexpected EOF"},
		{&Error{2, ReasonMaxAttempts, &url.Error{Op: "Post", URL: "/?q=1", Err: secret}}, "retrypolicy: gave up after 2 attempts (max_attempts): Post: Get: unexpected EOF"},
		{&Error{1, ReasonNotRetryable, parseError("http://user:pa/ss@service.test")}, "retrypolicy: gave up after 1 attempt (not_retryable): parse: invalid URL"},
		{&Error{2, ReasonMaxAttempts, fmt.Errorf("no answer from %s today", secret.URL)}, "retrypolicy: gave up after 2 attempts (max_attempts): no answer from https://service.test/v1 today"},
		{&Error{2, ReasonMaxAttempts, errors.New(`redirect to "//u:p@h.test/?a=b" refused`)}, `retrypolicy: gave up after 2 attempts (max_attempts): redirect to "//h.test/" refused`},
		{&Error{2, ReasonCanceled, &interrupted{context.Canceled, errBoom, secret}}, "retrypolicy: gave up after 2 attempts (canceled): context canceled: boom; last failure: Get: unexpected EOF"},
		{&Error{2, ReasonCanceled, &interrupted{context.Canceled, context.Canceled, nil}}, "retrypolicy: gave up after 2 attempts (canceled): context canceled"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestErrorTextAlone(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "no error"},
		{errBoom, "boom"},
		{&url.Error{Op: "Get", URL: "http://u:p@h.test/?q=1", Err: errBoom}, "Get: boom"},
		{errors.New(`http2: invalid request :path "files?q=1" from URL.Opaque = "files"`), "http2: invalid request :path"},
		{errors.New(`http2: invalid Upgrade request header: ["hunter2"]`), "http2: invalid Upgrade request header:"},
	} {
		if got := ErrorText(c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestNewErrorPutsTheContextBeforeTheReason(t *testing.T) {
	cause := errors.New("shutting down")
	dead, cancel := context.WithCancelCause(t.Context())
	cancel(cause)

	e := NewError(t.Context(), 3, ReasonMaxAttempts, errBoom)
	if *e != (Error{3, ReasonMaxAttempts, errBoom}) {
		t.Errorf("alive: %+v", e)
	}
	e = NewError(dead, 3, ReasonMaxAttempts, errBoom)
	if e.Attempts != 3 || e.Reason != ReasonCanceled || !errors.Is(e, context.Canceled) || !errors.Is(e, cause) || !errors.Is(e, errBoom) {
		t.Errorf("dead: %+v", e)
	}
	told := errors.Join(context.Canceled, cause)
	if e = NewError(dead, 1, "", told); e.Err != told {
		t.Errorf("an error that tells all was wrapped: %#v", e.Err)
	}
}

func parseError(rawURL string) error {
	_, err := url.Parse(rawURL)
	return err
}

// Whatever net/http puts into an error, no secret of the request's URL or of the
// response's header may come out.
func TestErrorTextOfRealErrorsHoldsNoSecret(t *testing.T) {
	answer := func(text string) func(*testing.T) string {
		return func(t *testing.T) string {
			return listen(t, func(conn net.Conn) { readRequest(conn); io.WriteString(conn, text) })
		}
	}
	for name, address := range map[string]func(*testing.T) string{
		"refused":            closedPort,
		"EOF":                answer(""),
		"header line":        answer("HTTP/1.1 200 OK\r\nSet-Cookie hunter2\r\n\r\n"),
		"Content-Length":     answer("HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n"),
		"two lengths":        answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: hunter2\r\n\r\n"),
		"Transfer-Encoding":  answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: hunter2\r\n\r\n"),
		"encodings":          answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: hunter2\r\n\r\n"),
		"trailer":            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: hunter2, Content-Length\r\n\r\n"),
		"status line":        answer("hunter2\r\n\r\n"),
		"status code":        answer("HTTP/1.1 hunter2\r\n\r\n"),
		"version":            answer("HTTP/hunter2 200 OK\r\n\r\n"),
		"Location":           answer("HTTP/1.1 302 Found\r\nLocation: http://[::1/?q=hunter2\r\nContent-Length: 0\r\n\r\n"),
		"Location, relative": answer("HTTP/1.1 302 Found\r\nLocation: /%zz?q=hunter2\r\nContent-Length: 0\r\n\r\n"),
		"Location, scheme":   answer("HTTP/1.1 302 Found\r\nLocation: gopher://hunter2@h.test/?q=hunter2\r\nContent-Length: 0\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			target := "http://hunter2:hunter2@" + address(t) + "/v1?q=hunter2#hunter2"
			p := Must(Config{MaxAttempts: 1})
			_, err := Do(t.Context(), p, func(context.Context) (int, error) {
				if err := send(t, nil, "GET", target, nil); err != nil {
					return 0, fmt.Errorf("calling: %w", err)
				}
				return 0, nil
			})
			if err == nil {
				t.Fatal("no error was provoked")
			}
			if text := err.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "calling: Get: ") {
				t.Errorf("text is %s\n%s", text, tree(err))
			}
		})
	}
}

func TestErrorReachesTheCauseThroughEveryWrapper(t *testing.T) {
	err := fmt.Errorf("outer: %w", &url.Error{Op: "Get", Err: &Error{2, ReasonMaxAttempts, &url.Error{Op: "Get", Err: errBoom}}})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Attempts != 2 || !errors.Is(err, errBoom) {
		t.Errorf("got %v, %v", e, err)
	}
}

func TestErrorIsATimeoutIfAnyCauseIs(t *testing.T) {
	for _, c := range []struct {
		cause error
		want  bool
	}{
		{nil, false},
		{errBoom, false},
		{context.Canceled, false},
		{context.DeadlineExceeded, true},
		{os.ErrDeadlineExceeded, true},
		{fmt.Errorf("call: %w", &net.DNSError{IsTimeout: true}), true},
		{errors.Join(errBoom, &url.Error{Op: "Get", Err: context.DeadlineExceeded}), true},
	} {
		e := &Error{Reason: ReasonMaxAttempts, Err: c.cause}
		if got := e.Timeout(); got != c.want {
			t.Errorf("%v: %v, want %v", c.cause, got, c.want)
		}
		// http.Client's error asks the one it wraps.
		if got := (&url.Error{Op: "Get", Err: e}).Timeout(); got != c.want {
			t.Errorf("%v in a url.Error: %v, want %v", c.cause, got, c.want)
		}
	}
}

func TestErrorTypeIsTheReason(t *testing.T) {
	if got := (&Error{Reason: ReasonBudgetExhausted}).ErrorType(); got != "budget_exhausted" {
		t.Errorf("got %q", got)
	}
}

func TestMalformedRequestUnderDoIsNotRetried(t *testing.T) {
	calls := 0
	_, err := Do(t.Context(), nil, func(ctx context.Context) (*http.Response, error) {
		calls++
		return http.Get("gopher://service.test/?q=1")
	})
	if e, ok := errors.AsType[*Error](err); !ok || calls != 1 || e.Reason != ReasonNotRetryable {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestAProxysWordsAreCutAndQuotedInTheText(t *testing.T) {
	long := strings.Repeat("x", 127) + "ä" + strings.Repeat("y", 1000)
	for text, want := range map[string]string{
		"Proxy Authentication Required": "Proxy Authentication Required",
		"so\x1b[31m \tgo":               `"so\x1b[31m \tgo"`,
		"so\xff go":                     `"so\xff go"`,
		long:                            strings.Repeat("x", 127) + "…",
		"\a" + long:                     `"\a` + strings.Repeat("x", 127) + `…"`,
	} {
		for _, method := range []string{"GET", "POST"} {
			_, err := askProxy(t, connectProxy(t, "http", "HTTP/1.1 502 "+text), method, "https://service.test/")
			if got := ErrorText(&url.Error{Op: "Get", URL: "https://service.test/", Err: err}); got != "Get: "+want {
				t.Errorf("text of %q:\n%s\nwant\n%s", err, got, "Get: "+want)
			}
		}
	}
}
