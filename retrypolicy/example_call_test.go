package retrypolicy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Limited and retried: retries queue through the limiter. Four threads with three retries
// each keep to five calls a period together, and a retry goes before calls that came later.
func ExampleCall() {
	const period = 50 * time.Millisecond // rather time.Second
	call := retrypolicy.Call[string]{
		Pacer:  pacer.Burst(5, period),
		Policy: retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1 + 3, Backoff: retrypolicy.Constant(0)}),
		Fallback: func(context.Context, error) (string, error) {
			return "yesterday's price", nil
		},
	}

	began := time.Now()
	var calls, fallbacks atomic.Int64
	var threads sync.WaitGroup
	for range 4 {
		threads.Go(func() {
			price, err := call.Do(context.Background(), func(context.Context) (string, error) {
				calls.Add(1)
				return "", errors.New("service is down")
			})
			if price == "yesterday's price" && err == nil {
				fallbacks.Add(1)
			}
		})
	}
	threads.Wait()
	fmt.Println(calls.Load(), "calls, the last one in the fourth period:", time.Since(began) >= 3*period)
	fmt.Println(fallbacks.Load(), "fallbacks")
	// Output:
	// 16 calls, the last one in the fourth period: true
	// 4 fallbacks
}

// Only limited: a pacer needs no Call. Burst starts five calls of a period at once, Drip would
// space them evenly.
func ExampleCall_limiter() {
	const period = 50 * time.Millisecond // rather time.Second
	limiter := pacer.Burst(5, period)
	price := func(ctx context.Context) (int, error) {
		if err := limiter.Wait(ctx); err != nil {
			return 0, err
		}
		return 42, nil
	}

	began := time.Now()
	for range 11 {
		if _, err := price(context.Background()); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("the eleventh call is in the third period:", time.Since(began) >= 2*period)
	// Output: the eleventh call is in the third period: true
}

// Only retried: five times more, at a constant interval, for one kind of error. Somebody is
// told of each retry, and when they have run out there is an answer after all.
func ExampleCall_retry() {
	errBusy := errors.New("busy")
	call := retrypolicy.Call[string]{
		Policy: retrypolicy.Must(retrypolicy.Config{
			MaxAttempts: 1 + 5,
			Backoff:     retrypolicy.Constant(time.Millisecond), // rather time.Second
			Classify:    retrypolicy.Errors(retrypolicy.Transient, errBusy),
		}),
		OnRetry: func(_ context.Context, err error, retry int, delay time.Duration) {
			fmt.Printf("retry %d in %v: %v\n", retry, delay, err)
		},
		Fallback: func(_ context.Context, err error) (string, error) {
			if errors.Is(err, errBusy) {
				return "yesterday's price", nil
			}
			return "", err
		},
	}
	fails := func(err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return "", err }
	}

	fmt.Println(call.Do(context.Background(), fails(errBusy)))
	fmt.Println(call.Do(context.Background(), fails(fs.ErrPermission))) // of another kind
	// Output:
	// retry 1 in 1ms: busy
	// retry 2 in 1ms: busy
	// retry 3 in 1ms: busy
	// retry 4 in 1ms: busy
	// retry 5 in 1ms: busy
	// yesterday's price <nil>
	//  retrypolicy: gave up after 1 attempt (not_retryable): permission denied
}

// The function knows best that another attempt would not help.
func ExamplePermanent() {
	errUnknown := errors.New("no such article")
	calls := 0
	_, err := retrypolicy.Do(context.Background(), nil, func(context.Context) (int, error) {
		calls++
		return 0, retrypolicy.Permanent(errUnknown)
	})
	fmt.Println(calls, errors.Is(err, errUnknown), err)
	// Output: 1 true retrypolicy: gave up after 1 attempt (not_retryable): no such article
}
