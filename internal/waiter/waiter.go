// Package waiter knows what the loops around an http.RoundTripper and around any function
// have to know of a program's Waiter.
package waiter

import (
	"context"
	"errors"
	"math"
	"reflect"
	"time"
)

// longestPause keeps one absurd delay from stopping a program for good.
const longestPause = 24 * time.Hour

// Pause returns for how long a pacer is to pause where one call was asked to wait for d, at
// most a day, and whether it is to pause at all. That a call must not be retried, which the
// longest Duration says, says nothing of others.
func Pause(d time.Duration) (pause time.Duration, ok bool) {
	if d == math.MaxInt64 {
		return 0, false
	}
	return min(d, longestPause), true
}

// near is how far off a deadline may be that a Waiter without a word for it refuses for.
const near = time.Minute

// IsNil reports whether w is nothing to wait for: a nil pointer in an interface is not.
func IsNil(w any) bool {
	v := reflect.ValueOf(w)
	return w == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// TooLate reports whether a Waiter's err means that its slot would come after the
// deadline of ctx. A Waiter whose error has no type for its reason, as that of *rate.Limiter
// of golang.org/x/time has none, is taken to mean it where the deadline is near.
func TooLate(ctx context.Context, err error) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return false
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	_, named := errors.AsType[interface {
		error
		ErrorType() string
	}](err)
	return !named && time.Until(deadline) <= near
}
