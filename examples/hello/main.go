// Command hello is the README's program: three calls of a server that fails now and then.
package main

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func main() {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests++; requests {
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer server.Close()

	client := pacedhttp.New(nil,
		pacedhttp.Retry(nil),                         // up to four attempts, backoff with jitter, obeys Retry-After
		pacedhttp.Pace(pacer.Burst(10, time.Second)), // each attempt within ten per second
	).Client() // an *http.Client

	for call := range 3 {
		resp, err := client.Get(server.URL)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println("call", call+1, resp.Status)
	}
	fmt.Println(requests, "requests")
}
