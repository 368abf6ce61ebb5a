package pacedhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// An API with one quota, which everything in the program that calls it shares.
func Example_oneQuota() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "an order")
	}))
	defer server.Close()
	url := server.URL

	limits, err := pacer.ParseLimits("20/s, 5000/h") // or "2/s bucket 40" where the API keeps a token bucket
	if err != nil {
		log.Fatal(err)
	}
	quota := pacer.Must(pacer.Config{Limits: limits, Margin: 20 * time.Millisecond, Outage: &pacer.Outage{}}) // one for all clients of this API
	client := pacedhttp.WrapClient(http.DefaultClient, pacedhttp.Retry(nil), pacedhttp.Pace(quota))

	resp, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Printf("%s %v\n", body, err)
	for _, l := range quota.Stats().Limits {
		fmt.Println(l.Limit, "left:", l.Left)
	}
	// Output:
	// an order <nil>
	// 20/s left: 19
	// 5000/h left: 4999
}

// A model's API counts tokens beside requests. A call takes its estimate before it is sent, and
// says afterwards what it really used.
func Example_tokensPerMinute() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"text": "blue", "usage": {"total_tokens": 120}}`)
	}))
	defer server.Close()
	url := server.URL

	limits, err := pacer.ParseLimits("60/min, 10000 tokens/min")
	if err != nil {
		log.Fatal(err)
	}
	quota := pacer.Must(pacer.Config{Limits: limits, MaxInFlight: 8})
	estimate := func(req *http.Request) int { return int(req.ContentLength)/4 + 4000 } // the prompt, and max_tokens
	client := pacedhttp.New(nil, pacedhttp.Cost("tokens", estimate), pacedhttp.Retry(nil), pacedhttp.Pace(quota)).Client()

	resp, err := client.Post(url, "application/json", strings.NewReader(`{"prompt": "What colour is the sky?"}`))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close() // until then the request is in flight
	var answer struct {
		Text  string
		Usage struct {
			Tokens int `json:"total_tokens"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	pacedhttp.Settle(resp, "tokens", answer.Usage.Tokens) // what was estimated too much is there again at once

	fmt.Println(answer.Text)
	for _, l := range quota.Stats().Limits {
		fmt.Println(l.Limit, "left:", l.Left)
	}
	// Output:
	// blue
	// 60/min left: 59
	// 10000 tokens/min left: 9880
}

// Tenants share what an account may send, by weight; a tenant has a limit of its own besides. A
// quota for each host is the same without a Parent.
func Example_tenants() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer server.Close()
	url := server.URL

	weights := map[string]int{"acme": 3} // others have 1

	account := pacer.Burst(100, time.Second) // what the API allows all tenants together
	own := []pacer.Limit{{Calls: 600, Period: time.Minute}}
	tenants, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(tenant string) *pacer.Pacer {
		return pacer.Must(pacer.Config{Parent: account, Weight: weights[tenant], Limits: own, PassUp: true}) // Weight 0 is 1
	}})
	if err != nil {
		log.Fatal(err)
	}
	client := pacedhttp.New(nil, pacedhttp.Retry(nil), pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
		return tenants.Get(req.Header.Get("X-Tenant")) // or req.URL.Host
	})).Client()

	for _, tenant := range []string{"acme", "bolt", "acme"} {
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("X-Tenant", tenant)
		resp, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
	}
	fmt.Println(tenants.Get("acme").Stats().Granted, tenants.Get("bolt").Stats().Granted, account.Stats().Granted)
	// Output: 2 1 3
}

// Of several API keys, each with a quota of its own, each attempt uses the one that is free
// first. Prepare sets it after the wait, and shows it to no host that a server redirects to.
func Example_severalTokens() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	url := server.URL

	type apiKey struct {
		secret string
		quota  *pacer.Pacer
	}
	keys := []apiKey{{"Bearer one", pacer.Burst(5, time.Minute)}, {"Bearer two", pacer.Burst(5, time.Minute)}}
	type chosen struct{}
	keyOf := func(req *http.Request) apiKey { return req.Context().Value(chosen{}).(apiKey) }
	soonest := func(next http.RoundTripper) http.RoundTripper { // a layer of your own
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			key := slices.MinFunc(keys, func(a, b apiKey) int {
				return a.quota.Stats().Predicted.Compare(b.quota.Stats().Predicted)
			})
			return next.RoundTrip(req.WithContext(context.WithValue(req.Context(), chosen{}, key)))
		})
	}
	client := pacedhttp.New(nil, pacedhttp.Retry(nil), soonest,
		pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter { return keyOf(req).quota }),
		pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error { // after the wait, and for this host alone
			req.Header.Set("Authorization", keyOf(req).secret)
			return nil
		})).Client()

	used := map[string]int{}
	for range 10 { // as many as both allow
		resp, err := client.Get(url)
		if err != nil {
			log.Fatal(err)
		}
		key, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		used[string(key)]++
	}
	fmt.Println(used)
	// Output: map[Bearer one:5 Bearer two:5]
}

// A file is opened anew for each attempt; of a stream as much is kept as ReplayBuffer allows.
func Example_upload() {
	path := filepath.Join(os.TempDir(), "pacedhttp-example")
	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		log.Fatal(err)
	}
	defer os.Remove(path)
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Printf("%s of %d bytes: %s, %v\n", r.Method, r.ContentLength, body, err)
		if n.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	url := server.URL

	policy := retrypolicy.Must(retrypolicy.Config{ReplayBuffer: 8 << 20}) // of a body that cannot be opened again
	client := pacedhttp.New(nil, pacedhttp.Retry(policy), pacedhttp.Pace(pacer.Drip(5, time.Second))).Client()

	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequest("PUT", url, file) // a POST needs a header Idempotency-Key to be sent again
	if err != nil {
		log.Fatal(err)
	}
	req.ContentLength, req.GetBody = info.Size(), func() (io.ReadCloser, error) { return os.Open(path) } // however large
	resp, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)

	stream := io.MultiReader(strings.NewReader("a str"), strings.NewReader("eam"))
	req, err = http.NewRequest("PUT", url, stream)
	if err != nil {
		log.Fatal(err)
	}
	resp, err = client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// PUT of 6 bytes: a file, <nil>
	// PUT of 6 bytes: a file, <nil>
	// 200 OK
	// PUT of -1 bytes: a stream, <nil>
	// PUT of -1 bytes: a stream, <nil>
	// 200 OK
}

func TestTheSecondCallWaitsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) { // or httpmock.NewMockTransport()
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
		})
		client := pacedhttp.New(api, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(1, time.Minute))).Client()
		began := time.Now()
		for range 2 {
			if _, err := client.Get("https://api.example/orders"); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %v", waited)
		}
	})
}
