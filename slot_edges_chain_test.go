package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// An embedding is a type of another make that embeds one of ours, which transport.go expects.
type embedding struct{ *pacedhttp.Transport }

func (n embedding) RoundTrip(req *http.Request) (*http.Response, error) {
	return n.Transport.RoundTrip(req)
}

// A direct sends by itself.
type direct struct {
	*pacedhttp.Transport
	base http.RoundTripper
}

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) { return d.base.RoundTrip(req) }

// What was sent is not canceled: "What a layer below refuses without sending it … cancels".
func TestWhatATypeThatEmbedsOursSendsKeepsItsSlot(t *testing.T) {
	for name, below := range map[string]func(http.RoundTripper) http.RoundTripper{
		"Retry in it": func(b http.RoundTripper) http.RoundTripper { return embedding{pacedhttp.New(b, pacedhttp.Retry(nil))} },
		"its own":     func(b http.RoundTripper) http.RoundTripper { return direct{pacedhttp.New(nil), b} },
	} {
		base := newScript(step{body: "abc"})
		p := pacer.Must(pacer.Config{MaxInFlight: 5, Limits: []pacer.Limit{{Calls: 1, Period: time.Hour}}})
		rt := pacedhttp.New(below(base), pacedhttp.Pace(p))
		send(t, rt, newRequest(t, "GET", nil))
		if stats := p.Stats(); stats.Granted != 1 || stats.Limits[0].Used != 1 {
			t.Errorf("%s: %d sent, %d granted, %d of 1 an hour used", name, base.calls(), stats.Granted, stats.Limits[0].Used)
		}
	}
}

// "A Transport … is safe for concurrent use", also as the base of another.
func TestATransportInUseCanBeWrapped(t *testing.T) {
	shared := pacedhttp.New(newScript(), pacedhttp.Retry(nil))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 100 {
				resp, err := pacedhttp.New(shared, pacedhttp.Pace(flights(1))).RoundTrip(newRequest(t, "GET", nil))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}

// Settle returns false where "no Pace layer took a slot for resp": here one did.
func TestSettleWorksWhereALayerBetweenHasAContextOfItsOwn(t *testing.T) {
	p := tokens(1000)
	fresh := func(next http.RoundTripper) http.RoundTripper {
		return pacedhttp.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
			return next.RoundTrip(r.WithContext(costOf(context.Background(), 100)))
		})
	}
	rt := pacedhttp.New(newScript(step{body: "abc"}), pacedhttp.Retry(nil), fresh, pacedhttp.Pace(p))
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if !pacedhttp.Settle(resp, "tokens", 7) || used(p) != 7 {
		t.Errorf("%d used, want 7", used(p))
	}
}

func costOf(ctx context.Context, n int) context.Context { return pacer.WithCost(ctx, "tokens", n) }

// Pages through Pace alone, and through Pace over Retry.
func TestContextOfPagesDoesNotGrowThroughPaceAlone(t *testing.T) {
	for name, layers := range map[string][]pacedhttp.Middleware{
		"Pace":            {pacedhttp.Pace(flights(1))},
		"Pace over Retry": {pacedhttp.Pace(flights(1)), pacedhttp.Retry(nil)},
		"two Paces":       {pacedhttp.Pace(flights(1)), pacedhttp.Pace(flights(1))},
		"below Prepare":   {pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil }), pacedhttp.Pace(flights(1))},
	} {
		t.Run(name, func(t *testing.T) {
			rt := pacedhttp.New(newScript(step{body: "page"}), layers...)
			ctx := t.Context()
			var second int
			for page := range 20 {
				resp, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
				if ctx = resp.Request.Context(); page == 1 {
					second = depth(ctx)
				}
			}
			if d := depth(ctx); d > second {
				t.Errorf("the context of page 20 is %d deep, of page 2 %d", d, second)
			}
		})
	}
}

// Of an Acquirer that is no *pacer.Pacer: "One that is an Acquirer is asked for slots."
type loggedPacer struct {
	*pacer.Pacer
	acquired *int
}

func (l loggedPacer) Acquire(ctx context.Context) (*pacer.Slot, error) {
	*l.acquired++
	return l.Pacer.Acquire(ctx)
}

func TestAnAcquireAddedToAPacerIsCalled(t *testing.T) {
	acquired := 0
	send(t, pacedhttp.New(newScript(), pacedhttp.Pace(loggedPacer{flights(1), &acquired})), newRequest(t, "GET", nil))
	if acquired != 1 {
		t.Errorf("Acquire was called %d times, want once", acquired)
	}
}

