package sdks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
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
	sdk: "anthropic-sdk-go", calls: 60, workers: 30,
	limits: "50/min bucket 50, 30000 input-tokens/min bucket 30000, 8000 output-tokens/min bucket 8000",
	api:    anthropicAPI,
	alone: func(base http.RoundTripper) program {
		return messages(anthropic.NewClient(option.WithAPIKey("key"), option.WithHTTPClient(&http.Client{Transport: base})))
	},
	paced: func(base http.RoundTripper, limits []pacer.Limit) program {
		return messages(sdks.Anthropic(pacer.Must(pacer.Config{Limits: limits}), base, option.WithAPIKey("key")))
	},
}

// messages streams every other answer.
func messages(client anthropic.Client) program {
	return func(ctx context.Context, call int) error {
		params := anthropic.MessageNewParams{
			Model:     "claude-sonnet-4-5",
			MaxTokens: 400,
			Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(fmt.Sprint("number ", call)))},
		}
		var resp *http.Response
		answer := new(anthropic.Message)
		var err error
		if call%2 == 0 {
			answer, err = client.Messages.New(ctx, params, option.WithResponseInto(&resp))
		} else {
			stream := client.Messages.NewStreaming(ctx, params, option.WithResponseInto(&resp))
			defer stream.Close()
			for err == nil && stream.Next() {
				err = answer.Accumulate(stream.Current())
			}
			if err == nil {
				err = stream.Err()
			}
		}
		if err != nil {
			return err
		}
		pacedhttp.Settle(resp, "output-tokens", int(answer.Usage.OutputTokens))
		if text := answer.Content[0].Text; text != "one two three " {
			return fmt.Errorf("got %q", text)
		}
		return nil
	}
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
	api.Answer = func(w http.ResponseWriter, r *vendor.Request) {
		var asked struct{ Stream bool }
		json.Unmarshal(r.Body, &asked)
		if !asked.Stream {
			time.Sleep(2 * time.Second)
			api.Charge("output-tokens", said-1)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"type":"message","role":"assistant","content":[{"type":"text","text":"one two three "}],"usage":{"output_tokens":%d}}`, said)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		tell := func(event, data string) {
			fmt.Fprintf(w, "event: %s\ndata: {\"type\":%q%s}\n\n", event, event, data)
			http.NewResponseController(w).Flush()
		}
		tell("message_start", `,"message":{"type":"message","role":"assistant","content":[],"usage":{"output_tokens":1}}`)
		tell("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`)
		for _, word := range []string{"one", "two", "three"} {
			time.Sleep(500 * time.Millisecond)
			tell("content_block_delta", fmt.Sprintf(`,"index":0,"delta":{"type":"text_delta","text":"%s "}`, word))
		}
		tell("content_block_stop", `,"index":0`)
		api.Charge("output-tokens", said-1)
		tell("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":%d}`, said))
		tell("message_stop", "")
	}
	return api
}

func ExampleAnthropic() {
	limits, err := pacer.ParseLimits("50/min bucket 50, 30000 input-tokens/min bucket 30000, 8000 output-tokens/min bucket 8000")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(anthropicAPI(limits)) // in your program: nil
	defer stop()

	quota := pacer.Must(pacer.Config{Limits: limits})
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
