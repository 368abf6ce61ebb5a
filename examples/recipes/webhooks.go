package recipes

import (
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Webhooks returns a client that delivers to thousands of hosts: 5 a second and 2 at once to each,
// 500 a second in all. A host that is down is probed, and everything else for it is refused at
// once, with pacer.ErrDown, so that no worker waits for it: put such a delivery back into your
// own queue for as long as the error's Wait says.
func Webhooks(base http.RoundTripper) (*http.Client, error) {
	egress := pacer.Burst(500, time.Second)
	hosts, err := pacer.NewKeyed(pacer.KeyedConfig{
		New: func(host string) *pacer.Pacer {
			return pacer.Must(pacer.Config{
				Parent:      egress,
				Limits:      []pacer.Limit{{Calls: 5, Period: time.Second}},
				MaxInFlight: 2,
				Outage:      &pacer.Outage{Refuse: true},
				Coarse:      true, // a millisecond matters to nobody
			})
		},
		MaxKeys: 50_000,
	})
	if err != nil {
		return nil, err
	}
	policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 3, AttemptTimeout: 10 * time.Second})
	return pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
		return hosts.Get(req.URL.Host)
	})).Client(), nil
}