// The slot is Done "when the connection of a 101 response is closed". One half of it being at
// its end is not that: the other goes on.
func TestAHalfClosedConnectionIsInFlight(t *testing.T) {
	p := flights(1)
	rt := pacedhttp.New(newScript(step{answer: func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 101, Body: lineConn{trackString("")}, Request: r}, nil
	}}), pacedhttp.Pace(p))
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	io.ReadAll(resp.Body) // the server has closed its half
	if _, err := resp.Body.(io.Writer).Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().InFlight; n != 1 {
		t.Errorf("%d in flight while the connection is open", n)
	}
	resp.Body.Close()
}

// "Done when the body has been read to its end": where there is none, that is at once, as
// over HTTP/1.
func TestAnAnswerWithoutABodyIsOver(t *testing.T) {
	for _, proto := range protocols {
		for _, method := range []string{"HEAD", "DELETE"} {
			t.Run(proto+method, func(t *testing.T) {
				p := flights(1)
				base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
				resp, err := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(p)).RoundTrip(newRequestTo(t, method, url, nil))
				if err != nil {
					t.Fatal(err)
				}
				if n := p.Stats().InFlight; n != 0 {
					t.Errorf("%d in flight after an answer without a body", n)
				}
				resp.Body.Close()
			})
		}
	}
}

// A page's request is its own: its slot's Settle is not that of the page before.
func TestAPageOfAnotherPacerSettlesNothingOfTheOneBefore(t *testing.T) {
	outer, inner := tokens(1000), tokens(1000)
	only := func(p *pacer.Pacer, path string) pacedhttp.Middleware {
		return pacedhttp.PaceBy(func(r *http.Request) pacedhttp.Waiter {
			if r.URL.Path == path {
				return p
			}
			return nil
		})
	}
	rt := pacedhttp.New(newScript(step{body: "abc"}), costing(100), pacedhttp.Retry(nil), only(outer, "/1"), only(inner, "/2"))
	first, err := rt.RoundTrip(newRequestTo(t, "GET", "http://api.test/1", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	second, err := rt.RoundTrip(newRequestTo(t, "GET", "http://api.test/2", nil).WithContext(first.Request.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Body.Close()
	if pacedhttp.Settle(second, "tokens", 7); used(outer) != 100 {
		t.Errorf("settling the second request made the first cost %d", used(outer))
	}
}

// Whatever panics or exits, in whatever layer, leaves no slot.
func TestNoSlotStaysInFlight(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("x") }, "Goexit": runtime.Goexit} {
		for at, layers := range map[string]func(p *pacer.Pacer) []pacedhttp.Middleware{
			"SlotAcquired": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{SlotAcquired: func(context.Context, pacedhttp.SlotInfo) { end() }}), pacedhttp.Retry(nil), pacedhttp.Pace(p)}
			},
			"AttemptStarted": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{AttemptStarted: func(context.Context, pacedhttp.AttemptStart) { end() }}), pacedhttp.Retry(nil), pacedhttp.Pace(p)}
			},
			"AttemptDone": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{AttemptDone: func(context.Context, pacedhttp.AttemptResult) { end() }}), pacedhttp.Retry(nil), pacedhttp.Pace(p)}
			},
			"RetryScheduled": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{RetryScheduled: func(context.Context, pacedhttp.RetryInfo) { end() }}), pacedhttp.Retry(nil), pacedhttp.Pace(p)}
			},
			"GaveUp": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{GaveUp: func(context.Context, pacedhttp.CallInfo) { end() }}), pacedhttp.Retry(policyOf(1, 0)), pacedhttp.Pace(p)}
			},
			"Fallback": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Fallback(func(*http.Request, *http.Response, error) (*http.Response, error) { end(); return nil, nil }), pacedhttp.Retry(policyOf(1, 0)), pacedhttp.Pace(p)}
			},
			"Classify": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{Classify: func(retrypolicy.Attempt) retrypolicy.Verdict { end(); return 0 }})), pacedhttp.Pace(p)}
			},
			"Prepare": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Retry(nil), pacedhttp.Pace(p), pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { end(); return nil })}
			},
			"StaticResponse": func(p *pacer.Pacer) []pacedhttp.Middleware {
				return []pacedhttp.Middleware{pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, []byte("abc"))), pacedhttp.Retry(policyOf(3, 0)), pacedhttp.Pace(p)}
			},
		} {
			t.Run(name+at, func(t *testing.T) {
				p := flights(1)
				base := newScript(step{status: 503, body: strings.Repeat("abc", 1000)})
				done := make(chan bool)
				go func() {
					defer close(done)
					defer func() { recover() }()
					resp, err := pacedhttp.New(base, layers(p)...).RoundTrip(newRequest(t, "GET", nil))
					if at == "StaticResponse" && err == nil {
						resp.Body.Close()
					}
				}()
				<-done
				if n := p.Stats().InFlight; n != 0 {
					t.Errorf("%d in flight", n)
				}
			})
		}
	}
}

