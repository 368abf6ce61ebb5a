package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// flights returns a pacer that bounds nothing but flights.
func flights(n int) *pacer.Pacer { return pacer.Must(pacer.Config{MaxInFlight: n}) }

// tokens returns a pacer of so many a minute.
func tokens(n int) *pacer.Pacer {
	return pacer.Must(pacer.Config{Limits: []pacer.Limit{{Cost: n, Unit: "tokens", Period: time.Minute}}})
}

func costing(n int) pacedhttp.Middleware {
	return pacedhttp.Cost("tokens", func(*http.Request) int { return n })
}

// used returns what counts in the first limit of p.
func used(p *pacer.Pacer) int { return p.Stats().Limits[0].Used }

// A lineConn is the body of a 101 response.
type lineConn struct{ *trackedBody }

func (lineConn) Write(p []byte) (int, error) { return len(p), nil }

func TestSlotIsDoneWithTheBody(t *testing.T) {
	broken := errors.New("connection lost")
	for name, tt := range map[string]struct {
		step step
		end  func(*testing.T, *http.Response) // ends the slot; nil: it has ended
	}{
		"read to the end": {step{body: "abc"}, func(t *testing.T, r *http.Response) { io.ReadAll(r.Body) }},
		"closed unread":   {step{body: "abc"}, func(t *testing.T, r *http.Response) { r.Body.Close() }},
		"read and failed": {step{stream: io.NopCloser(failingReader{broken})}, func(t *testing.T, r *http.Response) { io.ReadAll(r.Body) }},
		"no body": {step{answer: func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 204, Body: http.NoBody, Request: r}, nil
		}}, nil},
		"nil body": {step{answer: func(r *http.Request) (*http.Response, error) { return &http.Response{StatusCode: 204}, nil }}, nil},
		"error":    {step{err: broken}, nil},
		"response and error": {step{answer: func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("abc"))}, broken
		}}, nil},
		"upgraded connection closed": {step{answer: func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 101, Body: lineConn{trackString("")}, Request: r}, nil
		}}, func(t *testing.T, r *http.Response) {
			if _, err := r.Body.(io.Writer).Write([]byte("x")); err != nil {
				t.Error(err)
			}
			r.Body.Close()
		}},
	} {
		for _, layers := range [][]pacedhttp.Middleware{nil, {pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 1}))}} {
			t.Run(fmt.Sprint(name, " ", len(layers)), func(t *testing.T) {
				p := flights(2)
				rt := pacedhttp.New(newScript(tt.step), append(layers, pacedhttp.Pace(p))...)
				resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
				if tt.end != nil {
					if err != nil {
						t.Fatal(err)
					}
					if n := p.Stats().InFlight; n != 1 {
						t.Errorf("%d in flight before the end, want 1", n)
					}
					tt.end(t, resp)
				}
				stats := p.Stats()
				if stats.InFlight != 0 || stats.Granted != 1 {
					t.Errorf("%d in flight and %d granted at the end, want 0 and 1", stats.InFlight, stats.Granted)
				}
				if resp != nil {
					resp.Body.Close()
				}
			})
		}
	}
}

func TestNoMoreRequestsThanMaxInFlightAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := flights(3)
		var mu sync.Mutex
		var under, most int
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			under += n
			most = max(most, under)
		}
		base := newScript(step{answer: func(r *http.Request) (*http.Response, error) {
			count(1)
			time.Sleep(time.Second)
			return &http.Response{StatusCode: 200, Request: r, Body: io.NopCloser(
				io.MultiReader(strings.NewReader("abc"), lastRead(func() { count(-1) })))}, nil
		}})
		rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(p))
		began := time.Now()
		done := make(chan time.Duration)
		for range 9 {
			go func() {
				resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
				if err != nil {
					t.Error(err)
				} else {
					time.Sleep(time.Second)
					readAll(t, resp)
				}
				done <- time.Since(began)
			}()
		}
		var ends []time.Duration
		for range 9 {
			ends = append(ends, <-done)
		}
		if most != 3 || !slices.Equal(ends, seconds(2, 2, 2, 4, 4, 4, 6, 6, 6)) {
			t.Errorf("at most %d at once, ended at %v", most, ends)
		}
	})
}

