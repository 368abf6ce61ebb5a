package recipes_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/examples/recipes"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestGitHubsSecondaryLimitHoldsForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(n int, _ *http.Request) *http.Response {
			if n == 1 {
				return respond(403, `{"message": "You have exceeded a secondary rate limit."}`)
			}
			return respond(200, "ok")
		}}
		client := recipes.GitHub(api, recipes.GitHubQuota())
		get(t, client, "https://api.github.com/user", 200)
		equal(t, "second request", api.seen[1], time.Minute)
	})
}

func TestGitHubsPrimaryLimitHoldsUntilItsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reset := time.Now().Add(40 * time.Minute)
		api := &service{answer: func(n int, _ *http.Request) *http.Response {
			if time.Now().Before(reset) {
				return respond(403, "rate limit exceeded", "X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0",
					"X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10), "X-RateLimit-Resource", "core")
			}
			return respond(200, "ok")
		}}
		client := recipes.GitHub(api, recipes.GitHubQuota())
		get(t, client, "https://api.github.com/user", 200)
		equal(t, "requests", len(api.seen), 2)
		if again := api.seen[1]; again < 40*time.Minute || again > 41*time.Minute {
			t.Errorf("sent again after %v", again)
		}
	})
}

func TestGitHubsPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(int, *http.Request) *http.Response { return respond(201, "") }}
		quota := recipes.GitHubQuota()
		client := recipes.GitHub(api, quota)
		for range 181 { // 900 points are 180 writes
			resp, err := client.Post("https://api.github.com/repos/o/r/issues", "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			read(t, resp, 201)
		}
		equal(t, "the 180th", api.seen[179], 0)
		equal(t, "the 181st", api.seen[180], time.Minute)
	})
}

func TestGitHubsNotModifiedIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(int, *http.Request) *http.Response {
			return respond(304, "", "X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "4999", "X-RateLimit-Resource", "core",
				"X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
		}}
		quota := recipes.GitHubQuota()
		client := recipes.GitHub(api, quota)
		req, err := http.NewRequest("GET", "https://api.github.com/user", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer token")
		req.Header.Set("If-None-Match", `"etag"`)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		read(t, resp, 304)
		equal(t, "used of 5000/h", quota.Stats().Limits[0].Used, 0)
	})
}

func TestAnthropicsOutputIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(int, *http.Request) *http.Response { return respond(200, "a stream") }}
		quota, err := recipes.AnthropicQuota()
		if err != nil {
			t.Fatal(err)
		}
		client := recipes.Anthropic(api, quota)

		// The caller knows max_tokens, and after the stream's end the usage.
		ctx := pacer.WithCost(t.Context(), "output-tokens", 4000)
		req, err := http.NewRequestWithContext(ctx, "POST", "https://api.anthropic.com/v1/messages", strings.NewReader(`{"max_tokens": 4000}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "output tokens at first", quota.Stats().Limits[2].Used, 4000)
		read(t, resp, 200)
		pacedhttp.Settle(resp, "output-tokens", 300)
		equal(t, "output tokens at last", quota.Stats().Limits[2].Used, 300)
		equal(t, "input tokens", quota.Stats().Limits[1].Used, 5)
	})
}

func TestOutOfCreditIsDeliveredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const broke = `{"error": {"code": "insufficient_quota"}}`
		api := &service{answer: func(int, *http.Request) *http.Response { return respond(429, broke) }}
		quota, err := recipes.AnthropicQuota()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "body", get(t, recipes.Anthropic(api, quota), "https://api.openai.com/v1/models", 429), broke)
		equal(t, "requests", len(api.seen), 1)
	})
}

func TestShopifysQueriesCostWhatTheyDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(n int, _ *http.Request) *http.Response {
			if n == 1 {
				return respond(200, `{"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}`)
			}
			return respond(200, `{"data": {}, "extensions": {"cost": {"actualQueryCost": 12}}}`)
		}}
		client, shops, err := recipes.Shopify(api)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Post("https://shop.myshopify.com/admin/api/graphql.json", "application/json", strings.NewReader(`{"query": "…"}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := recipes.SettleShopify(resp); err != nil {
			t.Fatal(err)
		}
		equal(t, "sent again after", api.seen[1], time.Second)
		// 200 of the refused one, of which 100 have flowed back, and 12.
		equal(t, "points used", shops.Get("shop.myshopify.com").Stats().Limits[0].Used, 112)
	})
}

func TestStripesEndpointsShareTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(int, *http.Request) *http.Response { return respond(200, "{}") }}
		client, err := recipes.Stripe(api, func(req *http.Request) string { return req.Method + " " + req.URL.Path })
		if err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		for i := range 150 { // 30 for each of five endpoints
			calls.Go(func() { get(t, client, fmt.Sprint("https://api.stripe.com/v1/", i%5), 200) })
		}
		calls.Wait()
		equal(t, "the 100th", api.seen[99], 0)
		equal(t, "the 101st", api.seen[100], time.Second)
		equal(t, "the 150th", api.seen[149], time.Second)
	})
}

func TestDiscordsRoutesLearnAndTheBotPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		global := false
		api := &service{answer: func(_ int, req *http.Request) *http.Response {
			if global {
				global = false
				return respond(429, `{"global": true}`, "Retry-After", "3", "X-RateLimit-Global", "true")
			}
			return respond(200, "{}", "X-RateLimit-Bucket", "abcd", "X-RateLimit-Limit", "5", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset-After", "2.5")
		}}
		client, err := recipes.Discord(api, func(req *http.Request) string { return req.Method + req.URL.Path })
		if err != nil {
			t.Fatal(err)
		}
		get(t, client, "https://discord.com/api/channels/1", 200)
		get(t, client, "https://discord.com/api/channels/2", 200) // another route is free
		equal(t, "another route", api.seen[1], 0)
		get(t, client, "https://discord.com/api/channels/1", 200)
		if again := api.seen[2]; again < 2500*time.Millisecond || again > 3500*time.Millisecond {
			t.Errorf("the route's next request came after %v", again)
		}

		global = true
		began := time.Since(api.began)
		var calls sync.WaitGroup
		calls.Go(func() { get(t, client, "https://discord.com/api/channels/3", 200) })
		synctest.Wait()
		get(t, client, "https://discord.com/api/channels/4", 200) // waits for the bot's pause too
		calls.Wait()
		for _, at := range api.seen[4:] {
			if after := at - began; after < 3*time.Second {
				t.Errorf("sent %v after a global refusal of 3 s", after)
			}
		}
	})
}

func TestWebhooksToAHostThatIsDownAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(_ int, req *http.Request) *http.Response {
			if req.URL.Host == "down.example" {
				return respond(500, "")
			}
			return respond(204, "")
		}}
		client, err := recipes.Webhooks(api)
		if err != nil {
			t.Fatal(err)
		}
		post := func(host string, n int) (*http.Response, error) {
			req, err := http.NewRequest("POST", "https://"+host+"/hook", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Idempotency-Key", strconv.Itoa(n))
			return client.Do(req)
		}
		refused := 0
		for n := range 20 {
			resp, err := post("down.example", n)
			if err == nil {
				resp.Body.Close()
				continue
			}
			refusal, ok := errors.AsType[*pacer.Error](err)
			if !ok || !errors.Is(err, pacer.ErrDown) {
				t.Fatal(err)
			}
			if wait := refusal.Wait(); wait <= 0 || wait > 10*time.Second {
				t.Errorf("try again in %v", wait)
			}
			refused++
		}
		if refused < 10 {
			t.Errorf("%d of 20 were refused", refused)
		}
		resp, err := post("up.example", 0)
		if err != nil {
			t.Fatal(err)
		}
		read(t, resp, 204)
	})
}

func TestARefusedTokenIsFetchedAnewOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		valid := "first"
		api := &service{answer: func(_ int, req *http.Request) *http.Response {
			if req.Header.Get("Authorization") != "Bearer "+valid {
				return respond(401, "")
			}
			return respond(200, "ok")
		}}
		fetched := 0
		tokens := &recipes.Tokens{Fetch: func(context.Context) (string, error) {
			fetched++
			return valid, nil
		}}
		quota := pacer.Burst(10, time.Second)
		client := recipes.WithTokens(api, tokens, quota)
		get(t, client, "https://api.example/", 200)
		valid = "second"
		get(t, client, "https://api.example/", 200)
		equal(t, "fetched", fetched, 2)
		equal(t, "requests", len(api.seen), 3)

		tokens.Fetch = func(context.Context) (string, error) { return "useless", nil }
		valid = "third"
		get(t, client, "https://api.example/", 401)
		equal(t, "requests", len(api.seen), 5)
	})
}
