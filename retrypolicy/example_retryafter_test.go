package retrypolicy_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A quotaError is what a client of some service fails with when it is told to wait.
type quotaError struct{ wait time.Duration }

func (e quotaError) Error() string             { return "quota exceeded" }
func (e quotaError) RetryAfter() time.Duration { return e.wait }

// An error that says RetryAfter is obeyed, and the pacer holds back everybody for as long. A
// wait that is longer than the policy's MaxRetryAfter ends the call at once.
func ExampleCall_retryAfter() {
	limiter := pacer.Burst(100, time.Second)
	call := retrypolicy.Call[string]{
		Pacer:  limiter,
		Policy: retrypolicy.Must(retrypolicy.Config{MaxRetryAfter: time.Minute, Backoff: retrypolicy.Constant(0)}),
		OnRetry: func(_ context.Context, err error, _ int, delay time.Duration) {
			fmt.Println(err, "- 20 ms or more:", delay >= 20*time.Millisecond)
		},
	}

	for _, wait := range []time.Duration{20 * time.Millisecond, time.Hour} {
		asked := 0
		fmt.Println(call.Do(context.Background(), func(context.Context) (string, error) {
			if asked++; asked == 1 {
				return "", quotaError{wait}
			}
			return "done", nil
		}))
	}
	fmt.Println("others may start:", limiter.Allow())
	// Output:
	// quota exceeded - 20 ms or more: true
	// done <nil>
	//  retrypolicy: gave up after 1 attempt (retry_after_too_long): quota exceeded
	// others may start: false
}
