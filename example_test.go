package pacedhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// serve starts a server on loopback that answers with these statuses, one after the
// other, and then with the last for ever. The body tells the status.
func serve(statuses ...int) *httptest.Server {
	var n atomic.Int64
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := statuses[min(int(n.Add(1)), len(statuses))-1]
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s says %d", strings.ToLower(r.Method), status)
	}))
}

// quickly is a policy for examples: three attempts, a millisecond apart.
var quickly = retrypolicy.Must(retrypolicy.Config{
	MaxAttempts: 3,
	Backoff:     retrypolicy.Constant(time.Millisecond),
})

// Three calls of a server that fails every other time.
func Example() {
	server := serve(503, 200, 503, 200, 503, 200)
	defer server.Close()

	client := pacedhttp.New(nil,
		pacedhttp.Retry(nil),                         // up to four attempts, full jitter, obeys Retry-After
		pacedhttp.Pace(pacer.Burst(10, time.Second)), // each of them within 10 per second
	).Client()

	for i := range 3 {
		resp, err := client.Get(server.URL)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(i, resp.Status)
	}
	// Output:
	// 0 200 OK
	// 1 200 OK
	// 2 200 OK
}

// The usual chain, outermost first. Each line belongs where it is: the log tells of
// everything below it, the fallback answers when retrying did not help, each retry
// takes a slot, and the token is fetched when the slot is there.
func ExampleNew() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("server: ", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()

	tokens := 0
	chain := pacedhttp.New(nil,
		pacedhttp.Log(slog.New(slog.DiscardHandler)),
		pacedhttp.Observe(pacedhttp.Hooks{
			SlotAcquired: func(context.Context, pacedhttp.SlotInfo) { fmt.Println("pace:    a slot") },
			GaveUp: func(_ context.Context, i pacedhttp.CallInfo) {
				fmt.Println("retry:   gave up,", i.Reason)
			},
			FallbackUsed: func(_ context.Context, i pacedhttp.FallbackInfo) {
				fmt.Println("fallback:", i.Response.Status)
			},
		}),
		pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, []byte("from the cache"))),
		pacedhttp.Retry(quickly),
		pacedhttp.Pace(pacer.Burst(5, 50*time.Millisecond)),
		pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			tokens++
			req.Header.Set("Authorization", fmt.Sprint("token ", tokens))
			return nil
		}),
	)

	resp, err := chain.Client().Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("caller:   %s\n", body)
	// Output:
	// pace:    a slot
	// server:  token 1
	// pace:    a slot
	// server:  token 2
	// pace:    a slot
	// server:  token 3
	// retry:   gave up, max_attempts
	// fallback: 200 OK
	// caller:   from the cache
}

func ExampleTransport_Client() {
	server := serve(503, 200)
	defer server.Close()

	client := pacedhttp.New(nil, pacedhttp.Retry(quickly)).Client()
	client.Timeout = time.Minute // bounds a call with all its attempts and waits

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

func ExampleWrapClient() {
	server := serve(503, 200, 503)
	defer server.Close()

	mine := &http.Client{Timeout: time.Minute}
	retrying := pacedhttp.WrapClient(mine, pacedhttp.Retry(quickly))

	for _, client := range []*http.Client{retrying, mine} {
		resp, err := client.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status, client.Timeout)
	}
	// Output:
	// 200 OK 1m0s
	// 503 Service Unavailable 1m0s
}

// An orderService stands for any SDK that takes an *http.Client.
type orderService struct {
	url    string
	client *http.Client
}

