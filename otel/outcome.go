package otelpacedhttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// An outcome is how a call or an attempt ended, as telemetry tells it.
type outcome struct {
	status    int    // 0 without a response
	errorType string // "" unless it failed
	err       error  // nil unless it failed with an error
}

// outcomeOf judges what came of req. That the caller changed his mind is no failure. Nor
// is then what failed at the same moment: what transports return when they are cancelled
// cannot be told from other errors.
func outcomeOf(req *http.Request, resp *http.Response, err error) outcome {
	switch {
	case err == nil && resp == nil: // a panic below
		return outcome{errorType: semconv.ErrorTypeOther.Value.AsString()}
	case err == nil && resp.StatusCode >= 100 && resp.StatusCode < 400:
		return outcome{status: resp.StatusCode}
	case err == nil:
		return outcome{status: resp.StatusCode, errorType: strconv.Itoa(resp.StatusCode)}
	case abandoned(req):
		return outcome{}
	default:
		err = explain(req, err)
		return outcome{errorType: errorType(req, err), err: err}
	}
}

// explain returns why req's context ended by itself where err says only that it was
// cancelled. net/http does not tell the cause over HTTP/2.
func explain(req *http.Request, err error) error {
	if cause := context.Cause(req.Context()); errors.Is(err, context.Canceled) && isTimeout(cause) {
		return cause
	}
	return err
}

// mark sets the status that o means for the span of req.
func (o outcome) mark(span trace.Span, req *http.Request) {
	switch {
	case o.errorType == "":
	case o.err == nil:
		span.SetStatus(codes.Error, "")
	default:
		span.SetStatus(codes.Error, describe(req, o.err))
	}
}

// abandoned reports whether the caller cancelled req, by its context or the older channel.
// Both also end when time is up, which is another matter: http.Client closes the channel
// when its Timeout passes, and an attempt's timeout cancels the attempt's context.
func abandoned(req *http.Request) bool {
	ctx := req.Context()
	if expired(ctx) {
		return false
	}
	if ctx.Err() == context.Canceled {
		return !isTimeout(context.Cause(ctx))
	}
	return canceledByChannel(req)
}

func canceledByChannel(req *http.Request) bool {
	select {
	//lint:ignore SA1019 http.Client.Timeout still uses it
	case <-req.Cancel:
		return true
	default:
		return false
	}
}

// expired reports whether ctx's deadline has passed, even if nobody has noticed yet.
func expired(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

func hasDeadline(req *http.Request) bool {
	_, ok := req.Context().Deadline()
	return ok
}

// errorType returns a name of low cardinality for err.
func errorType(req *http.Request, err error) string {
	if _, ok := errors.AsType[*retrypolicy.Error](err); ok && expired(req.Context()) {
		return string(retrypolicy.ReasonDeadline) // also where the policy looked just before
	}
	var named interface{ ErrorType() string }
	if errors.As(err, &named) {
		switch name := named.ErrorType(); {
		case name == "pacing_deadline" && !hasDeadline(req): // the pacer's own, of its backend
			return "pacing_refused"
		case name != "":
			return name
		}
	}
	if isTimeout(err) || expired(req.Context()) {
		return "timeout"
	}
	return semconv.ErrorType(err).Value.AsString()
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
