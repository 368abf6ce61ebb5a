package recipes

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Shopify returns a client of the GraphQL Admin API, and what limits each shop: a bucket of 2,000
// points into which 100 flow back each second, counted as the query's cost.
func Shopify(base http.RoundTripper) (*http.Client, *pacer.Keyed, error) {
	shops, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(shop string) *pacer.Pacer {
		return pacer.Must(pacer.Config{Limits: []pacer.Limit{
			{Cost: 100, Unit: "points", Period: time.Second, Bucket: 2000},
		}})
	}})
	if err != nil {
		return nil, nil, err
	}
	client := pacedhttp.New(base,
		pacedhttp.Cost("points", func(*http.Request) int { return 200 }), // what the queries of this program may cost
		pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{Classify: throttledByBody})),
		pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter { return shops.Get(req.URL.Host) }),
	).Client()
	return client, shops, nil
}

// throttledByBody knows that Shopify refuses a query with 200, and says so in the body alone.
func throttledByBody(a retrypolicy.Attempt) retrypolicy.Verdict {
	if a.Response != nil && a.Response.StatusCode == 200 {
		var answer struct {
			Errors []struct{ Extensions struct{ Code string } }
		}
		json.Unmarshal(a.Peek(4<<10), &answer) // of a refusal that is all
		if len(answer.Errors) > 0 && answer.Errors[0].Extensions.Code == "THROTTLED" {
			return retrypolicy.Throttled
		}
	}
	return retrypolicy.DefaultClassifier(a)
}

// SettleShopify says what a query really cost, and returns its answer.
func SettleShopify(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	var answer struct {
		Extensions struct{ Cost struct{ ActualQueryCost int } }
	}
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err == nil {
		pacedhttp.Settle(resp, "points", answer.Extensions.Cost.ActualQueryCost)
	}
	return body, err
}

// Stripe returns a client for an account in live mode: 100 requests a second in all, and 25 for
// each endpoint, which endpoint tells of a request: "POST /v1/charges", say.
func Stripe(base http.RoundTripper, endpoint func(*http.Request) string) (*http.Client, error) {
	account := pacer.Burst(100, time.Second)
	endpoints, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer {
		return pacer.Must(pacer.Config{Parent: account, Limits: []pacer.Limit{{Calls: 25, Period: time.Second}}})
	}})
	if err != nil {
		return nil, err
	}
	return pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
		return endpoints.Get(endpoint(req))
	})).Client(), nil
}