func (s orderService) List(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/orders", nil)
	if err != nil {
		return "", err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// An SDK that takes an *http.Client or an http.RoundTripper takes a chain. One that does
// not retry gets Retry and Pace; one that does keeps its retryer and gets Pace alone, for
// attempts multiply.
func ExampleNew_sdk() {
	server := serve(429, 503, 200)
	defer server.Close()

	sdk := orderService{
		url:    server.URL,
		client: pacedhttp.New(nil, pacedhttp.Retry(quickly), pacedhttp.Pace(pacer.Drip(5, 25*time.Millisecond))).Client(),
	}
	fmt.Println(sdk.List(context.Background()))

	// For a single call there is the context.
	fmt.Println(sdk.List(retrypolicy.WithoutRetry(context.Background())))
	// Output:
	// get says 200 <nil>
	// get says 200 <nil>
}

// What is safe to send again is sent again; what may have been processed is not,
// unless the server can tell a repetition by its key.
func ExampleRetry() {
	for _, key := range []string{"", "order-4711"} {
		server := serve(503, 201)
		client := pacedhttp.New(nil, pacedhttp.Retry(quickly)).Client()

		req, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(`{"item": 1}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Printf("%q: %s\n", key, resp.Status)
		server.Close()
	}
	// Output:
	// "": 503 Service Unavailable
	// "order-4711": 201 Created
}

func ExamplePrepare() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Signature"))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()

	// A signature must be of the moment of the send: a server takes a repeated or an
	// old one for an attack.
	sign := pacedhttp.Prepare(func(req *http.Request, attempt pacedhttp.AttemptInfo) error {
		req.Header.Set("Signature", fmt.Sprintf("nonce=%d, path=%s", attempt.Number, req.URL.Path))
		return nil
	})
	client := pacedhttp.New(nil, pacedhttp.Retry(quickly), sign).Client()
	resp, err := client.Get(server.URL + "/orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	// Output:
	// nonce=1, path=/orders
	// nonce=2, path=/orders
	// nonce=3, path=/orders
}

// A trace identifier is no secret: every host that a server redirects to may see it.
func ExamplePrepareAnyHost() {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Printf("trace %q, signature %q\n", r.Header.Get("Trace"), r.Header.Get("Signature"))
	}))
	defer elsewhere.Close()
	// To http.Client another name of one machine is another host.
	there := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)
	server := httptest.NewServer(http.RedirectHandler(there, http.StatusTemporaryRedirect))
	defer server.Close()

	sign := func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		req.Header.Set("Signature", "secret")
		return nil
	}
	trace := func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		req.Header.Set("Trace", "4711")
		return nil
	}
	client := pacedhttp.New(nil, pacedhttp.Prepare(sign), pacedhttp.PrepareAnyHost(trace)).Client()
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	// Output:
	// trace "4711", signature ""
}

// A test of the program's wiring: what in the order of the layers cannot be meant.
func ExampleTransport_Check() {
	rt := pacedhttp.New(nil,
		pacedhttp.Pace(pacer.Burst(10, time.Second)),
		pacedhttp.Retry(nil),
	)
	fmt.Println(rt.Check())
	// Output:
	// pacedhttp: Pace is above Retry: retries take no slot; list Retry first
}

// A layer of one's own goes where it belongs: outside of Retry it sees calls, below it
// attempts.
func ExampleRoundTripperFunc() {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()

	count := 0
	counted := func(next http.RoundTripper) http.RoundTripper {
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			count++
			return next.RoundTrip(req)
		})
	}
	client := pacedhttp.New(nil, pacedhttp.Retry(nil), counted, pacedhttp.Pace(pacer.Burst(10, time.Second))).Client()
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode, "after", count, "attempt")
	// Output:
	// 404 after 1 attempt
}

func ExampleObserve() {
	server := serve(503, 429, 200)
	defer server.Close()

	client := pacedhttp.New(nil,
		pacedhttp.Observe(pacedhttp.Hooks{
			RetryScheduled: func(_ context.Context, i pacedhttp.RetryInfo) {
				fmt.Printf("attempt %d was %v: %s\n", i.Number, i.Verdict, i.Response.Status)
			},
		}),
		pacedhttp.Retry(quickly),
	).Client()
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// attempt 1 was transient: 503 Service Unavailable
	// attempt 2 was throttled: 429 Too Many Requests
	// 200 OK
}

func ExampleLog() {
	server := serve(503, 200)
	defer server.Close()

	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "time" || a.Key == "host" { // these differ from run to run
				return slog.Attr{}
			}
			return a
		},
	}))
	client := pacedhttp.New(nil, pacedhttp.Log(logger), pacedhttp.Retry(quickly)).Client()
	resp, err := client.Get(server.URL + "/orders?token=secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	// Output: level=WARN msg=retrying method=GET attempt=1 status=503 reason=transient delay=1ms
}

// A middleware of one's own below Retry sees attempts, and a response tells which
// attempt it answers.
func ExampleAttemptFromContext() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Attempt") == "1" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()

	client := pacedhttp.New(nil,
		pacedhttp.Retry(quickly),
		pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			attempt, _ := pacedhttp.AttemptFromContext(req.Context())
			req.Header.Set("X-Attempt", fmt.Sprint(attempt.Number))
			return nil
		}),
	).Client()
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	attempt, ok := pacedhttp.AttemptFromContext(resp.Request.Context())
	fmt.Println(resp.Status, ok, attempt.Number, attempt.Previous)
	// Output: 200 OK true 2 1ms
}

// A body that net/http cannot read twice is sent again from what was kept of it.
func ExampleRetry_replayBuffer() {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("server: %s\n", body)
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()

	policy := retrypolicy.Must(retrypolicy.Config{
		Backoff:      retrypolicy.Constant(time.Millisecond),
		ReplayBuffer: 1 << 20,
	})
	client := pacedhttp.New(nil, pacedhttp.Retry(policy)).Client()

	stream := io.MultiReader(strings.NewReader("a stream "), bytes.NewBufferString("of two parts"))
	req, err := http.NewRequest(http.MethodPut, server.URL, stream)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// server: a stream of two parts
	// server: a stream of two parts
	// 200 OK
}