// A lastRead is called where its reader ends: from then on a request is not under way, whether
// its body is closed or not.
type lastRead func()

func (f lastRead) Read([]byte) (int, error) { f(); return 0, io.EOF }

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func TestWhatIsRefusedBelowWithoutASendCancelsItsSlot(t *testing.T) {
	no := errors.New("no token")
	full := flights(1)
	if _, err := full.TryAcquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	refusing := waiterFunc(func(context.Context) error { return no })
	for name, below := range map[string][]pacedhttp.Middleware{
		"Prepare":                              {pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return no })},
		"an inner Pace":                        {pacedhttp.Pace(refusing)},
		"an inner pacer":                       {pacedhttp.PaceBy(func(*http.Request) pacedhttp.Waiter { return full })},
		"a dead context":                       {func(next http.RoundTripper) http.RoundTripper { return next }},
		"a panic":                              {pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { panic(no) })},
		"an inner Retry whose Prepare refuses": {pacedhttp.Retry(nil), pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return no })},
	} {
		for _, retried := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", below Retry: ", retried), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := pacer.Must(pacer.Config{MaxInFlight: 1, Limits: []pacer.Limit{{Cost: 100, Unit: "tokens", Period: time.Minute}}})
					base := newScript()
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					layers := []pacedhttp.Middleware{costing(60), pacedhttp.Observe(pacedhttp.Hooks{SlotAcquired: func(context.Context, pacedhttp.SlotInfo) {
						if name == "a dead context" {
							cancel()
						}
					}}), pacedhttp.Retry(nil), pacedhttp.Pace(p)}
					if !retried {
						layers = slices.Delete(layers, 2, 3)
					}
					func() {
						defer func() {
							if r := recover(); (r != nil) != (name == "a panic") {
								t.Errorf("panicked with %v", r)
							}
						}()
						resp, err := pacedhttp.New(base, append(layers, below...)...).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
						if err == nil {
							resp.Body.Close()
							t.Error("was sent")
						}
					}()
					if stats := p.Stats(); base.calls() != 0 || stats.Granted != 0 || stats.InFlight != 0 || stats.Limits[0].Used != 0 {
						t.Errorf("%d sent, %d granted, %d in flight, %d tokens used; want none", base.calls(), stats.Granted, stats.InFlight, stats.Limits[0].Used)
					}
				})
			})
		}
	}
}

// What was sent took its slot, whatever refuses a second time.
func TestWhatWasSentKeepsItsSlot(t *testing.T) {
	broken := errors.New("broken")
	sends := 0
	twice := func(next http.RoundTripper) http.RoundTripper { // of another make
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			if resp, err := next.RoundTrip(req); err == nil {
				return resp, nil
			}
			return next.RoundTrip(req)
		})
	}
	refuseSecond := pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error {
		if sends++; sends > 1 {
			return errors.New("no second signature")
		}
		return nil
	})
	p := flights(1)
	rt := pacedhttp.New(newScript(step{err: broken}), pacedhttp.Pace(p), twice, refuseSecond)
	if _, err := rt.RoundTrip(newRequest(t, "GET", nil)); err == nil {
		t.Error("no error")
	}
	if stats := p.Stats(); stats.Granted != 1 || stats.InFlight != 0 {
		t.Errorf("%d granted, %d in flight; want 1 and 0", stats.Granted, stats.InFlight)
	}
}

