package retrypolicy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What services answer, as they document it, and what is made of it.

// A reply is what a service answers: its status, its header in pairs, its body.
type reply struct {
	status int
	header []string
	body   string
}

func (r reply) to(method string, header ...string) Attempt {
	resp := response(r.status, r.header...)
	if r.body != "" {
		resp.Body = io.NopCloser(strings.NewReader(r.body))
	}
	return Attempt{Number: 1, Request: request(method, header...), Response: resp, Replayable: true}
}

const (
	unixNow         = 946684800 // 2000-01-01 00:00:00 UTC, when a bubble begins
	inTwentyMinutes = "946686000"
)

var (
	githubPrimary = reply{403, []string{
		"X-Ratelimit-Limit", "5000", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Used", "5000",
		"X-Ratelimit-Reset", inTwentyMinutes, "X-Ratelimit-Resource", "core", "Content-Type", "application/json; charset=utf-8",
	}, `{"message":"API rate limit exceeded for user ID 1.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api","status":"403"}`}
	githubSecondary = reply{403, []string{
		"Retry-After", "60", "X-Ratelimit-Limit", "5000", "X-Ratelimit-Remaining", "4982", "X-Ratelimit-Reset", inTwentyMinutes,
	}, `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`}
	githubSecondaryInBody = reply{403, []string{
		"X-Ratelimit-Limit", "5000", "X-Ratelimit-Remaining", "4982", "X-Ratelimit-Reset", inTwentyMinutes,
	}, githubSecondary.body}
	githubForbidden = reply{403, []string{
		"X-Ratelimit-Limit", "5000", "X-Ratelimit-Remaining", "4981", "X-Ratelimit-Reset", inTwentyMinutes,
	}, `{"message":"Resource not accessible by integration","documentation_url":"https://docs.github.com/rest"}`}

	openAIRate  = reply{429, []string{"Retry-After", "20", "Retry-After-Ms", "19820"}, `{"error":{"message":"Rate limit reached for requests","type":"requests","param":null,"code":"rate_limit_exceeded"}}`}
	openAIBroke = reply{429, nil, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`}
	openAINo    = reply{429, []string{"X-Should-Retry", "false"}, openAIBroke.body}
	openAIYes   = reply{500, []string{"X-Should-Retry", "true"}, `{"error":{"message":"The server had an error processing your request","type":"server_error"}}`}

	dynamoThrottled = reply{400, []string{"Content-Type", "application/x-amz-json-1.0", "X-Amzn-Requestid", "A1"}, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"The level of configured provisioned throughput for the table was exceeded."}`}
	dynamoInvalid   = reply{400, dynamoThrottled.header, `{"__type":"com.amazon.coral.validate#ValidationException","message":"Invalid KeyConditionExpression"}`}

	stripeLocked = reply{409, []string{"Stripe-Should-Retry", "true", "Idempotent-Replayed", "false"}, `{"error":{"type":"idempotency_error"}}`}
	stripeRate   = reply{429, []string{"Stripe-Should-Retry", "true", "Stripe-Rate-Limited-Reason", "global-rate"}, `{"error":{"code":"rate_limit"}}`}
	stripeFinal  = reply{500, []string{"Stripe-Should-Retry", "false"}, `{"error":{"type":"api_error"}}`}

	anthropicOverloaded = reply{529, []string{"X-Should-Retry", "true"}, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`}
	anthropicSilent     = reply{529, nil, anthropicOverloaded.body}

	tooLargeNow = reply{413, []string{"Retry-After", "30"}, ""}
	tooLarge    = reply{413, nil, ""}
	changed     = reply{412, []string{"Etag", `"v2"`}, ""}
)

func cloudflare(status int) reply {
	return reply{status, []string{"Server", "cloudflare", "Cf-Ray", "8f0a", "Content-Type", "text/html"}, "<!DOCTYPE html><title>error</title>"}
}

// secondary knows GitHub's limit that the body alone tells of, and that it lasts a minute.
func secondary(resp *http.Response, now time.Time) (time.Duration, bool) {
	if d, said := RetryAfter(resp.Header, now); said {
		return d, true
	}
	return time.Minute, resp.StatusCode == 403 && bytes.Contains((Attempt{Response: resp}).Peek(4*kib), []byte("secondary rate limit"))
}

// errorCode reads what the body of one reply says, as a program that knows its service does.
func errorCode(a Attempt) string {
	var answer struct {
		Type  string `json:"__type"`
		Error struct{ Code string }
	}
	if json.Unmarshal(a.Peek(64*kib), &answer) != nil {
		return ""
	}
	_, name, _ := strings.Cut(answer.Type, "#")
	return name + answer.Error.Code
}

// byBody is a Classifier that knows DynamoDB and OpenAI.
func byBody(a Attempt) Verdict {
	if a.Response != nil && a.Response.StatusCode >= 400 {
		switch errorCode(a) {
		case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded":
			return Throttled
		case "insufficient_quota":
			return Accept
		}
	}
	return DefaultClassifier(a)
}

func TestWhatServicesAnswerIsToldApart(t *testing.T) {
	const s = time.Second
	ifMatch := []string{"If-Match", `"v1"`}
	github, codes := Config{ServerDelay: secondary, MaxRetryAfter: time.Hour}, Config{Classify: byBody}
	for _, c := range []struct {
		name    string
		cfg     Config
		reply   reply
		method  string
		header  []string
		verdict Verdict
		reason  Reason        // why it is not retried; empty if it is
		low     time.Duration // the delay, at least; at most a tenth more
	}{
		{"GitHub, primary", Config{MaxRetryAfter: time.Hour}, githubPrimary, "POST", nil, Throttled, "", 1200 * s},
		{"GitHub, primary, a default policy", Config{}, githubPrimary, "GET", nil, Throttled, ReasonRetryAfterTooLong, 0},
		{"GitHub, secondary", Config{}, githubSecondary, "POST", nil, Throttled, "", 60 * s},
		{"GitHub, secondary in the body alone", github, githubSecondaryInBody, "POST", nil, Throttled, "", 60 * s},
		{"GitHub, the same, by the header", Config{}, githubSecondaryInBody, "GET", nil, Accept, ReasonAccepted, 0},
		{"GitHub, forbidden", github, githubForbidden, "GET", nil, Accept, ReasonAccepted, 0},
		{"GitHub, primary, asked of the body too", github, githubPrimary, "GET", nil, Throttled, "", 1200 * s},

		{"OpenAI, too fast", codes, openAIRate, "POST", nil, Throttled, "", 19820 * time.Millisecond},
		{"OpenAI, no money left", codes, openAIBroke, "POST", nil, Accept, ReasonAccepted, 0},
		{"OpenAI, the same, by the header", Config{}, openAIBroke, "POST", nil, Throttled, "", s},
		{"OpenAI, says not to", Config{}, openAINo, "POST", nil, Accept, ReasonAccepted, 0},
		{"OpenAI, says to", Config{Backoff: Constant(s)}, openAIYes, "POST", nil, Unprocessed, "", s},

		{"DynamoDB, throttled", codes, dynamoThrottled, "POST", nil, Throttled, "", s},
		{"DynamoDB, the same, by the header", Config{}, dynamoThrottled, "POST", nil, Accept, ReasonAccepted, 0},
		{"DynamoDB, invalid", codes, dynamoInvalid, "POST", nil, Accept, ReasonAccepted, 0},

		{"Stripe, a lock", Config{Backoff: Constant(s)}, stripeLocked, "POST", nil, Unprocessed, "", s},
		{"Stripe, too fast", Config{}, stripeRate, "POST", nil, Throttled, "", s},
		{"Stripe, final", Config{}, stripeFinal, "GET", nil, Accept, ReasonAccepted, 0},

		{"Anthropic, overloaded", Config{}, anthropicOverloaded, "POST", nil, Throttled, "", s},
		{"Anthropic, overloaded, no word of a retry", Config{}, anthropicSilent, "POST", nil, Throttled, "", s},

		{"Cloudflare 520", Config{Backoff: Constant(s)}, cloudflare(520), "GET", nil, Transient, "", s},
		{"Cloudflare 521", Config{Backoff: Constant(s)}, cloudflare(521), "PUT", nil, Transient, "", s},
		{"Cloudflare 522", Config{}, cloudflare(522), "POST", nil, Transient, ReasonMethodNotIdempotent, 0},
		{"Cloudflare 523", Config{Backoff: Constant(s)}, cloudflare(523), "POST", []string{"Idempotency-Key", "k"}, Transient, "", s},
		{"Cloudflare 524", Config{}, cloudflare(524), "DELETE", ifMatch, Transient, ReasonMethodNotIdempotent, 0},
		{"Cloudflare 525", Config{}, cloudflare(525), "GET", nil, Accept, ReasonAccepted, 0},

		{"too large now", Config{}, tooLargeNow, "POST", nil, Unprocessed, "", 30 * s},
		{"too large", Config{}, tooLarge, "POST", nil, Accept, ReasonAccepted, 0},
		{"changed meanwhile", Config{}, changed, "PUT", ifMatch, Accept, ReasonAccepted, 0},
		{"a conditional PUT that may be done", Config{}, cloudflare(502), "PUT", ifMatch, Transient, ReasonMethodNotIdempotent, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if now := time.Now().Unix(); now != unixNow {
					t.Fatalf("a bubble begins at %d", now)
				}
				a := c.reply.to(c.method, c.header...)
				d := Must(c.cfg).Next(t.Context(), a)
				if d.Verdict != c.verdict || d.Reason != c.reason || d.Delay < c.low || d.Delay > c.low+c.low/10 {
					t.Errorf("got %+v, want %v, reason %q, from %v", d, c.verdict, c.reason, c.low)
				}
				if body, err := io.ReadAll(a.Response.Body); string(body) != c.reply.body || err != nil {
					t.Errorf("the caller reads %q, %v", body, err)
				}
			})
		})
	}
}

func TestThrottlingThatOnlyTheBodyTellsWaitsLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var delays []time.Duration
		p := Must(Config{Classify: byBody})
		for n := 1; n < 4; n++ {
			a := dynamoThrottled.to("POST")
			a.Number = n
			delays = append(delays, p.Next(t.Context(), a).Delay)
		}
		if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}; !slices.Equal(delays, want) {
			t.Errorf("delays are %v, want %v", delays, want)
		}
	})
}
