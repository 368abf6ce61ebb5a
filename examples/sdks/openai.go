package sdks

import (
	"net/http"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// OpenAI returns an openai-go client whose requests and retries keep to quota, tokens included.
//
// openai-go keeps its retryer: it repeats a POST after any 5xx and 409, which a layer that knows
// only HTTP must not, and opens a stream anew until its first byte. A request counts as many tokens
// as its prompt and the longest answer that it allows, as OpenAI itself counts them. Its headers
// tell the pacer what is left after that.
func OpenAI(quota *pacer.Pacer, base http.RoundTripper, opts ...option.RequestOption) openai.Client {
	paced := pacedhttp.New(base,
		pacedhttp.Cost("tokens", func(req *http.Request) int {
			return promptTokens(req) + answerTokens("max_completion_tokens")(req)
		}),
		pacedhttp.Pace(quota),
	)
	return openai.NewClient(append([]option.RequestOption{option.WithHTTPClient(paced.Client()), option.WithMaxRetries(attempts - 1)}, opts...)...)
}
