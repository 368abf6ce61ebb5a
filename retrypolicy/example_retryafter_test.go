package retrypolicy_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A quotaError is what a client of some service fails with when it is told to wait.
type quotaError struct{ wait time.Duration }

func (e quotaError) Error() string             { return "quota exceeded" }
func (e quotaError) RetryAfter() time.Duration { return e.wait }

// An error that says RetryAfter is obeyed: the pacer holds back everybody for as long, this
// call's next attempt included. A wait that is longer than the policy's MaxRetryAfter ends the
// call at once.
func ExampleCall_retryAfter() {
	limiter := pacer.Burst(100, time.Second)
	call := retrypolicy.Call[string]{
		Pacer:  limiter,
		Policy: retrypolicy.Must(retrypolicy.Config{MaxRetryAfter: time.Minute, Backoff: retrypolicy.Constant(0)}),
		OnRetry: func(_ context.Context, err error, _ int, delay time.Duration) {
			fmt.Println(err, "- the delay is the pacer's:", delay == 0)
		},
	}

	for _, wait := range []time.Duration{20 * time.Millisecond, time.Hour} {
		asked, began := 0, time.Now()
		answer, err := call.Do(context.Background(), func(context.Context) (string, error) {
			if asked++; asked == 1 {
				return "", quotaError{wait}
			}
			return "done", nil
		})
		if failure, ok := errors.AsType[*retrypolicy.Error](err); ok {
			fmt.Println("gave up:", failure.Reason)
			continue
		}
		fmt.Println(answer, "- after 20 ms or more:", time.Since(began) >= wait)
	}
	fmt.Println("others may start:", limiter.Allow())
	// Output:
	// quota exceeded - the delay is the pacer's: true
	// done - after 20 ms or more: true
	// quota exceeded - the delay is the pacer's: true
	// gave up: retry_after_too_long
	// others may start: false
}
