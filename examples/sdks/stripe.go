package sdks

import (
	"bytes"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v82"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Stripe returns a client of stripe-go whose requests and retries keep to quota.
//
// stripe-go's retryer is switched off, and Retry takes its place. That one ends a call with the
// first answer of 400 or more whose body is an error of the API, a 429 and a 503 among them, and
// repeats little more than broken connections. What it knows of a POST it writes into the
// request, an Idempotency-Key, so that a layer that knows only HTTP may repeat it as well.
func Stripe(quota *pacer.Pacer, base http.RoundTripper, key string, cfg stripe.BackendConfig) *stripe.Client {
	cfg.HTTPClient = pacedhttp.New(base, pacedhttp.Retry(stripeRetries), pacedhttp.Pace(quota)).Client()
	cfg.MaxNetworkRetries = stripe.Int64(0)
	return stripe.NewClient(key, stripe.WithBackends(stripe.NewBackendsWithConfig(&cfg)))
}

var stripeRetries = retrypolicy.Must(retrypolicy.Config{
	// A 429 may also say that somebody else holds the lock of an object. That is between the two,
	// and holds nobody else back.
	Classify: retrypolicy.First(func(a retrypolicy.Attempt) retrypolicy.Verdict {
		if a.Response != nil && a.Response.StatusCode == http.StatusTooManyRequests && bytes.Contains(a.Peek(1024), []byte(`"lock_timeout"`)) {
			return retrypolicy.Unprocessed
		}
		return retrypolicy.Accept // the next is asked
	}, retrypolicy.DefaultClassifier),
	AttemptTimeout: 80 * time.Second, // as stripe-go's own http.Client has it, which would count the wait too
})
