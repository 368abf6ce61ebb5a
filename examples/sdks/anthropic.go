package sdks

import (
	"net/http"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// Anthropic returns a client of Anthropic's SDK whose requests and retries keep to quota, which
// counts "input-tokens" and "output-tokens" as the service's headers do.
//
// The SDK keeps its retryer, for the same reasons as [OpenAI]'s; it also sends again where the
// answer breaks off. The service counts output as it comes, so settle what an answer really used.
// A timeout by option.WithRequestTimeout begins before the wait for a slot.
func Anthropic(quota *pacer.Pacer, base http.RoundTripper, opts ...option.RequestOption) anthropic.Client {
	paced := pacedhttp.New(base,
		pacedhttp.Cost("input-tokens", promptTokens),
		pacedhttp.Cost("output-tokens", answerTokens("max_tokens")),
		pacedhttp.Pace(quota),
	)
	return anthropic.NewClient(append([]option.RequestOption{option.WithHTTPClient(paced.Client()), option.WithMaxRetries(attempts - 1)}, opts...)...)
}
