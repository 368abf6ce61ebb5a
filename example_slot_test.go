package pacedhttp_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A model's API allows so many requests and so many tokens a minute. Each call reserves what
// it may cost, and settles what it did by the usage in the answer: the rest is there for the
// next call at once.
func ExampleCost() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"text": "blue", "usage": {"total_tokens": 120}}`)
	}))
	defer server.Close()

	limits, err := pacer.ParseLimits("60/min, 10000 tokens/min")
	if err != nil {
		fmt.Println(err)
		return
	}
	quota := pacer.Must(pacer.Config{Limits: limits, MaxInFlight: 8})
	estimate := func(req *http.Request) int { return int(req.ContentLength)/4 + 4000 } // the prompt, and max_tokens
	client := pacedhttp.New(nil,
		pacedhttp.Cost("tokens", estimate),
		pacedhttp.Retry(nil),
		pacedhttp.Pace(quota),
	).Client()

	ask := func(prompt string) (string, error) {
		req, err := http.NewRequest("POST", server.URL, strings.NewReader(prompt))
		if err != nil {
			return "", err
		}
		req.Header.Set("Idempotency-Key", prompt) // so that it is retried though it may have been processed
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		var answer struct {
			Text  string
			Usage struct {
				Tokens int `json:"total_tokens"`
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return "", err
		}
		pacedhttp.Settle(resp, "tokens", answer.Usage.Tokens)
		return answer.Text, nil
	}

	for range 5 { // together 20,000 tokens by estimate, 600 in truth
		fmt.Println(ask("What colour is the sky?"))
	}
	_, err = ask(strings.Repeat("Summarize this library. ", 2000))
	fmt.Println("more than the limit ever allows:", errors.Is(err, pacer.ErrTooCostly))
	for _, l := range quota.Stats().Limits {
		fmt.Printf("%v: %d used, %d left\n", l.Limit, l.Used, l.Left)
	}
	// Output:
	// blue <nil>
	// blue <nil>
	// blue <nil>
	// blue <nil>
	// blue <nil>
	// more than the limit ever allows: true
	// 60/min: 5 used, 55 left
	// 10000 tokens/min: 600 used, 9400 left
}

// Of a streamed answer the usage comes last. The request's slot is over with the body, and may
// be settled then as well.
func ExampleSettle() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range []string{`{"text": "sky "}`, `{"text": "blue"}`, `{"usage": 12}`} {
			fmt.Fprintf(w, "data: %s\n\n", event)
			w.(http.Flusher).Flush()
		}
	}))
	defer server.Close()

	quota := pacer.Must(pacer.Config{
		Limits:      []pacer.Limit{{Cost: 10_000, Unit: "tokens", Period: time.Minute}},
		MaxInFlight: 100,
	})
	client := pacedhttp.New(nil,
		pacedhttp.Cost("tokens", func(*http.Request) int { return 4000 }),
		pacedhttp.Retry(nil),
		pacedhttp.Pace(quota),
	).Client()

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close() // or the slot would never be free
	stats := quota.Stats()
	fmt.Println(stats.InFlight, "in flight,", stats.Limits[0].Used, "tokens used")

	var event struct {
		Text  string
		Usage int
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		data, found := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !found {
			continue
		}
		if err := json.Unmarshal(data, &event); err != nil {
			fmt.Println(err)
			return
		}
	}
	pacedhttp.Settle(resp, "tokens", event.Usage)
	stats = quota.Stats()
	fmt.Println(stats.InFlight, "in flight,", stats.Limits[0].Used, "tokens used")
	// Output:
	// 1 in flight, 4000 tokens used
	// 0 in flight, 12 tokens used
}

// At most 100 requests are in flight, however many callers there are and however long each
// answer takes.
func ExamplePace_inFlight() {
	var now, most atomic.Int64
	full := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		if n == 100 {
			close(full)
		}
		<-full // nobody is answered before 100 are here
	}))
	defer server.Close()

	quota := pacer.Must(pacer.Config{MaxInFlight: 100})
	client := pacedhttp.New(nil, pacedhttp.Retry(nil), pacedhttp.Pace(quota)).Client()
	var calls sync.WaitGroup
	for range 150 {
		calls.Go(func() {
			resp, err := client.Get(server.URL)
			if err != nil {
				fmt.Println(err)
				return
			}
			resp.Body.Close()
		})
	}
	calls.Wait()
	stats := quota.Stats()
	fmt.Println(stats.Granted, "requests, at most", most.Load(), "at once, now", stats.InFlight)
	// Output: 150 requests, at most 100 at once, now 0
}

// A vendor says: "a bucket of 40 requests, refilled at 2 a minute". (Mostly it is a second;
// with a minute no clock decides what is printed.)
func ExamplePace_bucket() {
	limits, err := pacer.ParseLimits("2/min bucket 40")
	if err != nil {
		fmt.Println(err)
		return
	}
	base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	})
	client := pacedhttp.New(base,
		pacedhttp.Retry(nil),
		pacedhttp.Pace(pacer.Must(pacer.Config{Limits: limits})),
	).Client()
	client.Timeout = 10 * time.Second

	for sent := 0; ; sent++ {
		resp, err := client.Get("http://shop.example/orders")
		if refusal, ok := errors.AsType[*pacer.Error](err); ok {
			fmt.Println(sent, "at once, the next in", refusal.Wait().Round(10*time.Second))
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	// Output: 40 at once, the next in 30s
}

// Of several API keys, each with a quota of its own, each attempt uses the one that is free
// first.
func ExamplePaceBy_tokens() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer server.Close()

	type key struct {
		secret string
		quota  *pacer.Pacer
	}
	keys := []key{{"gold", pacer.Burst(2, time.Hour)}, {"silver", pacer.Burst(1, time.Hour)}}
	wait := func(k key) time.Duration { return max(0, time.Until(k.quota.Stats().Predicted)) }

	type chosen struct{}
	choose := func(next http.RoundTripper) http.RoundTripper {
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			first := slices.MinFunc(keys, func(a, b key) int { return cmp.Compare(wait(a), wait(b)) })
			return next.RoundTrip(req.WithContext(context.WithValue(req.Context(), chosen{}, first)))
		})
	}
	keyOf := func(req *http.Request) key { return req.Context().Value(chosen{}).(key) }

	client := pacedhttp.New(nil,
		pacedhttp.Retry(nil),
		choose,
		pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter { return keyOf(req).quota }),
		pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			req.Header.Set("Authorization", keyOf(req).secret)
			return nil
		}),
	).Client()
	client.Timeout = time.Minute

	for range 4 {
		resp, err := client.Get(server.URL)
		if err != nil {
			fmt.Println("no key in time:", errors.Is(err, pacer.ErrDeadline))
			return
		}
		secret, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s\n", secret)
	}
	// Output:
	// gold
	// gold
	// silver
	// no key in time: true
}
