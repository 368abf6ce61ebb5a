package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Five calls in 50 ms, as fast as they come; the sixth waits for the first to be
// 50 ms old.
func ExamplePace() {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	client := pacedhttp.New(nil, pacedhttp.Pace(pacer.Burst(5, 50*time.Millisecond))).Client()
	began := time.Now()
	for range 6 {
		resp, err := client.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	fmt.Println("the sixth waited:", time.Since(began) >= 50*time.Millisecond)
	// Output: the sixth waited: true
}

// Five calls in 50 ms, evenly: one every 10 ms.
func ExamplePace_evenly() {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	client := pacedhttp.New(nil, pacedhttp.Pace(pacer.Drip(5, 50*time.Millisecond))).Client()
	began := time.Now()
	for range 6 {
		resp, err := client.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	fmt.Println("five intervals of 10 ms:", time.Since(began) >= 50*time.Millisecond)
	// Output: five intervals of 10 ms: true
}

// Many goroutines, each with its retries, are one unit to the pacer: the tempo holds
// while every call fails.
func ExamplePace_retries() {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()

	threeRetries := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 4, Backoff: retrypolicy.Constant(time.Millisecond)})
	client := pacedhttp.New(nil,
		pacedhttp.Retry(threeRetries),
		pacedhttp.Pace(pacer.Burst(5, 20*time.Millisecond)),
	).Client()

	began := time.Now()
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			if resp, err := client.Get(server.URL); err == nil {
				resp.Body.Close()
			}
		})
	}
	calls.Wait()
	fmt.Println(requests.Load(), "requests")
	fmt.Println("the sixteenth came after three periods:", time.Since(began) >= 3*20*time.Millisecond)
	// Output:
	// 16 requests
	// the sixteenth came after three periods: true
}

func ExamplePaceBy() {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	a, b := httptest.NewServer(ok), httptest.NewServer(ok)
	defer a.Close()
	defer b.Close()

	quotas, err := pacer.NewKeyed(pacer.KeyedConfig{
		New: func(host string) *pacer.Pacer { return pacer.Burst(1, time.Hour) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := pacedhttp.New(nil, pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
		return quotas.Get(req.URL.Host)
	})).Client()
	client.Timeout = time.Minute

	for _, url := range []string{a.URL, b.URL, a.URL} {
		resp, err := client.Get(url)
		if err != nil {
			fmt.Println("no slot in time:", errors.Is(err, pacer.ErrDeadline))
			continue
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// 200 OK
	// 200 OK
	// no slot in time: true
}

func ExamplePaceError() {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	client := pacedhttp.New(nil, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(1, time.Hour))).Client()
	client.Timeout = time.Minute
	for range 2 {
		resp, err := client.Get(server.URL)
		if refusal, ok := errors.AsType[*pacedhttp.PaceError](err); ok {
			fmt.Println("not sent:", refusal.ErrorType())
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// 200 OK
	// not sent: pacing_deadline
}

func ExampleFallback() {
	primary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer primary.Close()
	replica := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the replica") }))
	defer replica.Close()

	fromReplica := func(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
		second, fault := http.NewRequestWithContext(req.Context(), req.Method, replica.URL, nil)
		if fault != nil {
			return nil, fault
		}
		return http.DefaultTransport.RoundTrip(second)
	}
	soon := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Millisecond)})
	client := pacedhttp.New(nil, pacedhttp.Fallback(fromReplica), pacedhttp.Retry(soon)).Client()

	resp, err := client.Get(primary.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s\n", body)
	// Output: from the replica
}

func ExampleStaticResponse() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer server.Close()

	soon := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Millisecond)})
	header := http.Header{"Content-Type": {"application/json"}}
	client := pacedhttp.New(nil,
		pacedhttp.Fallback(pacedhttp.StaticResponse(http.StatusOK, header, []byte(`{"items": []}`))),
		pacedhttp.Retry(soon),
	).Client()

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s, %s: %s\n", resp.Status, resp.Header.Get("Content-Type"), body)
	// Output: 200 OK, application/json: {"items": []}
}

// Five retries at a fixed interval, on one kind of error only, each of them logged;
// a fallback answers when they ran out, and nothing else.
func ExampleFallback_afterRetries() {
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer stuck.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer broken.Close()

	policy := retrypolicy.Must(retrypolicy.Config{
		MaxAttempts:    6,
		Backoff:        retrypolicy.Constant(time.Millisecond),
		AttemptTimeout: 5 * time.Millisecond,
		Classify:       retrypolicy.Errors(retrypolicy.Transient, context.DeadlineExceeded),
	})
	onRetry := pacedhttp.Hooks{
		RetryScheduled: func(_ context.Context, i pacedhttp.RetryInfo) { fmt.Println(i.Number, i.Err) },
	}
	ranOut := func(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
		if failure, ok := errors.AsType[*retrypolicy.Error](err); ok && failure.Reason == retrypolicy.ReasonMaxAttempts {
			return pacedhttp.StaticResponse(http.StatusOK, nil, []byte("the fallback's result"))(req, resp, err)
		}
		return resp, err
	}

	with := pacedhttp.New(nil, pacedhttp.Observe(onRetry), pacedhttp.Fallback(ranOut), pacedhttp.Retry(policy)).Client()
	if resp, err := with.Get(stuck.URL); err == nil {
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s\n", body)
	}

	without := pacedhttp.New(nil, pacedhttp.Retry(policy)).Client()
	_, err := without.Get(stuck.URL)
	fmt.Println("without one, the original error:", errors.Is(err, context.DeadlineExceeded))

	// However busy the machine is, this server is given the time to answer.
	patient := retrypolicy.WithPolicy(context.Background(), retrypolicy.Must(retrypolicy.Config{AttemptTimeout: time.Minute, MaxAttempts: 1}))
	req, err := http.NewRequestWithContext(patient, http.MethodGet, broken.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if resp, err := with.Do(req); err == nil {
		resp.Body.Close()
		fmt.Println("another kind of failure:", resp.Status)
	}
	// Output:
	// 1 pacedhttp: attempt timed out: no response within 5ms
	// 2 pacedhttp: attempt timed out: no response within 5ms
	// 3 pacedhttp: attempt timed out: no response within 5ms
	// 4 pacedhttp: attempt timed out: no response within 5ms
	// 5 pacedhttp: attempt timed out: no response within 5ms
	// the fallback's result
	// without one, the original error: true
	// another kind of failure: 500 Internal Server Error
}

// No retries: exactly one attempt.
func ExampleRetry_once() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer server.Close()

	once := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1})
	resp, err := pacedhttp.New(nil, pacedhttp.Retry(once)).Client().Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 503 Service Unavailable
}
