package recipes_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/oauth2"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/examples/recipes"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// In real time, as this library's goroutines live outside any bubble; but no time is measured.
func TestEachHedgeTakesASlot(t *testing.T) {
	hedged := make(chan struct{})
	api := &service{answer: func(n int, req *http.Request) *http.Response {
		if n == 1 {
			<-hedged // the first is slow
		} else {
			close(hedged)
		}
		return respond(200, "ok")
	}}
	quota := pacer.Burst(10, time.Second)
	client, err := recipes.Hedged(api, quota, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	get(t, client, "https://api.example/", 200)
	equal(t, "slots", quota.Stats().Granted, 2)
}

func TestWhatTheCacheAnswersTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(int, *http.Request) *http.Response {
			return respond(200, "ok", "Cache-Control", "max-age=60", "Date", time.Now().UTC().Format(http.TimeFormat))
		}}
		quota := pacer.Burst(1, time.Hour)
		client := recipes.Cached(api, quota)
		for range 3 {
			equal(t, "body", get(t, client, "https://api.example/", 200), "ok")
		}
		equal(t, "slots", quota.Stats().Granted, 1)
	})
}

func TestAnOpenBreakerAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(int, *http.Request) *http.Response { return respond(500, "") }}
		quota := pacer.Burst(100, time.Second)
		client := recipes.Broken(api, quota)
		for range 5 {
			get(t, client, "https://api.example/", 500) // the service's own answer
		}
		if _, err := client.Get("https://api.example/"); !errors.Is(err, gobreaker.ErrOpenState) {
			t.Errorf("got %v, want %v", err, gobreaker.ErrOpenState)
		}
		equal(t, "requests", len(api.seen), 5*4)
	})
}

func TestWhoGivesUpOpensNoBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &service{answer: func(int, *http.Request) *http.Response { return respond(200, "ok") }}
		quota := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Hour}}, MaxWaiting: 1})
		client := recipes.Broken(api, quota)
		get(t, client, "https://api.example/", 200)
		for range 6 { // a sixth would meet an open breaker
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			req, err := http.NewRequestWithContext(ctx, "GET", "https://api.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Do(req); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		var waiting sync.WaitGroup
		waiting.Go(func() { get(t, client, "https://api.example/", 200) })
		synctest.Wait()
		for range 6 {
			if _, err := client.Get("https://api.example/"); !errors.Is(err, pacer.ErrQueueFull) {
				t.Fatal(err)
			}
		}
		waiting.Wait()
	})
}

func TestThreeCallsOfTwoAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := httpmock.NewMockTransport()
		api.RegisterResponder("GET", "https://api.example/orders", httpmock.NewStringResponder(503, "").Then(httpmock.NewStringResponder(200, "ok")))
		client := pacedhttp.New(api, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(2, time.Minute))).Client()

		began := time.Now()
		get(t, client, "https://api.example/orders", 200) // two requests
		get(t, client, "https://api.example/orders", 200)
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %v", waited)
		}
		equal(t, "requests", api.GetTotalCallCount(), 3)
	})
}

// hasChain tells whether a client still goes through a chain of ours. A test of a program's wiring
// may ask that too, and its chain.Check() as well.
func hasChain(client *http.Client) bool {
	_, ok := client.Transport.(*pacedhttp.Transport)
	return ok
}

func TestWhatTakesTheChainAway(t *testing.T) {
	chain := pacedhttp.New(nil, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(2, time.Minute)))

	client := chain.Client()
	httpmock.ActivateNonDefault(client) // replaces the Transport: the test never meets the chain
	equal(t, "after httpmock.ActivateNonDefault", hasChain(client), false)
	httpmock.DeactivateAndReset()
	equal(t, "after Deactivate", hasChain(client), true)

	httpmock.Activate() // replaces http.DefaultTransport, which a chain with a nil base does not use
	registered := false
	httpmock.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
		registered = true
		return nil, errors.New("not expected")
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1:1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Client().Do(req); err == nil || registered {
		t.Errorf("got %v, mock asked: %v", err, registered)
	}
	httpmock.DeactivateAndReset()

	// oauth2 keeps the chain, as the base of its own transport.
	ctx = context.WithValue(t.Context(), oauth2.HTTPClient, chain.Client())
	authorized := oauth2.NewClient(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"}))
	equal(t, "base of oauth2's transport", authorized.Transport.(*oauth2.Transport).Base == http.RoundTripper(chain), true)
}