// With one flight, a retry's own predecessor must not be in its way.
func TestOneFlightIsEnoughForACallWithRetries(t *testing.T) {
	for _, proto := range protocols {
		for name, body := range map[string]string{"short": "busy", "long": strings.Repeat("busy", 1<<16), "none": ""} {
			for _, compressed := range []bool{false, true} {
				t.Run(fmt.Sprint(proto, name, compressed), func(t *testing.T) {
					p := flights(1)
					n := 0
					base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
						if n++; n < 4 {
							if compressed {
								w.Header().Set("Content-Encoding", "gzip") // that never begins
								w.WriteHeader(503)
								w.(http.Flusher).Flush()
								<-r.Context().Done()
								return
							}
							w.WriteHeader(503)
						}
						io.WriteString(w, body)
					})
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 4})), pacedhttp.Pace(p))
					status, _, err := send(t, rt, newRequestTo(t, "GET", url, nil).WithContext(ctx))
					if status != 200 || err != nil || p.Stats().InFlight != 0 {
						t.Errorf("got %d, %v; %d in flight", status, err, p.Stats().InFlight)
					}
				})
			}
		}
	}
}

// Redirects, through http.Client: with one flight.
func TestOneFlightIsEnoughForRedirects(t *testing.T) {
	for _, proto := range protocols {
		for _, size := range []int{0, 100, 1 << 20} {
			p := flights(1)
			base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/end" {
					w.Header().Set("Location", r.URL.Path+"x")
					if len(r.URL.Path) > 4 {
						w.Header().Set("Location", "/end")
					}
					w.WriteHeader(307)
				}
				io.WriteString(w, strings.Repeat("x", size))
			})
			client := pacedhttp.WrapClient(&http.Client{Transport: base, Timeout: 5 * time.Second}, pacedhttp.Retry(nil), pacedhttp.Pace(p))
			resp, err := client.Post(url+"/a", "", strings.NewReader("payload"))
			if err != nil {
				t.Error(proto, size, err)
				continue
			}
			readAll(t, resp)
			if n := p.Stats().InFlight; n != 0 {
				t.Errorf("%d in flight", n)
			}
		}
	}
}

// Pace: an attempt that is not the first of its call "is not refused for MaxWaiting".
func TestMaxWaitingRefusesNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: time.Minute}}, MaxWaiting: 1})
		base := newScript(step{status: 503}, step{status: 503}, step{})
		rt := pacedhttp.New(base, pacedhttp.Retry(policyOf(2, time.Second)), pacedhttp.Pace(p))
		got := make(chan int, 2)
		for range 2 { // both fail, and come back in the order in which they came
			go func() {
				status, _, err := send(t, rt, newRequest(t, "GET", nil))
				if err != nil {
					t.Error(err)
				}
				got <- status
			}()
			time.Sleep(100 * time.Millisecond)
		}
		for range 2 {
			if status := <-got; status != 200 {
				t.Errorf("got %d: the retry was refused", status)
			}
		}
	})
}

// The same, where the attempts of a call are paced by different pacers.
func TestMaxWaitingRefusesNoRetryAtAnotherPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := pacer.Burst(9, time.Minute)
		b := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute}}, MaxWaiting: 1})
		b.Allow()
		go b.Wait(t.Context())
		time.Sleep(time.Second)
		rt := pacedhttp.New(newScript(step{status: 503}, step{}), pacedhttp.Retry(policyOf(2, time.Second)),
			pacedhttp.PaceBy(func(r *http.Request) pacedhttp.Waiter {
				if info, _ := pacedhttp.AttemptFromContext(r.Context()); info.Number > 1 {
					return b
				}
				return a
			}))
		if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 {
			t.Errorf("got %d, %v: the retry was refused", status, err)
		}
	})
}

func TestHiddenAcquireIsNoDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	hidden := struct{ pacedhttp.Waiter }{flights(1)}
	_, _, err := send(t, pacedhttp.New(newScript(), pacedhttp.Pace(hidden)), newRequest(t, "GET", nil).WithContext(ctx))
	var refusal *pacedhttp.PaceError
	if !errors.As(err, &refusal) || refusal.Timeout() || refusal.ErrorType() == "pacing_deadline" {
		t.Errorf("a misuse is taken for a deadline: %v", err)
	}
}