func TestWhatWasSentBelowRetryKeepsTheSlotAboveIt(t *testing.T) {
	p := flights(1)
	rt := pacedhttp.New(newScript(step{err: errors.New("broken")}), pacedhttp.Pace(p), pacedhttp.Retry(quick(retrypolicy.Config{})))
	if _, err := rt.RoundTrip(newRequest(t, "GET", nil)); err == nil {
		t.Error("no error")
	}
	if stats := p.Stats(); stats.Granted != 1 || stats.InFlight != 0 {
		t.Errorf("%d granted, %d in flight; want 1 and 0", stats.Granted, stats.InFlight)
	}
}

func TestUnprocessedSettlesCostsToNothingAndThrottledKeepsThem(t *testing.T) {
	for name, tt := range map[string]struct {
		step step
		used int
	}{
		"accepted":    {step{body: "abc"}, 60},
		"failed":      {step{status: 500}, 60},
		"throttled":   {step{status: 429}, 60},
		"unprocessed": {step{err: unprocessedError{}}, 0},
	} {
		for _, retried := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", below Retry: ", retried), func(t *testing.T) {
				p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Cost: 100, Unit: "tokens", Period: time.Minute}, {Calls: 9, Period: time.Minute}}})
				layers := []pacedhttp.Middleware{costing(60), pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1})), pacedhttp.Pace(p)}
				if !retried {
					layers = slices.Delete(layers, 1, 2)
				}
				send(t, pacedhttp.New(newScript(tt.step), layers...), newRequest(t, "GET", nil))
				limits := p.Stats().Limits
				if limits[0].Used != tt.used || limits[1].Used != 1 {
					t.Errorf("%d tokens and %d starts are used, want %d and 1", limits[0].Used, limits[1].Used, tt.used)
				}
			})
		}
	}
}

// unprocessedError is one from before the server could act.
type unprocessedError struct{}

func (unprocessedError) Error() string     { return "nothing was sent" }
func (unprocessedError) Unprocessed() bool { return true }

func TestAttemptsTimeoutEndsTheSlotAndIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var verdicts []retrypolicy.Verdict
		policy := quick(retrypolicy.Config{MaxAttempts: 2, AttemptTimeout: time.Second, Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
			v := retrypolicy.DefaultClassifier(a)
			verdicts = append(verdicts, v)
			return v
		}})
		p := flights(1)
		late := func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		rt := pacedhttp.New(newScript(step{answer: late}, step{body: "abc"}), pacedhttp.Retry(policy), pacedhttp.Pace(p))
		if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		if n := p.Stats().InFlight; n != 0 {
			t.Errorf("%d in flight", n)
		}
		if want := []retrypolicy.Verdict{retrypolicy.Transient, retrypolicy.Accept}; !slices.Equal(verdicts, want) {
			t.Errorf("judged %v, want each result once: %v", verdicts, want)
		}
	})
}

