package sdks_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// "Rate limits", tier 1: buckets of 50 requests, 30,000 input tokens and 8,000 output tokens a minute.
var anthropicContest = contest{
	sdk: "anthropic-sdk-go", call: "POST a message, streamed", calls: 60, workers: 30, maxPause: 2 * time.Minute,
	limits: "50/min bucket 50, 30000 input-tokens/min bucket 30000, 8000 output-tokens/min bucket 8000",
	api:    anthropicAPI,
	alone: func(base http.RoundTripper) program {
		return messages(anthropic.NewClient(option.WithAPIKey("key"), option.WithHTTPClient(&http.Client{Transport: base})))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		return messages(sdks.Anthropic(pacer.Must(quota), base, option.WithAPIKey("key")))
	},
}

func messages(client anthropic.Client) program {
	params := func(prompt string) anthropic.MessageNewParams {
		return anthropic.MessageNewParams{
			Model:     "claude-sonnet-4-5",
			MaxTokens: 400,
			Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))},
		}
	}
	settled := func(answer *anthropic.Message, resp *http.Response) string {
		pacedhttp.Settle(resp, "output-tokens", int(answer.Usage.OutputTokens))
		return answer.Content[0].Text
	}
	return chats(func(ctx context.Context, prompt string) (string, error) {
		var resp *http.Response
		answer, err := client.Messages.New(ctx, params(prompt), option.WithResponseInto(&resp))
		if err != nil {
			return "", err
		}
		return settled(answer, resp), nil
	}, func(ctx context.Context, prompt string) (string, error) {
		var resp *http.Response
		stream := client.Messages.NewStreaming(ctx, params(prompt), option.WithResponseInto(&resp))
		defer stream.Close()
		var answer anthropic.Message
		for stream.Next() {
			if err := answer.Accumulate(stream.Current()); err != nil {
				return "", err
			}
		}
		if err := stream.Err(); err != nil {
			return "", err
		}
		return settled(&answer, resp), nil
	})
}

// said is how many tokens an answer has.
const said = 300

func anthropicAPI(limits []pacer.Limit) *vendor.API {
	api := &vendor.API{
		Limits: limits,
		Cost: func(r *vendor.Request) map[string]int {
			return map[string]int{"input-tokens": len(r.Body) / 4, "output-tokens": 1} // of which more come later
		},
		Tell: func(h http.Header, left []vendor.Left) {
			for _, l := range left {
				unit := "Requests"
				if l.Unit != "" {
					unit = l.Unit
				}
				name := "Anthropic-Ratelimit-" + unit
				h.Set(name+"-Limit", strconv.Itoa(max(l.Calls, l.Cost)))
				h.Set(name+"-Remaining", strconv.Itoa(l.Remaining))
				h.Set(name+"-Reset", time.Now().Add(l.Reset+time.Second-1).UTC().Format(time.RFC3339))
			}
		},
		Refuse: func(w http.ResponseWriter, r vendor.Refusal) {
			w.Header().Set("Retry-After", strconv.Itoa(int((r.Wait+time.Second-1)/time.Second)))
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your rate limit"}}`)
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			w.WriteHeader(529)
			fmt.Fprint(w, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
		},
	}
	api.Answer = model{
		whole: fmt.Sprintf(`{"type":"message","role":"assistant","content":[{"type":"text","text":"one two three "}],"usage":{"output_tokens":%d}}`, said),
		begin: []string{
			"event: message_start\ndata: " + `{"type":"message_start","message":{"type":"message","role":"assistant","content":[],"usage":{"output_tokens":1}}}`,
			"event: content_block_start\ndata: " + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
		},
		word:   "event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`,
		spoken: func() { api.Charge("output-tokens", said-1) },
		end: []string{
			"event: content_block_stop\ndata: " + `{"type":"content_block_stop","index":0}`,
			"event: message_delta\ndata: " + fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":%d}}`, said),
			"event: message_stop\ndata: " + `{"type":"message_stop"}`,
		},
	}.answer
	return api
}

func TestAnthropicsTokensAreTakenBeforeTheAnswerAndSettledAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := parse(t, "50/min, 30000 input-tokens/min, 8000 output-tokens/min")
		quota := pacer.Must(pacer.Config{Limits: limits})
		api := anthropicAPI(limits)
		used := func() [2]int {
			s := quota.Stats()
			return [2]int{s.Limits[1].Used, s.Limits[2].Used}
		}
		var before, want [2]int
		answer := api.Answer
		api.Answer = func(w http.ResponseWriter, r *vendor.Request) {
			before, want = used(), [2]int{int(r.Size) / 4, 400}
			answer(w, r)
		}
		base, stop := vendor.Serve(api)
		defer stop()
		if err := messages(sdks.Anthropic(quota, base, option.WithAPIKey("key")))(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if before != want {
			t.Errorf("before the answer %d tokens are taken, want %d", before, want)
		}
		if want[1] = said; used() != want {
			t.Errorf("after the answer %d tokens are taken, want %d", used(), want)
		}
	})
}

func ExampleAnthropic() {
	limits, err := pacer.ParseLimits("50/min bucket 50, 30000 input-tokens/min bucket 30000, 8000 output-tokens/min bucket 8000")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(anthropicAPI(limits)) // in your program: nil
	defer stop()

	quota := pacer.Must(pacer.Config{Limits: limits, MaxPause: 2 * time.Minute, Outage: &pacer.Outage{}})
	client := sdks.Anthropic(quota, base, option.WithAPIKey("key"))
	var resp *http.Response
	stream := client.Messages.NewStreaming(context.Background(), anthropic.MessageNewParams{
		Model:     "claude-sonnet-4-5",
		MaxTokens: 4000,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("count to three"))},
	}, option.WithResponseInto(&resp))
	defer stream.Close()
	var answer anthropic.Message
	for stream.Next() {
		if err := answer.Accumulate(stream.Current()); err != nil {
			panic(err)
		}
	}
	settled := pacedhttp.Settle(resp, "output-tokens", int(answer.Usage.OutputTokens))
	fmt.Println(strings.TrimSpace(answer.Content[0].Text), stream.Err(), settled, answer.Usage.OutputTokens, "tokens")
	// Output:
	// one two three <nil> true 300 tokens
}
