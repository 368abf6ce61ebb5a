package sdks

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// Kubernetes returns a copy of cfg whose clients keep to short, all but what goes on until
// somebody ends it: watches, logs that are followed, exec, attach, port-forward and proxied
// requests keep to long. So short may bound the requests in flight, of which a watch would be one
// for ever, and have long as its Parent, to share its other limits.
//
// client-go keeps its retryer. That waits where the API server says for how long, by Retry-After,
// also with a POST, and for a GET goes on to another connection where one broke. Its own limit, 5
// requests a second unless Config.QPS says otherwise, is switched off: it knows nothing of what
// other clients do nor of what the server answers.
func Kubernetes(short, long *pacer.Pacer, cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.RateLimiter = -1, nil
	cfg.Wrap(func(base http.RoundTripper) http.RoundTripper {
		return pacedhttp.New(base, pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
			if longRunning(req) {
				return long
			}
			return short
		}))
	})
	return cfg
}

// longRunning reports what the API server does not count either in its --max-requests-inflight.
func longRunning(req *http.Request) bool {
	asked := req.URL.Query()
	return slices.Contains([]string{"true", "1"}, asked.Get("watch")) ||
		slices.Contains([]string{"log", "exec", "attach", "portforward", "proxy"}, path.Base(req.URL.Path)) ||
		strings.Contains(req.URL.Path, "/proxy/") || strings.Contains(req.URL.Path, "/watch/")
}
