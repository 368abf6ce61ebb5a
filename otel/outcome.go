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

// outcomeOf judges what came of req. That the caller changed his mind is no failure.
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
		return outcome{errorType: errorType(req, err), err: err}
	}
}

// mark sets the status that o means for a span.
func (o outcome) mark(span trace.Span) {
	switch {
	case o.errorType == "":
	case o.err == nil:
		span.SetStatus(codes.Error, "")
	default:
		span.SetStatus(codes.Error, describe(o.err))
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

// errorType returns a name of low cardinality for err.
func errorType(req *http.Request, err error) string {
	if _, ok := errors.AsType[*retrypolicy.Error](err); ok && expired(req.Context()) {
		return string(retrypolicy.ReasonDeadline) // also where the policy looked just before
	}
	var named interface{ ErrorType() string }
	if errors.As(err, &named) {
		if name := named.ErrorType(); name != "" {
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
