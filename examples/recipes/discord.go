package recipes

import (
	"context"
	"net/http"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// Discord returns a bot's client: 50 requests a second in all, and for each route, which route
// tells of a request, what the headers of its answers say.
func Discord(base http.RoundTripper, route func(*http.Request) string) (*http.Client, error) {
	bot := pacer.Burst(50, time.Second)
	routes, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer {
		// The limit is that of the bot: so this pacer has limits, and hears what servers say.
		return pacer.Must(pacer.Config{Parent: bot, Limits: []pacer.Limit{{Calls: 50, Period: time.Second}}})
	}})
	if err != nil {
		return nil, err
	}
	return pacedhttp.New(base,
		pacedhttp.Observe(pacedhttp.Hooks{Paused: func(_ context.Context, i pacedhttp.PauseInfo) {
			if i.Response != nil && i.Response.Header.Get("X-RateLimit-Global") != "" {
				bot.PauseUntil(i.Until)
			}
		}}),
		pacedhttp.Retry(nil),
		pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter { return routes.Get(route(req)) }),
	).Client(), nil
}
