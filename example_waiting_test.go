package pacedhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A call that has waited for ten seconds is told of, with what holds it. The hook may end that.
func ExampleHooks_slotWaiting() {
	api := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{Status: "200 OK", StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	})
	p := pacer.Burst(5, time.Second)
	client := pacedhttp.New(api,
		pacedhttp.Observe(pacedhttp.Hooks{
			SlotWaiting: func(_ context.Context, i pacedhttp.SlotInfo) {
				fmt.Printf("%s has waited %v, %v more: %v, %s\n", i.Request.URL.Path, i.Waited, i.Predicted, i.State, i.Cause)
				p.Resume()
			},
		}),
		pacedhttp.Pace(p),
	).Client()

	p.PauseUntil(time.Now().Add(30 * time.Second))
	began := time.Now()
	resp, err := client.Get("http://api.test/report")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", time.Since(began))
}
