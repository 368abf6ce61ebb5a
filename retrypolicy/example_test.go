package retrypolicy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// The zero Config is a sane policy; a field left out has its default.
// A query is tried until it works, at most four times, with growing delays; each try keeps to
// the rate limit.
func Example() {
	call := retrypolicy.Call[string]{
		Policy: retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Exponential(time.Millisecond, time.Second)}),
		Pacer:  pacer.Burst(10, time.Second),
		OnRetry: func(_ context.Context, err error, retry int, _ time.Duration) {
			fmt.Printf("retry %d after: %v\n", retry, err)
		},
	}
	tries := 0
	answer, err := call.Do(context.Background(), func(context.Context) (string, error) {
		if tries++; tries < 3 {
			return "", errors.New("connection lost")
		}
		return "42 rows", nil
	})
	fmt.Println(answer, err)
	// Output:
	// retry 1 after: connection lost
	// retry 2 after: connection lost
	// 42 rows <nil>
}

func ExampleNew() {
	policy, err := retrypolicy.New(retrypolicy.Config{
		MaxAttempts:    6,
		AttemptTimeout: 5 * time.Second,
		MaxElapsed:     time.Minute,
		Budget:         retrypolicy.NewBudget(0.1, 1),
	})
	fmt.Println(policy.AttemptTimeout(), err)

	_, err = retrypolicy.New(retrypolicy.Config{MaxAttempts: -1, MaxElapsed: -time.Second})
	fmt.Println(err)
	// Output:
	// 5s <nil>
	// retrypolicy: Config.MaxAttempts is -1, must be at least 1 (0 means the default, 4)
	// retrypolicy: Config.MaxElapsed is -1s, must not be negative (0 means none)
}

func ExampleMust() {
	policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.Constant(time.Millisecond)})
	sends := 0
	_, err := retrypolicy.Do(context.Background(), policy, func(context.Context) (string, error) {
		sends++
		return "", errors.New("service is down")
	})
	fmt.Println(sends, err)
	// Output: 2 retrypolicy: gave up after 2 attempts (max_attempts): service is down
}

func ExampleDefault() {
	for _, status := range []int{200, 404, 429, 503} {
		verdict := retrypolicy.Default().Classify(retrypolicy.Attempt{Response: &http.Response{StatusCode: status}})
		fmt.Println(status, verdict)
	}
	// Output:
	// 200 accept
	// 404 accept
	// 429 throttled
	// 503 transient
}

// Next is for loops of one's own. It decides and never sleeps.
func ExamplePolicy_Next() {
	req, err := http.NewRequest("GET", "https://service.test/", nil)
	if err != nil {
		panic(err)
	}
	attempt := retrypolicy.Attempt{
		Number:     1,
		Request:    req,
		Response:   &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"3600"}}},
		Replayable: true,
	}
	d := retrypolicy.Default().Next(context.Background(), attempt)
	fmt.Println(d.Retry, d.Verdict, d.Reason)

	attempt.Response.Header.Set("Retry-After", "20")
	d = retrypolicy.Default().Next(context.Background(), attempt)
	fmt.Println(d.Retry, d.Verdict, d.Delay >= 20*time.Second, d.Delay <= 22*time.Second)
	// Output:
	// false throttled retry_after_too_long
	// true throttled true true
}

// Any function can be called again when it fails. Call does more: it paces, tells of each
// retry, and falls back.
func ExampleDo() {
	errBusy := errors.New("busy")
	policy := retrypolicy.Must(retrypolicy.Config{
		MaxAttempts: 1 + 5,
		Backoff:     retrypolicy.Constant(time.Millisecond), // rather time.Second
		Classify:    retrypolicy.Errors(retrypolicy.Transient, errBusy),
	})

	line := 0
	answer, err := retrypolicy.Do(context.Background(), policy, func(context.Context) (string, error) {
		if line++; line <= 3 {
			return "", fmt.Errorf("line %d: %w", line, errBusy)
		}
		return fmt.Sprintf("done on line %d", line), nil
	})
	fmt.Println(answer, err)
	// Output: done on line 4 <nil>
}

// The error unwraps to the one the function returned last. A
// policy of one attempt makes exactly one.
func ExampleDo_oneAttempt() {
	errBusy := errors.New("busy")
	policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1})
	sends := 0
	_, err := retrypolicy.Do(context.Background(), policy, func(context.Context) (string, error) {
		sends++
		return "", errBusy
	})
	fmt.Println(sends, errors.Is(err, errBusy))
	// Output: 1 true
}

func ExampleError() {
	_, err := retrypolicy.Do(context.Background(), nil, func(context.Context) (int, error) {
		return 0, context.Canceled // not the caller's: something inside gave up
	})
	if e, ok := errors.AsType[*retrypolicy.Error](err); ok {
		fmt.Println(e.Attempts, e.Reason, e.Err)
	}
	// Output: 1 not_retryable context canceled
}