// Each result is judged once, by Pace or by Retry, with all that the caller's request tells.
func TestEveryResultIsJudgedOnceWithTheCallersRequest(t *testing.T) {
	for name, p := range map[string]*pacer.Pacer{"windows": unlimited(), "flights": flights(1)} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			req := newRequest(t, "PUT", strings.NewReader("payload"))
			policy := quick(retrypolicy.Config{MaxAttempts: 3, Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
				seen = append(seen, fmt.Sprint(a.Number, " ", result(a.Response, a.Err), " ", a.Request == req, " ", a.Replayable))
				return retrypolicy.DefaultClassifier(a)
			}})
			swap := func(next http.RoundTripper) http.RoundTripper { // hands up another error for the second
				return pacedhttp.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
					resp, err := next.RoundTrip(r)
					if err != nil {
						err = fmt.Errorf("swapped: %w", err)
					}
					return resp, err
				})
			}
			base := newScript(step{status: 503}, step{err: errors.New("broken")}, step{})
			send(t, pacedhttp.New(base, pacedhttp.Retry(policy), swap, pacedhttp.Pace(p)), req)
			want := []string{"1 503 true true", "2 broken true true", "2 swapped: broken true true", "3 200 true true"}
			if !slices.Equal(seen, want) {
				t.Errorf("judged:\n\t%s\nwant:\n\t%s", strings.Join(seen, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}

func TestPacerThatNeedsNoSlotsLeavesTheBodyAlone(t *testing.T) {
	base := newScript(step{body: "abc"})
	rt := pacedhttp.New(base, pacedhttp.Pace(unlimited()))
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != base.responseBodies()[0] {
		t.Errorf("the body is wrapped: %T", resp.Body)
	}
	if pacedhttp.Settle(resp, "tokens", 1) {
		t.Error("settled what nobody counts")
	}
	resp.Body.Close()
}

func TestARetryKeepsItsCallsPlaceInTheQueue(t *testing.T) {
	for _, observed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 10 * time.Second}}, MaxWaiting: 2})
			base := newScript(step{status: 503}, step{status: 503}, step{})
			policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Second)})
			layers := []pacedhttp.Middleware{pacedhttp.Retry(policy), pacedhttp.Pace(p)}
			if observed {
				layers = slices.Insert(layers, 0, pacedhttp.Observe(newJournal().hooks()))
			}
			rt := pacedhttp.New(base, layers...)
			began := time.Now()
			call := func(name string) {
				if status, _, err := send(t, rt, newRequestTo(t, "GET", "http://api.test/"+name, nil)); status != 200 || err != nil {
					t.Errorf("%s got %d, %v", name, status, err)
				}
			}
			done := make(chan bool)
			go func() { call("first"); done <- true }()
			synctest.Wait()
			for _, name := range []string{"second", "third"} { // the queue is full before the retry comes
				time.Sleep(time.Second / 4)
				go func() { call(name); done <- true }()
				synctest.Wait()
			}
			for range 3 {
				<-done
			}
			var order []string
			for _, r := range base.requests() {
				order = append(order, fmt.Sprint(r.URL.Path, " ", r.at.Sub(began)))
			}
			want := []string{"/first 0s", "/first 10s", "/first 20s", "/second 30s", "/third 40s"}
			if !slices.Equal(order, want) {
				t.Errorf("sent %v, want %v", order, want)
			}
		})
	}
}

// Of two pacers it is the outer one where the call stood first.
func TestARetryKeepsItsPlaceInTheOuterOfTwoQueues(t *testing.T) {
	for name, outer := range map[string]pacer.Config{
		"without slots": {Limits: []pacer.Limit{{Calls: 1, Period: 10 * time.Second}}},
		"with slots":    {Limits: []pacer.Limit{{Calls: 1, Period: 10 * time.Second}}, MaxInFlight: 9},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer := pacer.Must(outer)
				if slot, err := outer.TryAcquire(t.Context()); err == nil {
					slot.Done() // but the start counts: the first call waits here before it comes to the inner queue
				}
				base := newScript(step{status: 503}, step{}, step{})
				policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Second)})
				rt := pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.Pace(outer), pacedhttp.Pace(unlimited()))
				done := make(chan bool)
				for _, name := range []string{"first", "second"} {
					go func() {
						send(t, rt, newRequestTo(t, "GET", "http://api.test/"+name, nil))
						done <- true
					}()
					time.Sleep(time.Second)
				}
				<-done
				<-done
				var order []string
				for _, r := range base.requests() {
					order = append(order, r.URL.Path)
				}
				if want := []string{"/first", "/first", "/second"}; !slices.Equal(order, want) {
					t.Errorf("sent %v, want %v", order, want)
				}
			})
		})
	}
}

// An acquirerFunc is an Acquirer of the program's own.
type acquirerFunc func(context.Context) (*pacer.Slot, error)

func (f acquirerFunc) Wait(context.Context) error { return errors.New("wants to hear of flights") }

func (f acquirerFunc) Acquire(ctx context.Context) (*pacer.Slot, error) { return f(ctx) }

