package sdks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// "Rate limits", tier 1: 500 requests and 30,000 tokens a minute.
var openaiContest = contest{
	sdk: "openai-go", calls: 80, workers: 40, limits: "500/min, 30000 tokens/min",
	api: openaiAPI,
	alone: func(base http.RoundTripper) program {
		return completions(openai.NewClient(option.WithAPIKey("key"), option.WithHTTPClient(&http.Client{Transport: base})))
	},
	paced: func(base http.RoundTripper, limits []pacer.Limit) program {
		return completions(sdks.OpenAI(pacer.Must(pacer.Config{Limits: limits}), base, option.WithAPIKey("key")))
	},
}

// completions streams every other answer.
func completions(client openai.Client) program {
	return func(ctx context.Context, call int) error {
		params := openai.ChatCompletionNewParams{
			Model:               openai.ChatModelGPT4o,
			Messages:            []openai.ChatCompletionMessageParamUnion{openai.UserMessage(fmt.Sprint("number ", call))},
			MaxCompletionTokens: openai.Int(900),
		}
		if call%2 == 0 {
			answer, err := client.Chat.Completions.New(ctx, params)
			if err == nil && answer.Choices[0].Message.Content != "one two three " {
				err = fmt.Errorf("got %q", answer.Choices[0].Message.Content)
			}
			return err
		}
		stream := client.Chat.Completions.NewStreaming(ctx, params)
		defer stream.Close()
		var text strings.Builder
		for stream.Next() {
			for _, choice := range stream.Current().Choices {
				text.WriteString(choice.Delta.Content)
			}
		}
		if stream.Err() == nil && text.String() != "one two three " {
			return fmt.Errorf("got %q", text.String())
		}
		return stream.Err()
	}
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
		Answer: func(w http.ResponseWriter, r *vendor.Request) {
			var asked struct{ Stream bool }
			json.Unmarshal(r.Body, &asked)
			if !asked.Stream {
				time.Sleep(2 * time.Second)
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"one two three "}}]}`)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for _, word := range []string{"one", "two", "three"} {
				time.Sleep(500 * time.Millisecond)
				fmt.Fprintf(w, "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s \"}}]}\n\n", word)
				http.NewResponseController(w).Flush()
			}
			fmt.Fprint(w, "data: [DONE]\n\n")
		},
	}
}

func ExampleOpenAI() {
	limits, err := pacer.ParseLimits("500/min, 30000 tokens/min")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(openaiAPI(limits)) // in your program: nil
	defer stop()

	quota := pacer.Must(pacer.Config{Limits: limits})
	client := sdks.OpenAI(quota, base, option.WithAPIKey("key"))
	stream := client.Chat.Completions.NewStreaming(context.Background(), openai.ChatCompletionNewParams{
		Model:               openai.ChatModelGPT4o,
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
