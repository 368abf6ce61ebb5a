package sdks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// "Rate limits", tier 1: 500 requests and 30,000 tokens a minute.
var openaiContest = contest{
	sdk: "openai-go", call: "POST a chat completion, streamed", calls: 80, workers: 40, limits: "500/min, 30000 tokens/min", maxPause: 2 * time.Minute,
	api: openaiAPI,
	alone: func(base http.RoundTripper) program {
		return completions(openai.NewClient(option.WithAPIKey("key"), option.WithHTTPClient(&http.Client{Transport: base})))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		return completions(sdks.OpenAI(pacer.Must(quota), base, option.WithAPIKey("key")))
	},
}

func completions(client openai.Client) program {
	params := func(prompt string) openai.ChatCompletionNewParams {
		return openai.ChatCompletionNewParams{
			Model:               openai.ChatModelGPT5_5,
			Messages:            []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
			MaxCompletionTokens: openai.Int(900),
		}
	}
	return chats(func(ctx context.Context, prompt string) (string, error) {
		answer, err := client.Chat.Completions.New(ctx, params(prompt))
		if err != nil {
			return "", err
		}
		return answer.Choices[0].Message.Content, nil
	}, func(ctx context.Context, prompt string) (text string, err error) {
		stream := client.Chat.Completions.NewStreaming(ctx, params(prompt))
		defer stream.Close()
		for stream.Next() {
			for _, choice := range stream.Current().Choices {
				text += choice.Delta.Content
			}
		}
		return text, stream.Err()
	})
}

func openaiAPI(limits []pacer.Limit) *vendor.API {
	return &vendor.API{
		Limits: limits,
		Cost: func(r *vendor.Request) map[string]int {
			var asked struct {
				Most int `json:"max_completion_tokens"`
			}
			json.Unmarshal(r.Body, &asked)
			return map[string]int{"tokens": len(r.Body)/4 + asked.Most}
		},
		Tell: func(h http.Header, left []vendor.Left) {
			for _, l := range left {
				unit := "requests"
				if l.Unit != "" {
					unit = l.Unit
				}
				h.Set("X-Ratelimit-Limit-"+unit, strconv.Itoa(max(l.Calls, l.Cost)))
				h.Set("X-Ratelimit-Remaining-"+unit, strconv.Itoa(l.Remaining))
				h.Set("X-Ratelimit-Reset-"+unit, l.Reset.String())
			}
		},
		Refuse: func(w http.ResponseWriter, r vendor.Refusal) {
			w.Header().Set("Retry-After-Ms", strconv.FormatInt(r.Wait.Milliseconds()+1, 10))
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}`)
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"message":"The engine is currently overloaded","type":"server_error"}}`)
		},
		Answer: model{
			whole: `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"one two three "}}]}`,
			word:  `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%q}}]}`,
			end:   []string{"data: [DONE]"},
		}.answer,
	}
}

func ExampleOpenAI() {
	limits, err := pacer.ParseLimits("500/min, 30000 tokens/min")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(openaiAPI(limits)) // in your program: nil
	defer stop()

	quota := pacer.Must(pacer.Config{Limits: limits, MaxPause: 2 * time.Minute, Outage: &pacer.Outage{}})
	client := sdks.OpenAI(quota, base, option.WithAPIKey("key")) // a nil base is a pooled transport
	stream := client.Chat.Completions.NewStreaming(context.Background(), openai.ChatCompletionNewParams{
		Model:               openai.ChatModelGPT5_5,
		Messages:            []openai.ChatCompletionMessageParamUnion{openai.UserMessage("count to three")},
		MaxCompletionTokens: openai.Int(900),
	})
	defer stream.Close()
	for stream.Next() {
		fmt.Print(stream.Current().Choices[0].Delta.Content)
	}
	fmt.Println(stream.Err())
	fmt.Println(quota.Stats().Limits[1].Used, "tokens")
	// Output:
	// one two three <nil>
	// 929 tokens
}
