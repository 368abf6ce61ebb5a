package sdks

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// Slack returns a slack-go client that keeps to quotas, which has one for each method of the Web
// API, as Slack counts them, under names such as "users.info"; messages, of which a channel takes
// one a second, come under "chat.postMessage C0123". Files are uploaded to other addresses, and
// those are not paced.
//
// slack-go does not retry unless it is told to, and then only what was throttled. Retry does both
// better: it may repeat any method that was throttled, and one that only reads after any failure.
// Everything is a POST to Slack; that a method reads, its name tells. A message is not sent again
// after a 503: it may have been posted.
func Slack(quotas *pacer.Keyed, base http.RoundTripper, token string, opts ...slack.Option) *slack.Client {
	paced := pacedhttp.New(base,
		slackReads,
		pacedhttp.Retry(nil),
		pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
			if method, ok := slackMethod(req); ok {
				return quotas.Get(method + slackChannel(method, req))
			}
			return nil
		}),
	)
	return slack.New(token, append(slices.Clip(opts), slack.OptionHTTPClient(paced.Client()))...)
}

func slackMethod(req *http.Request) (string, bool) {
	dir, method := path.Split(req.URL.Path)
	return method, dir == "/api/"
}

// slackChannel names the channel of a message, which is in the form that is posted.
func slackChannel(method string, req *http.Request) string {
	if method != "chat.postMessage" || req.GetBody == nil {
		return ""
	}
	body, err := req.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	form := http.Request{Method: req.Method, Header: req.Header, Body: body}
	return " " + form.PostFormValue("channel")
}

// slackReads marks what only reads.
func slackReads(next http.RoundTripper) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		method, _ := slackMethod(req)
		verb := method[strings.LastIndexByte(method, '.')+1:]
		if slices.Contains([]string{"info", "list", "history", "replies", "members", "get", "lookupByEmail", "getPermalink", "test"}, verb) {
			req = req.Clone(req.Context())
			mayRepeat(req.Header)
		}
		return next.RoundTrip(req)
	})
}
