package recipes

import (
	"context"
	"net/http"
	"sync"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A Tokens holds an access token, and fetches another when that is refused.
type Tokens struct {
	Fetch func(context.Context) (string, error) // by a client of its own

	mu    sync.Mutex
	value string
}

// Get returns the token, fetched if there is none.
func (t *Tokens) Get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if t.value == "" {
		t.value, err = t.Fetch(ctx)
	}
	return t.value, err
}

// Refused forgets a token, unless another has been fetched meanwhile.
func (t *Tokens) Refused(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == token {
		t.value = ""
	}
}

// WithTokens returns a client that shows a token, and after a 401 sends once more with another.
func WithTokens(base http.RoundTripper, tokens *Tokens, quota *pacer.Pacer) *http.Client {
	type key struct{}
	authorize := func(next http.RoundTripper) http.RoundTripper { // above Pace: to fetch a token takes its time
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			token, err := tokens.Get(req.Context())
			if err != nil {
				if req.Body != nil {
					req.Body.Close()
				}
				return nil, err
			}
			resp, err := next.RoundTrip(req.WithContext(context.WithValue(req.Context(), key{}, token)))
			if err == nil && resp.StatusCode == http.StatusUnauthorized {
				tokens.Refused(token)
			}
			return resp, err
		})
	}
	policy := retrypolicy.Must(retrypolicy.Config{Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
		if a.Number == 1 && a.Response != nil && a.Response.StatusCode == http.StatusUnauthorized {
			return retrypolicy.Unprocessed
		}
		return retrypolicy.DefaultClassifier(a)
	}})
	return pacedhttp.New(base, pacedhttp.Retry(policy), authorize, pacedhttp.Pace(quota),
		pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error { // not for a host that it is redirected to
			req.Header.Set("Authorization", "Bearer "+req.Context().Value(key{}).(string))
			return nil
		})).Client()
}