func TestSlotThatComesAfterTheContextsEndIsCanceled(t *testing.T) {
	p := flights(1)
	ctx, cancel := context.WithCancel(t.Context())
	late := acquirerFunc(func(context.Context) (*pacer.Slot, error) {
		slot, err := p.Acquire(context.Background())
		cancel()
		return slot, err
	})
	base := newScript()
	_, _, err := send(t, pacedhttp.New(base, pacedhttp.Pace(late)), newRequest(t, "GET", nil).WithContext(ctx))
	if err != context.Canceled || base.calls() != 0 {
		t.Errorf("%d sent, %v", base.calls(), err)
	}
	if stats := p.Stats(); stats.Granted != 0 || stats.InFlight != 0 {
		t.Errorf("%d granted, %d in flight", stats.Granted, stats.InFlight)
	}
}

func TestAcquirerOfTheProgramsOwnIsAskedForSlots(t *testing.T) {
	p := flights(1)
	asked := 0
	own := acquirerFunc(func(ctx context.Context) (*pacer.Slot, error) { asked++; return p.Acquire(ctx) })
	none := acquirerFunc(func(ctx context.Context) (*pacer.Slot, error) { asked++; return nil, nil })
	rt := pacedhttp.New(newScript(step{status: 503}, step{body: "abc"}), pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(own), pacedhttp.Pace(none))
	if status, body, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || body != "abc" || err != nil {
		t.Error(status, body, err)
	}
	if stats := p.Stats(); asked != 4 || stats.Granted != 2 || stats.InFlight != 0 {
		t.Errorf("asked %d times, %d granted, %d in flight", asked, stats.Granted, stats.InFlight)
	}
}

func TestTheCallersOwnArrivalGoesBeforeTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(1, 10*time.Second)
		base := newScript(step{status: 503}, step{})
		rt := pacedhttp.New(base, pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Second)})), pacedhttp.Pace(p))
		began := time.Now()
		done := make(chan bool)
		go func() {
			ctx := pacer.WithArrival(t.Context(), began.Add(time.Hour)) // which is now, whenever it is asked
			send(t, rt, newRequestTo(t, "GET", "http://api.test/first", nil).WithContext(ctx))
			done <- true
		}()
		synctest.Wait()
		time.Sleep(time.Second / 2)
		go func() { send(t, rt, newRequestTo(t, "GET", "http://api.test/second", nil)); done <- true }()
		<-done
		<-done
		if got := base.requests()[1].URL.Path; got != "/second" {
			t.Errorf("%s was sent second", got)
		}
	})
}

func TestHooksTellCostsAndFlights(t *testing.T) {
	p := pacer.Must(pacer.Config{MaxInFlight: 5, Limits: []pacer.Limit{
		{Cost: 100, Unit: "tokens", Period: time.Minute}, {Cost: 100, Unit: "points", Period: time.Minute}}})
	var told []string
	rt := pacedhttp.New(newScript(step{body: "abc"}), costing(30),
		pacedhttp.Observe(pacedhttp.Hooks{SlotAcquired: func(_ context.Context, i pacedhttp.SlotInfo) {
			told = append(told, fmt.Sprint(i.Costs, " ", i.InFlight))
		}}), pacedhttp.Pace(p))
	for range 2 {
		resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	if want := []string{"map[points:1 tokens:30] 1", "map[points:1 tokens:30] 2"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// Where flights are bounded a Waiter that hides Acquire is of no use, and says so.
func TestWaiterThatHidesAcquireIsToldToUseIt(t *testing.T) {
	hidden := struct{ pacedhttp.Waiter }{flights(1)}
	base := newScript()
	_, _, err := send(t, pacedhttp.New(base, pacedhttp.Pace(hidden)), newRequest(t, "GET", nil))
	if err == nil || !strings.Contains(err.Error(), "Acquire") || base.calls() != 0 {
		t.Errorf("sent %d, got %v", base.calls(), err)
	}
}

// A token that is fetched between Retry and Pace takes a slot of its own, at a cost of its own.
func TestTokenFetchedThroughTheSamePaceTakesItsOwnSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{MaxInFlight: 1, Limits: []pacer.Limit{
			{Cost: 100, Unit: "tokens", Period: time.Minute}, {Calls: 9, Period: time.Minute}}})
		base := newScript(step{body: "secret"})
		fetch := func(next http.RoundTripper) http.RoundTripper {
			return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
				token := newRequestTo(t, "GET", "http://api.test/token", nil)
				resp, err := next.RoundTrip(token.WithContext(pacer.WithCost(req.Context(), "tokens", 0)))
				if err != nil {
					return nil, err
				}
				req = req.Clone(req.Context())
				req.Header.Set("Authorization", readAll(t, resp))
				return next.RoundTrip(req)
			})
		}
		rt := pacedhttp.New(base, costing(60), pacedhttp.Retry(nil), fetch, pacedhttp.Pace(p))
		if _, _, err := send(t, rt, newRequest(t, "GET", nil)); err != nil {
			t.Fatal(err)
		}
		if got := base.requests(); len(got) != 2 || got[1].Header.Get("Authorization") != "secret" {
			t.Errorf("sent %d", len(got))
		}
		if limits := p.Stats().Limits; limits[0].Used != 60 || limits[1].Used != 2 {
			t.Errorf("%d tokens and %d starts are used, want 60 and 2", limits[0].Used, limits[1].Used)
		}
	})
}

