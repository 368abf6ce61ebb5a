package pacedhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestEveryAttemptCostsWhatWasEstimatedOnceForTheCall(t *testing.T) {
	p := tokens(1000)
	estimates := 0
	estimate := func(req *http.Request) int {
		estimates++
		body, err := req.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		prompt, _ := io.ReadAll(body)
		return len(prompt) / 4
	}
	base := newScript(step{status: 503}, step{status: 503}, step{})
	rt := pacedhttp.New(base, pacedhttp.Cost("tokens", estimate), pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(p))
	if status, _, err := send(t, rt, newRequest(t, "PUT", strings.NewReader(strings.Repeat("x", 400)))); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	if estimates != 1 || used(p) != 300 || base.requests()[2].body != strings.Repeat("x", 400) {
		t.Errorf("%d estimates, %d used; want 1 and 300", estimates, used(p))
	}
}

func TestCostOfARequest(t *testing.T) {
	for name, tt := range map[string]struct {
		ctx      func(context.Context) context.Context
		estimate int
		asked    bool
		used     int
		uncosted uint64
	}{
		"an estimate":         {estimate: 30, asked: true, used: 30},
		"nothing":             {estimate: 0, asked: true, used: 0},
		"unknown":             {estimate: -1, asked: true, used: 1, uncosted: 1},
		"the context's":       {ctx: func(ctx context.Context) context.Context { return pacer.WithCost(ctx, "tokens", 70) }, estimate: 30, used: 70},
		"of another unit too": {ctx: func(ctx context.Context) context.Context { return pacer.WithCost(ctx, "points", 70) }, estimate: 30, asked: true, used: 30},
	} {
		t.Run(name, func(t *testing.T) {
			p, asked := tokens(100), false
			req := newRequest(t, "GET", nil)
			if tt.ctx != nil {
				req = req.WithContext(tt.ctx(req.Context()))
			}
			rt := pacedhttp.New(newScript(), pacedhttp.Cost("tokens", func(*http.Request) int { asked = true; return tt.estimate }), pacedhttp.Pace(p))
			if _, _, err := send(t, rt, req); err != nil {
				t.Fatal(err)
			}
			limit := p.Stats().Limits[0]
			if asked != tt.asked || limit.Used != tt.used || limit.Uncosted != tt.uncosted {
				t.Errorf("asked: %t, %d used, %d uncosted; want %t, %d, %d", asked, limit.Used, limit.Uncosted, tt.asked, tt.used, tt.uncosted)
			}
		})
	}
}

func TestTooCostlyACallIsRefusedAtOnce(t *testing.T) {
	base := newScript()
	body := trackString("payload")
	_, _, err := send(t, pacedhttp.New(base, costing(1001), pacedhttp.Retry(nil), pacedhttp.Pace(tokens(1000))), newRequest(t, "PUT", body))
	if err == nil || !strings.Contains(err.Error(), "1001 tokens") || base.calls() != 0 {
		t.Errorf("%d sent, %v", base.calls(), err)
	}
	body.wantClosedOnce(t)
}

// One that costs 900 of 1,000 gets its turn, though cheaper ones come all the time.
func TestDearCallIsNotOvertakenByCheapOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript()
		rt := pacedhttp.New(base, pacedhttp.Cost("tokens", func(r *http.Request) int {
			if r.URL.Path == "/dear" {
				return 900
			}
			return 100
		}), pacedhttp.Pace(tokens(1000)))
		began := time.Now()
		done := make(chan bool)
		call := func(path string) {
			go func() { send(t, rt, newRequestTo(t, "GET", "http://api.test/"+path, nil)); done <- true }()
			time.Sleep(time.Second)
		}
		for range 5 {
			call("cheap")
		}
		call("dear")
		for range 5 {
			call("late")
		}
		for range 11 {
			<-done
		}
		var order []string
		for _, r := range base.requests()[5:8] {
			order = append(order, fmt.Sprint(r.URL.Path, " ", r.at.Sub(began)))
		}
		// At 63 s four of the five have left the window: 100 + 900 fit.
		if got, want := strings.Join(order, ", "), "/dear 1m3s, /late 1m4s, /late 2m3s"; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	})
}

func TestPageHasACostOfItsOwn(t *testing.T) {
	p := tokens(1000)
	page := 0
	rt := pacedhttp.New(newScript(step{body: "page"}), pacedhttp.Cost("tokens", func(*http.Request) int { return page + 1 }),
		pacedhttp.Retry(nil), pacedhttp.Pace(p))
	ctx := t.Context()
	var second int
	for page = range 20 {
		resp, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		if want := 7*page + page + 1; used(p) != want {
			t.Errorf("%d used before page %d is settled, want %d", used(p), page, want)
		}
		if !pacedhttp.Settle(resp, "tokens", 7) {
			t.Errorf("page %d was not settled", page)
		}
		if ctx = resp.Request.Context(); page == 1 {
			second = depth(ctx)
		}
		if want := 7 * (page + 1); used(p) != want {
			t.Errorf("%d used after page %d, want %d", used(p), page, want)
		}
	}
	if d := depth(ctx); d > second {
		t.Errorf("the context of page 20 is %d deep, of page 2 %d", d, second)
	}
}

