package pacedhttp_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

type nullTransport struct{ resp http.Response }

func (n *nullTransport) RoundTrip(*http.Request) (*http.Response, error) { return &n.resp, nil }

func BenchmarkGet(b *testing.B) {
	base := &nullTransport{http.Response{StatusCode: 200, Body: http.NoBody}}
	req, _ := http.NewRequest("GET", "http://x/", nil)
	for name, rt := range map[string]http.RoundTripper{
		"null":       base,
		"retry":      pacedhttp.New(base, pacedhttp.Retry(nil)),
		"pace":       pacedhttp.New(base, pacedhttp.Pace(pacer.Burst(1_000_000, time.Nanosecond))),
		"retry+pace": pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(1_000_000, time.Nanosecond))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rt.RoundTrip(req)
			}
		})
	}
}
