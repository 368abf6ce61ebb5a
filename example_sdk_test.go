package pacedhttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A client of somebody else's API, as its vendor ships it: it takes an *http.Client and
// retries by itself, because only it knows which of its calls may be repeated.
type sdk struct {
	http    *http.Client
	retries int
}

func (s sdk) get(url string) (status string, err error) {
	for n := 0; ; n++ {
		resp, err := s.http.Get(url)
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		if resp.StatusCode < 500 || n == s.retries {
			return resp.Status, nil
		}
	}
}

// An SDK that retries keeps its retryer and gets Pace alone beneath: its retries take slots
// too.
func ExamplePace_sdk() {
	failures := 2
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failures--; failures >= 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()

	quota := pacer.Burst(100, time.Second)
	vendor := sdk{http: pacedhttp.New(nil, pacedhttp.Pace(quota)).Client(), retries: 3}
	fmt.Println(vendor.get(server.URL))
	fmt.Println(quota.Stats().Granted, "slots")
	// Output:
	// 200 OK <nil>
	// 3 slots
}