// Another chain that fetches a token with the request's context settles its own slot only.
func TestAnotherChainsSlotIsNotTheRequests(t *testing.T) {
	theirs, ours := tokens(1000), tokens(1000)
	fetcher := pacedhttp.New(newScript(step{body: "secret"}), pacedhttp.Pace(theirs))
	prepare := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		resp, err := fetcher.RoundTrip(newRequestTo(t, "GET", "http://tokens.test/", nil).WithContext(req.Context()))
		if err != nil {
			return err
		}
		readAll(t, resp)
		if !pacedhttp.Settle(resp, "tokens", 7) {
			t.Error("not settled")
		}
		return nil
	})
	rt := pacedhttp.New(newScript(step{body: "abc"}), costing(60), pacedhttp.Retry(nil), pacedhttp.Pace(ours), prepare)
	if _, _, err := send(t, rt, newRequest(t, "GET", nil)); err != nil {
		t.Fatal(err)
	}
	if used(theirs) != 7 || used(ours) != 60 {
		t.Errorf("%d and %d are used, want 7 and 60", used(theirs), used(ours))
	}
}

// A goroutine for each child of the context would be a leak that goleak sees, and a cost.
func TestChildrenOfASlotsContextAreRegisteredWithTheAttempt(t *testing.T) {
	for name, layers := range map[string][]pacedhttp.Middleware{
		"Retry and Pace":               {costing(1), pacedhttp.Retry(nil), pacedhttp.Pace(flights(1))},
		"Pace":                         {pacedhttp.Pace(flights(1))},
		"Cost and Observe below Retry": {pacedhttp.Retry(nil), costing(1), pacedhttp.Observe(pacedhttp.Hooks{}), pacedhttp.Pace(flights(1))},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("stop")
			told := make(chan error, 1)
			base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
				child, end := context.WithCancel(req.Context())
				defer end()
				before := goroutines(t)
				for range 10 {
					_, end := context.WithCancel(req.Context())
					defer end()
				}
				if more := goroutines(t) - before; more >= 5 { // one of an earlier test may end meanwhile
					t.Errorf("ten children take %d goroutines", more)
				}
				cancel(stop)
				<-child.Done()
				told <- context.Cause(child)
				return nil, child.Err()
			}})
			pacedhttp.New(base, layers...).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
			if err := <-told; err != stop {
				t.Errorf("told of %v", err)
			}
		})
	}
}

// goroutines returns how many goroutines package context has started for children.
func goroutines(t *testing.T) int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if len(stacks) == 1<<20 {
		t.Error("too many goroutines")
	}
	return strings.Count(string(stacks), "created by context.")
}
