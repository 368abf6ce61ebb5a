package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Error is what a failed call ends with. It is a net.Error, and unwraps to Err only: the
// errors of earlier attempts are gone.
type Error struct {
	// Attempts is the number of attempts made, zero if the context was done before
	// the first.
	Attempts int

	// Reason says why no further attempt was made.
	Reason Reason

	// Err is the last attempt's error. If the caller's context ended the call, it
	// also matches the context's Err and Cause.
	Err error
}

var _ net.Error = (*Error)(nil)

// NewError returns the Error of a call made with ctx, the caller's context, that
// ends with err after some attempts. If ctx is done, that is the Reason whatever
// reason says, and Err matches the context's Err and Cause besides err. It is for
// those who write a loop of their own around [Policy.Next].
func NewError(ctx context.Context, attempts int, reason Reason, err error) *Error {
	if ctx.Err() != nil {
		reason = endReason(ctx)
	}
	return &Error{Attempts: attempts, Reason: reason, Err: interruption(ctx, err)}
}

// Error returns a text fit for logs: it holds no query, user information or header
// value of a URL or response that net/http put into the cause's text.
func (e *Error) Error() string {
	plural := "s"
	if e.Attempts == 1 {
		plural = ""
	}
	return fmt.Sprintf("retrypolicy: gave up after %d attempt%s (%s): %s", e.Attempts, plural, e.Reason, ErrorText(e.Err))
}

// ErrorText returns err's text without what must not reach a log: the user
// information and query of a URL, and the header values that errors of net/http are
// known to quote. What may be a proxy's own words is cut and, where it is not
// printable, quoted.
func ErrorText(err error) string { return scrub(describe(err)) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether any cause is a timeout. With Temporary it makes an Error a
// net.Error.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

// Temporary reports whether any cause says so of itself, as timeouts do.
func (e *Error) Temporary() bool { return isTemporary(e.Err) }

func isTimeout(err error) bool {
	return contains(err, func(err error) bool {
		t, ok := err.(interface{ Timeout() bool })
		return ok && t.Timeout()
	})
}

func isTemporary(err error) bool {
	return contains(err, func(err error) bool {
		t, ok := err.(interface{ Temporary() bool })
		return ok && t.Temporary()
	})
}

// ErrorType returns the Reason, which serves as OpenTelemetry's error.type; one of a pacer's
// own follows "pacing_", as in its errors.
func (e *Error) ErrorType() string {
	if e.Reason.Pacing() {
		return pacingPrefix + string(e.Reason)
	}
	return string(e.Reason)
}

// interrupted is the cause of a call that the caller's context ended.
type interrupted struct {
	ctx   error // the context's Err
	cause error // the context's Cause; may be the same
	last  error // the last attempt's error; nil if there was none
}

// interruption returns the cause of a call that ended with last under ctx: last
// itself, unless ctx is done and last does not tell so.
func interruption(ctx context.Context, last error) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == nil {
		return last
	}
	if last != nil && errors.Is(last, err) && errors.Is(last, cause) {
		return last
	}
	return &interrupted{ctx: err, cause: cause, last: last}
}

func (e *interrupted) Error() string {
	text := e.ctx.Error()
	if e.cause != e.ctx {
		text += ": " + e.cause.Error()
	}
	if e.last != nil {
		text += "; last failure: " + e.last.Error()
	}
	return text
}

// Timeout tells of the context's end: what the last attempt met with did not end the call.
func (e *interrupted) Timeout() bool { return e.ctx == context.DeadlineExceeded }

// Temporary is Timeout, as for [context.DeadlineExceeded].
func (e *interrupted) Temporary() bool { return e.Timeout() }

func (e *interrupted) Unwrap() []error {
	errs := []error{e.ctx}
	if e.cause != e.ctx {
		errs = append(errs, e.cause)
	}
	if e.last != nil {
		errs = append(errs, e.last)
	}
	return errs
}

// describe returns err's text without the secrets that errors of net/http are
// known to carry, wherever in the tree they sit: a wrapper's text is its own with
// the cause's replaced.
func describe(err error) string {
	switch e := err.(type) {
	case nil:
		return "no error"
	case *url.Error:
		if e.Op == "parse" {
			return "parse: invalid URL" // the cause quotes parts of it
		}
		return e.Op + ": " + describe(e.Err)
	case textproto.ProtocolError:
		// "malformed MIME header line: " and then the line, which may be a cookie.
		what, _, _ := strings.Cut(string(e), ":")
		return what
	}
	text := err.Error()
	if strings.HasPrefix(text, "failed to parse Location header") {
		return "failed to parse Location header"
	}
	if plain(err) {
		return words(text)
	}
	for _, cause := range causes(err) {
		if raw := cause.Error(); raw != "" {
			text = strings.ReplaceAll(text, raw, describe(cause))
		}
	}
	return text
}

const maxWords = 128 // bytes

// words returns the text of an error that errors.New made, which may be all that a
// proxy said: cut where it is long, and quoted where it is not printable.
func words(text string) string {
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

var (
	userInfo = regexp.MustCompile(`//[^/?#\s"]*@`)
	query    = regexp.MustCompile(`(//[^?#\s"]*)[?#][^\s"]*`)

	// What net/http says before it quotes a header's value, a line of a response or a
	// path with its query.
	quoting = regexp.MustCompile(`(bad Content-Length|invalid empty Content-Length|multiple Content-Length headers; got|` +
		`(?:unsupported|too many) transfer encodings?:|malformed HTTP (?:response|status code|version)|` +
		`bad trailer key|invalid (?:Upgrade|Transfer-Encoding|Connection) request header:|invalid request :path) .*`)
)

// scrub takes user information, queries and fragments out of the URLs in text, and
// what net/http quotes, for the errors that describe knows nothing of.
func scrub(text string) string {
	text = quoting.ReplaceAllString(text, "$1")
	return query.ReplaceAllString(userInfo.ReplaceAllString(text, "//"), "$1")
}
