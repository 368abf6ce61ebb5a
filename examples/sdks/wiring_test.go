package sdks_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// Which layers an SDK gets depends on whether it retries by itself.
func Example() {
	base, stop := vendor.Serve(openaiAPI(nil)) // in your program: nil
	defer stop()
	quota := pacer.Burst(10, time.Second)

	paced := pacedhttp.New(base, pacedhttp.Pace(quota)) // for an SDK that retries: its retries take slots too
	ai := openai.NewClient(option.WithHTTPClient(paced.Client()), option.WithAPIKey("key"))
	retried := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(quota)) // for one that does not
	gh, err := github.NewClient(github.WithTransport(retried), github.WithDisableRateLimitCheck())
	if err != nil {
		log.Fatal(err)
	}

	answer, err := ai.Chat.Completions.New(context.Background(), openai.ChatCompletionNewParams{Model: "gpt-4o"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.TrimSpace(answer.Choices[0].Message.Content))
	fmt.Println(gh.UserAgent() != "", quota.Stats().Granted, "request")
	// Output:
	// one two three
	// true 1 request
}
