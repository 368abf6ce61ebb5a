package pacedhttp_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestConformanceOfHooks(t *testing.T) {
	const s = time.Second
	replies := []reply{{status: 503, delay: s / 2}, {status: 429}, {status: 500, delay: s}}
	overEveryBase(t, replies, func(t *testing.T, base http.RoundTripper, _ *peer) {
		j := newJournal()
		rt := pacedhttp.New(base,
			pacedhttp.Observe(j.hooks()),
			pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)),
			pacedhttp.Retry(policyOf(3, 2*s)),
			pacedhttp.Pace(pacer.Drip(1, 3*s)))
		if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		j.want(t,
			"0s slot requested #1 waited=0s err=<nil>",
			"0s slot acquired #1 waited=0s err=<nil>",
			"0s attempt started #1/1 paced=0s previous=0s",
			"500ms attempt done #1/1 503 transient took=500ms",
			"500ms retry scheduled #0/1 503 transient delay=2s",
			"2.5s slot requested #2 waited=0s err=<nil>",
			"3s slot acquired #2 waited=500ms err=<nil>",
			"3s attempt started #2/2 paced=500ms previous=2s",
			"3s paused #2 429 for 1s",
			"3s attempt done #2/2 429 throttled took=0s",
			"3s retry scheduled #0/2 429 throttled delay=0s",
			"3s slot requested #3 waited=0s err=<nil>",
			"6s slot acquired #3 waited=3s err=<nil>",
			"6s attempt started #3/3 paced=3s previous=0s",
			"7s attempt done #3/3 500 transient took=1s",
			"7s gave up #0 500 attempts=3 max_attempts elapsed=7s",
			"7s call done #0 500 attempts=3 max_attempts elapsed=7s",
			"7s fallback used #0 200",
		)
	})
}

func TestConformanceOfRetryAfter(t *testing.T) {
	const s = time.Second
	date := header("Date", "Sat, 01 Jan 2000 00:02:00 GMT", "Retry-After", "Sat, 01 Jan 2000 00:02:05 GMT")
	for name, h := range map[string]http.Header{
		"seconds":      header("Retry-After", "5"),
		"date":         date,
		"milliseconds": header("Retry-After-Ms", "5000"),
	} {
		t.Run(name, func(t *testing.T) {
			overEveryBase(t, []reply{{status: 503, header: h}}, func(t *testing.T, base http.RoundTripper, p *peer) {
				var delay []time.Duration
				rt := pacedhttp.New(base, delays(&delay), pacedhttp.Retry(policyOf(4, s)))
				if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || err != nil {
					t.Fatal(status, err)
				}
				if len(delay) != 1 || delay[0] < 5*s || delay[0] > 11*s/2 {
					t.Fatalf("the delay is %v, want 5 s and up to a tenth more", delay)
				}
				if sends, want := p.received(), []string{"0s GET", delay[0].String() + " GET"}; !slices.Equal(sends, want) {
					t.Errorf("the server received %q, want %q", sends, want)
				}
			})
		})
	}
}

func TestConformanceOfThePauseOfSiblings(t *testing.T) {
	replies := []reply{{status: 429, header: header("Retry-After", "5")}}
	overEveryBase(t, replies, func(t *testing.T, base http.RoundTripper, p *peer) {
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(1, 0)), pacedhttp.Pace(pacer.Burst(5, time.Second)))
		for _, want := range []int{429, 200} {
			if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != want || err != nil {
				t.Errorf("got %d, %v, want %d", status, err, want)
			}
		}
		if sends, want := p.received(), []string{"0s GET", "5s GET"}; !slices.Equal(sends, want) {
			t.Errorf("the server received %q, want %q", sends, want)
		}
	})
}

func TestConformanceOfHead(t *testing.T) {
	replies := []reply{{status: 503, body: "busy"}, {body: strings.Repeat("x", 100)}}
	overEveryBase(t, replies, func(t *testing.T, base http.RoundTripper, p *peer) {
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(4, time.Second)))
		resp, err := rt.RoundTrip(newRequest(t, "HEAD", nil))
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); resp.StatusCode != 200 || resp.ContentLength != 100 || body != "" {
			t.Errorf("got %d, length %d, body %q", resp.StatusCode, resp.ContentLength, body)
		}
		if sends, want := p.received(), []string{"0s HEAD", "1s HEAD"}; !slices.Equal(sends, want) {
			t.Errorf("the server received %q, want %q", sends, want)
		}
	})
}

func TestConformanceOfTrailers(t *testing.T) {
	for name, tc := range map[string]struct {
		replies []reply
		policy  retrypolicy.Config
		slots   int
	}{
		"of a success": {
			[]reply{{status: 503, body: "busy", trailer: "1"}, {body: "fine", trailer: "2"}}, retrypolicy.Config{}, 2,
		},
		"with an attempt timeout": {
			[]reply{{status: 503, body: "busy", trailer: "1"}, {body: "fine", trailer: "2"}}, retrypolicy.Config{AttemptTimeout: time.Second}, 2,
		},
		"of the last failure": {
			[]reply{{status: 503, body: "fine", trailer: "2"}}, retrypolicy.Config{MaxAttempts: 1}, 1,
		},
		"of a response given back when the slot is refused": {
			[]reply{{status: 503, body: "fine", trailer: "2"}}, retrypolicy.Config{}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			overEveryBase(t, tc.replies, func(t *testing.T, base http.RoundTripper, _ *peer) {
				resp, err := pacedhttp.New(base, pacedhttp.Retry(quick(tc.policy)), pacedhttp.Pace(grants(tc.slots))).RoundTrip(newRequest(t, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				if body := readAll(t, resp); body != "fine" || resp.Trailer.Get("X-Sum") != "2" {
					t.Errorf("got %q with trailers %v", body, resp.Trailer)
				}
			})
		})
	}
}

func TestConformanceOfTheLayersBelowRetry(t *testing.T) {
	overEveryBase(t, []reply{{status: 503}, {status: 503}}, func(t *testing.T, base http.RoundTripper, _ *peer) {
		var seen []pacedhttp.AttemptInfo
		lowest := func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				info, ok := pacedhttp.AttemptFromContext(req.Context())
				if !ok {
					t.Error("a layer below Retry knows no attempt")
				}
				seen = append(seen, info)
				return next.RoundTrip(req)
			})
		}
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(4, time.Second)), pacedhttp.Pace(pacer.Drip(1, 3*time.Second)), lowest)
		req := newRequest(t, "GET", nil)
		if status, _, err := send(t, rt, req); status != 200 || err != nil {
			t.Fatal(status, err)
		}
		want := []pacedhttp.AttemptInfo{{Number: 1}, {Number: 2, Previous: time.Second, PacedFor: 2 * time.Second}, {Number: 3, Previous: time.Second, PacedFor: 2 * time.Second}}
		if !slices.Equal(seen, want) {
			t.Errorf("the attempts were %+v, want %+v", seen, want)
		}
		if _, ok := pacedhttp.AttemptFromContext(req.Context()); ok {
			t.Error("the caller's own context knows an attempt")
		}
	})
}

func TestConformanceOfDeadContexts(t *testing.T) {
	overEveryBase(t, nil, func(t *testing.T, base http.RoundTripper, p *peer) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		body := trackString("order")
		rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(grants(1)))
		if status, _, err := send(t, rt, newRequest(t, "PUT", body).WithContext(ctx)); err == nil || status != 0 {
			t.Errorf("got %d, %v", status, err)
		}
		if sends := p.received(); len(sends) != 0 {
			t.Errorf("the server received %q", sends)
		}
		body.wantClosedOnce(t)
	})
}
