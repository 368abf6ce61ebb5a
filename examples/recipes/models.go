package recipes

import (
	"bytes"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// AnthropicQuota is that of tier 1: buckets that fill up evenly, in the units of the service's
// headers. OpenAI's would be "500/min, 30000 tokens/min".
func AnthropicQuota() (*pacer.Pacer, error) {
	limits, err := pacer.ParseLimits("50/min bucket 50, 30000 input-tokens/min bucket 30000, 8000 output-tokens/min bucket 8000")
	if err != nil {
		return nil, err
	}
	return pacer.New(pacer.Config{Limits: limits})
}

// Anthropic returns a client of the service. What an answer may cost is the caller's max_tokens,
// so it comes in the context: pacer.WithCost(ctx, "output-tokens", max).
func Anthropic(base http.RoundTripper, quota *pacer.Pacer) *http.Client {
	prompt := func(req *http.Request) int { return int(req.ContentLength) / 4 }
	policy := retrypolicy.Must(retrypolicy.Config{
		Classify:      withoutCredit,
		MaxRetryAfter: 2 * time.Minute,
	})
	return pacedhttp.New(base,
		pacedhttp.Cost("input-tokens", prompt),
		pacedhttp.Retry(policy),
		pacedhttp.Pace(quota),
	).Client()
}

// withoutCredit delivers at once what waiting cannot mend: OpenAI answers 429 to who has no money left, too.
func withoutCredit(a retrypolicy.Attempt) retrypolicy.Verdict {
	if a.Response != nil && a.Response.StatusCode == 429 && bytes.Contains(a.Peek(4<<10), []byte(`"insufficient_quota"`)) {
		return retrypolicy.Accept
	}
	return retrypolicy.DefaultClassifier(a)
}
