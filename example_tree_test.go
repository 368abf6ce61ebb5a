package pacedhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A user may make five calls an hour and a model takes one. These quotas cross, since every user
// may ask every model, so neither can be the other's Parent: two Pace layers it is, which are two
// waits. The first slot is spent while its holder waits for the second, also if that is refused,
// and what is sent then is bunched as the second pacer lets it go. So put first what is waited
// for most: then the second is free as a rule, and both quotas hold.
func ExamplePaceBy_quotasThatCross() {
	for _, order := range [][]string{{"User", "Model"}, {"Model", "User"}} {
		quotas := map[string]*pacer.Keyed{}
		for header, calls := range map[string]int{"User": 5, "Model": 1} {
			keyed, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer { return pacer.Burst(calls, time.Hour) }})
			if err != nil {
				panic(err)
			}
			quotas[header] = keyed
		}
		by := func(header string) pacedhttp.Middleware {
			return pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
				return quotas[header].Get(req.Header.Get(header))
			})
		}
		base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
		})
		client := pacedhttp.New(base, by(order[0]), by(order[1])).Client()

		sent := 0
		for range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example/", http.NoBody)
			if err != nil {
				panic(err)
			}
			req.Header.Set("User", "ann")
			req.Header.Set("Model", "large")
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
				sent++
			}
			cancel()
		}
		fmt.Println(order, "sent", sent, "and ann has", quotas["User"].Get("ann").Stats().Limits[0].Left, "left")
	}
	// Output:
	// [User Model] sent 1 and ann has 2 left
	// [Model User] sent 1 and ann has 4 left
}