// More statuses than the default ones, and one error that must never be retried.
func ExampleFirst() {
	errSold := errors.New("sold out")
	more := retrypolicy.First(
		retrypolicy.Statuses(retrypolicy.Transient, http.StatusConflict),
		retrypolicy.DefaultClassifier,
	)
	policy := retrypolicy.Must(retrypolicy.Config{Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
		if errors.Is(a.Err, errSold) {
			return retrypolicy.Accept
		}
		return more(a)
	}})
	fmt.Println(policy.Classify(retrypolicy.Attempt{Response: &http.Response{StatusCode: 409}}))
	fmt.Println(policy.Classify(retrypolicy.Attempt{Response: &http.Response{StatusCode: 502}}))
	fmt.Println(policy.Classify(retrypolicy.Attempt{Err: errSold}))
	// Output:
	// transient
	// transient
	// accept
}

func ExampleStatuses() {
	classify := retrypolicy.Statuses(retrypolicy.Throttled, 420, 430)
	fmt.Println(classify(retrypolicy.Attempt{Response: &http.Response{StatusCode: 430}}))
	fmt.Println(classify(retrypolicy.Attempt{Response: &http.Response{StatusCode: 503}}))
	// Output:
	// throttled
	// accept
}

func ExampleErrors() {
	classify := retrypolicy.Errors(retrypolicy.Transient, fs.ErrExist)
	fmt.Println(classify(retrypolicy.Attempt{Err: fmt.Errorf("lock: %w", fs.ErrExist)}))
	fmt.Println(classify(retrypolicy.Attempt{Err: fs.ErrPermission}))
	// Output:
	// transient
	// accept
}

func ExampleConstant() {
	backoff := retrypolicy.Constant(time.Second)
	fmt.Println(backoff.Delay(1, 0), backoff.Delay(2, time.Second), backoff.Delay(100, time.Second))
	// Output: 1s 1s 1s
}

func ExampleExponential() {
	backoff := retrypolicy.Exponential(100*time.Millisecond, 10*time.Second)
	for retry, ceiling := range map[int]time.Duration{1: 100 * time.Millisecond, 3: 400 * time.Millisecond, 64: 10 * time.Second} {
		fmt.Println(retry, ceiling, backoff.Delay(retry, 0) <= ceiling)
	}
	// Unordered output:
	// 1 100ms true
	// 3 400ms true
	// 64 10s true
}

func ExampleDecorrelated() {
	backoff := retrypolicy.Decorrelated(100*time.Millisecond, 10*time.Second)
	d := backoff.Delay(2, time.Second)
	fmt.Println(d >= 100*time.Millisecond, d <= 3*time.Second)
	// Output: true true
}

func ExampleBackoffFunc() {
	linear := retrypolicy.BackoffFunc(func(retry int, _ time.Duration) time.Duration {
		return time.Duration(retry) * time.Second
	})
	fmt.Println(linear.Delay(1, 0), linear.Delay(2, time.Second), linear.Delay(3, 2*time.Second))
	// Output: 1s 2s 3s
}

// One budget for everything that calls a service: while it is down, retries add no
// more than a fifth to the load of all its clients together.
func ExampleNewBudget() {
	budget := retrypolicy.NewBudget(0.2, 0)
	read := retrypolicy.Must(retrypolicy.Config{Budget: budget, Backoff: retrypolicy.Constant(0)})
	write := retrypolicy.Must(retrypolicy.Config{Budget: budget, Backoff: retrypolicy.Constant(0)})

	sends := 0
	down := func(context.Context) (string, error) {
		sends++
		return "", errors.New("service is down")
	}
	var err error
	for range 50 {
		retrypolicy.Do(context.Background(), read, down)
		_, err = retrypolicy.Do(context.Background(), write, down)
	}
	fmt.Println(sends, "sends for 100 calls")
	fmt.Println(err)
	// Output:
	// 120 sends for 100 calls
	// retrypolicy: gave up after 2 attempts (budget_exhausted): service is down
}

func ExampleRetryAfter() {
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for _, h := range []http.Header{
		{"Retry-After": {"120"}},
		{"Retry-After": {"Mon, 15 Jun 2026 12:00:30 GMT"}},
		{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1781524845"}},
		{"Ratelimit": {`"hourly";r=0;t=900`}},
		{"Retry-After": {"soon"}},
	} {
		fmt.Println(retrypolicy.RetryAfter(h, now))
	}
	// Output:
	// 2m0s true
	// 30s true
	// 45s true
	// 15m0s true
	// 0s false
}

// A call that is worth more patience than the client's others.
func ExampleWithPolicy() {
	usual := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.Constant(0)})
	patient := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 7, Backoff: retrypolicy.Constant(0)})

	ctx := retrypolicy.WithPolicy(context.Background(), patient)
	sends := 0
	retrypolicy.Do(ctx, usual, func(context.Context) (string, error) {
		sends++
		return "", errors.New("service is down")
	})
	fmt.Println(sends)
	// Output: 7
}

// An outer layer that retries by itself asks the inner one not to.
func ExampleWithoutRetry() {
	ctx := retrypolicy.WithoutRetry(context.Background())
	sends := 0
	_, err := retrypolicy.Do(ctx, nil, func(context.Context) (string, error) {
		sends++
		return "", errors.New("service is down")
	})
	fmt.Println(sends, err)
	// Output: 1 retrypolicy: gave up after 1 attempt (max_attempts): service is down
}
