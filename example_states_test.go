package pacedhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Two tokens, a quota each. Where the server throttles one, the next attempt asks for a slot at
// once and goes by the other. The hooks tell of the pause and of the call.
func ExamplePaceBy_free() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "first" {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer server.Close()

	tokens := []string{"first", "second"}
	quotas := map[string]*pacer.Pacer{"first": pacer.Burst(5, time.Second), "second": pacer.Burst(5, time.Second)}
	choose := func(next http.RoundTripper) http.RoundTripper { // below Retry, for each attempt
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			token := tokens[0]
			if quotas[token].Stats().State == pacer.StatePaused {
				token = tokens[1]
			}
			req = req.Clone(req.Context())
			req.Header.Set("Authorization", token)
			return next.RoundTrip(req)
		})
	}
	client := pacedhttp.New(nil,
		pacedhttp.Observe(pacedhttp.Hooks{
			Paused: func(_ context.Context, i pacedhttp.PauseInfo) {
				fmt.Println("paused:", i.Request.Header.Get("Authorization"), i.Response.Status)
			},
			RetryScheduled: func(_ context.Context, i pacedhttp.RetryInfo) { fmt.Println("Retry waits for", i.Delay) },
			CallDone: func(_ context.Context, i pacedhttp.CallInfo) {
				fmt.Println("done:", i.Attempts, "attempts,", i.Reason, i.Elapsed < 10*time.Second)
			},
		}),
		pacedhttp.Retry(retrypolicy.Default()),
		choose,
		pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter { return quotas[req.Header.Get("Authorization")] }),
	).Client()

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// paused: first 429 Too Many Requests
	// Retry waits for 0s
	// done: 2 attempts, accepted true
	// 200 OK
}
