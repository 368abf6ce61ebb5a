package sdks_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-github/v88/github"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// "Rate limits for the REST API": 30 searches a minute; at most 100 requests at once.
var githubContest = contest{
	sdk: "go-github", call: "GET a search", calls: 90, workers: 10, limits: "30/min", inFlight: 100, maxPause: 2 * time.Minute,
	api: githubAPI,
	alone: func(base http.RoundTripper) program {
		return searches(must(github.NewClient(github.WithTransport(base))))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		return searches(must(sdks.GitHub(pacer.Must(quota), base)))
	},
}

func searches(client *github.Client) program {
	return func(ctx context.Context, call int) error {
		_, _, err := client.Search.Repositories(ctx, fmt.Sprint("rate limit ", call), nil)
		return err
	}
}

func githubAPI(limits []pacer.Limit) *vendor.API {
	return &vendor.API{
		Limits: limits,
		Tell: func(h http.Header, left []vendor.Left) {
			reset := time.Now().Add(left[0].Reset)
			h.Set("X-Ratelimit-Resource", "search")
			h.Set("X-Ratelimit-Limit", strconv.Itoa(left[0].Calls))
			h.Set("X-Ratelimit-Remaining", strconv.Itoa(left[0].Remaining))
			h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset.Add(time.Second-1).Unix(), 10))
		},
		Refuse: func(w http.ResponseWriter, r vendor.Refusal) {
			if r.Calls == 0 { // in flight
				w.Header().Set("Retry-After", "60")
			}
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"API rate limit exceeded"}`)
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"message":"Service unavailable"}`)
		},
		Answer: func(w http.ResponseWriter, _ *vendor.Request) {
			time.Sleep(200 * time.Millisecond)
			fmt.Fprint(w, `{"total_count":1,"items":[{"full_name":"octo/cat"}]}`)
		},
	}
}

// The documentation: if no delay is named, wait for a minute.
func TestGitHubsSecondaryLimitIsWaitedForThoughOnlyItsBodyTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := false
		base, stop := vendor.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !refused {
				refused = true
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"message":"You have exceeded a secondary rate limit."}`)
				return
			}
			fmt.Fprint(w, `{"login":"octocat"}`)
		}))
		defer stop()
		client := must(sdks.GitHub(pacer.Burst(10, time.Minute), base))
		began := time.Now()
		user, _, err := client.Users.Get(t.Context(), "octocat")
		if err != nil || user.GetLogin() != "octocat" {
			t.Fatal(user, err)
		}
		// A tenth more is the jitter of those who wait together.
		if waited := time.Since(began); waited < time.Minute || waited > 66*time.Second {
			t.Errorf("waited for %v, want a minute", waited)
		}
	})
}

func ExampleGitHub() {
	base, stop := vendor.Serve(githubAPI([]pacer.Limit{{Calls: 30, Period: time.Minute}}))
	defer stop()

	limits, err := pacer.ParseLimits("30/min") // of searches; a pacer each for what GitHub counts apart
	if err != nil {
		panic(err)
	}
	quota := pacer.Must(pacer.Config{
		Limits:      limits,
		MaxInFlight: 100, // "About secondary rate limits"
		MaxPause:    2 * time.Minute,
		Margin:      20 * time.Millisecond,
		Outage:      &pacer.Outage{},
	})
	client, err := sdks.GitHub(quota, base)
	if err != nil {
		panic(err)
	}
	found, _, err := client.Search.Repositories(context.Background(), "rate limit", nil)
	fmt.Println(found.GetTotal(), err, quota.Stats().Granted, "slot")
	// Output:
	// 1 <nil> 1 slot
}
