package debug_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pacedhttp/pacedhttp/debug"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// In a browser it is a page that renews itself; here a program asks for JSON.
func Example() {
	github := pacer.Burst(20, time.Minute)
	github.Allow()

	mux := http.NewServeMux()
	mux.Handle("/debug/pacers", debug.Handler(
		debug.Pacer("github", github.Stats),
	))
	server := httptest.NewServer(mux)
	defer server.Close()

	req, err := http.NewRequest("GET", server.URL+"/debug/pacers", nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := server.Client().Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var seen struct {
		Pacers []struct {
			Name, State string
			Limits      []struct {
				Limit      string
				Used, Left int
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&seen); err != nil {
		panic(err)
	}
	fmt.Printf("%+v\n", seen.Pacers)
	// Output: [{Name:github State:flowing Limits:[{Limit:20/min Used:1 Left:19}]}]
}