// With the response of the page before still open.
func TestPageFetchedMeanwhileHasASlotOfItsOwn(t *testing.T) {
	p := tokens(1000)
	rt := pacedhttp.New(newScript(step{body: "page"}), costing(10), pacedhttp.Pace(p))
	first, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	second, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(first.Request.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Body.Close()
	if pacedhttp.Settle(second, "tokens", 500); used(p) != 510 {
		t.Errorf("%d used, want 510", used(p))
	}
}

func TestSettleTellsEveryPacerOfTheChain(t *testing.T) {
	for name, between := range map[string]pacedhttp.Middleware{
		"one on the other": nil,
		"by hand":          nil,
		"a layer of another make between": func(next http.RoundTripper) http.RoundTripper {
			return pacedhttp.RoundTripperFunc(func(r *http.Request) (*http.Response, error) { return next.RoundTrip(r) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			outer, inner := tokens(1000), pacer.Must(pacer.Config{Limits: []pacer.Limit{{Cost: 500, Unit: "points", Period: time.Minute}, {Cost: 500, Unit: "tokens", Period: time.Minute}}})
			layers := []pacedhttp.Middleware{costing(100), pacedhttp.Retry(nil), pacedhttp.Pace(outer), between, pacedhttp.Pace(inner)}
			var rt http.RoundTripper = newScript(step{body: "abc"})
			if name == "by hand" {
				for _, mw := range slices.Backward(layers) {
					if mw != nil {
						rt = mw(rt)
					}
				}
			} else {
				rt = pacedhttp.New(rt, layers...)
			}
			resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, resp)
			if !pacedhttp.Settle(resp, "tokens", 40) {
				t.Error("not settled")
			}
			if got := inner.Stats().Limits[1].Used; got != 40 {
				t.Errorf("the inner has %d used, want 40", got)
			}
			if used(outer) != 40 {
				t.Errorf("the outer has %d used, want 40", used(outer))
			}
			if !pacedhttp.Settle(resp, "points", 9) {
				t.Error("a unit that one of them counts in was not settled")
			}
		})
	}
}

func TestSettleIsFalseWhereNothingIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := tokens(1000)
		rt := pacedhttp.New(newScript(step{body: "abc"}), costing(100), pacedhttp.Retry(nil), pacedhttp.Pace(p))
		resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		bare, err := newScript().RoundTrip(newRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		for name, settled := range map[string]bool{
			"nil response":           pacedhttp.Settle(nil, "tokens", 1),
			"response of no request": pacedhttp.Settle(&http.Response{}, "tokens", 1),
			"response without Pace":  pacedhttp.Settle(bare, "tokens", 1),
			"unknown unit":           pacedhttp.Settle(resp, "points", 1),
			"negative":               pacedhttp.Settle(resp, "tokens", -1),
		} {
			if settled {
				t.Errorf("%s: settled", name)
			}
		}
		if used(p) != 100 {
			t.Errorf("%d used, want 100", used(p))
		}
		time.Sleep(time.Minute)
		if pacedhttp.Settle(resp, "tokens", 1) {
			t.Error("settled too late")
		}
	})
}

// Also where the base answers with a request of its own.
func TestResponseOfAnotherRequestIsSettled(t *testing.T) {
	for _, retried := range []bool{false, true} {
		p := tokens(1000)
		base := newScript(step{answer: func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: trackString("abc"), Request: newRequest(t, "GET", nil)}, nil
		}})
		layers := []pacedhttp.Middleware{costing(100), pacedhttp.Retry(nil), pacedhttp.Pace(p)}
		if !retried {
			layers = []pacedhttp.Middleware{layers[0], layers[2]}
		}
		resp, err := pacedhttp.New(base, layers...).RoundTrip(newRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, known := pacedhttp.AttemptFromContext(resp.Request.Context()); known != retried {
			t.Errorf("the attempt is known: %t", known)
		}
		readAll(t, resp)
		if !pacedhttp.Settle(resp, "tokens", 9) || used(p) != 9 {
			t.Errorf("%d used, want 9", used(p))
		}
	}
}

func TestNilEstimateCostsNothing(t *testing.T) {
	base := newScript()
	if rt := pacedhttp.Cost("tokens", nil)(base); rt != http.RoundTripper(base) {
		t.Errorf("got %T", rt)
	}
}
