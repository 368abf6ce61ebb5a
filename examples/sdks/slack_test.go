package sdks_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slack-go/slack"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// "Rate limits", tier 4: users.info 100 times a minute.
var slackContest = contest{
	sdk: "slack-go", call: "POST that reads a user", calls: 150, workers: 30, limits: "100/min", maxPause: 2 * time.Minute,
	api: slackAPI,
	alone: func(base http.RoundTripper) program {
		return users(slack.New("token", slack.OptionHTTPClient(&http.Client{Transport: base})))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		quotas := must(pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer { return pacer.Must(quota) }}))
		return users(sdks.Slack(quotas, base, "token"))
	},
}

func users(client *slack.Client) program {
	return func(ctx context.Context, call int) error {
		_, err := client.GetUserInfoContext(ctx, fmt.Sprint("U", call))
		return err
	}
}

func slackAPI(limits []pacer.Limit) *vendor.API {
	return &vendor.API{
		Limits: limits,
		Refuse: func(w http.ResponseWriter, r vendor.Refusal) {
			w.Header().Set("Retry-After", strconv.Itoa(int((r.Wait+time.Second-1)/time.Second)))
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"ok":false,"error":"ratelimited"}`)
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `<html>Slack is having trouble</html>`)
		},
		Answer: func(w http.ResponseWriter, _ *vendor.Request) {
			time.Sleep(100 * time.Millisecond)
			fmt.Fprint(w, `{"ok":true,"user":{"id":"U1","name":"ada"},"channel":"C1","ts":"1.2"}`)
		},
	}
}

// post posts a message to a channel.
func post(ctx context.Context, client *slack.Client, channel string) error {
	_, _, err := client.PostMessageContext(ctx, channel, slack.MsgOptionText("hello", false))
	return err
}

// slackQuotas are one for each channel, for what this file posts.
func slackQuotas() *pacer.Keyed {
	return must(pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer { return pacer.Burst(1, time.Second) }}))
}

func TestSlacksChannelsAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, stop := vendor.Serve(slackAPI(nil))
		defer stop()
		client := sdks.Slack(slackQuotas(), base, "token")
		began := time.Now()
		for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 1100 * time.Millisecond, 1200 * time.Millisecond} {
			channel := []string{"C1", "C2"}[i%2]
			if err := post(t.Context(), client, channel); err != nil {
				t.Fatal(err)
			}
			if at := time.Since(began); at != want {
				t.Errorf("message %d was posted after %v, want %v", i, at, want)
			}
		}
	})
}

func TestSlacksMessageIsPostedAgainOnlyIfItWasNot(t *testing.T) {
	for status, want := range map[int]int{http.StatusTooManyRequests: 2, http.StatusServiceUnavailable: 1} {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			api := slackAPI(nil)
			base, stop := vendor.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests++; requests == 1 {
					w.WriteHeader(status)
					return
				}
				api.ServeHTTP(w, r)
			}))
			defer stop()
			err := post(t.Context(), sdks.Slack(slackQuotas(), base, "token"), "C1")
			if requests != want || (err == nil) != (want == 2) {
				t.Errorf("after a %d: %d requests, want %d, and %v", status, requests, want, err)
			}
		})
	}
}

func ExampleSlack() {
	base, stop := vendor.Serve(slackAPI(nil)) // in your program: nil
	defer stop()

	perMinute := map[string]int{ // "Rate limits": the tiers of the methods that you use
		"users.info":         100,
		"conversations.list": 20,
	}
	quotas, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(method string) *pacer.Pacer {
		limit := pacer.Limit{Calls: 1, Period: time.Second} // of messages to a channel
		if calls, ok := perMinute[method]; ok {
			limit = pacer.Limit{Calls: calls, Period: time.Minute}
		}
		return pacer.Must(pacer.Config{Limits: []pacer.Limit{limit}, MaxPause: 2 * time.Minute, Outage: &pacer.Outage{}})
	}})
	if err != nil {
		panic(err)
	}
	client := sdks.Slack(quotas, base, "xoxb-token")
	user, err := client.GetUserInfo("U1")
	if err != nil {
		panic(err)
	}
	_, _, err = client.PostMessage("C1", slack.MsgOptionText("hello "+user.Name, false))
	fmt.Println(user.Name, err, quotas.Len(), "quotas")
	// Output:
	// ada <nil> 2 quotas
}
