package pacedhttp_test

//lint:file-ignore SA1019 Request.Cancel is what http.Client.Timeout still sets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// asksForDone is a base that asks for Done, as net/http does.
func asksForDone(status int, body string) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		req.Context().Done()
		if req.Body != nil {
			io.Copy(io.Discard, req.Body)
			req.Body.Close()
		}
		return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	})
}

func TestClientTimeoutWithMaxElapsedAndPaceDoesNotCrashTheProgram(t *testing.T) {
	if os.Getenv("PACEDHTTP_CRASH") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "PACEDHTTP_CRASH=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out[:min(len(out), 600)])
		}
		return
	}
	policy := quick(retrypolicy.Config{MaxAttempts: 2, MaxElapsed: time.Minute})
	client := pacedhttp.New(newSinkOf(503), pacedhttp.Retry(policy), pacedhttp.Pace(pacer.Burst(1_000_000, time.Second))).Client()
	client.Timeout = time.Hour
	for range 1000 {
		if resp, err := client.Get("http://api.test/"); err == nil {
			resp.Body.Close()
		}
	}
}

func newSinkOf(status int) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: make(http.Header), Body: http.NoBody, Request: req}, nil
	})
}

func TestContextOfAWaitKeepsToContextsContract(t *testing.T) {
	var kept context.Context
	w := waiterFunc(func(ctx context.Context) error { ctx.Done(); kept = ctx; return nil })
	req := newRequest(t, "GET", nil)
	req.Cancel = make(chan struct{})
	send(t, pacedhttp.New(newSinkOf(200), pacedhttp.Pace(w)), req)
	select {
	case <-kept.Done():
		if kept.Err() == nil {
			t.Error("Done is closed and Err is nil")
		}
	default:
	}
}

func TestChildOfAResponsesContextEndsWithTheCallers(t *testing.T) {
	for name, mw := range map[string]pacedhttp.Middleware{"Retry": pacedhttp.Retry(nil), "Fallback": pacedhttp.Fallback(keep)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				resp, err := pacedhttp.New(asksForDone(200, "page"), mw).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}
				child, stop := context.WithCancel(resp.Request.Context())
				defer stop()
				done := resp.Request.Context().Done()
				readAll(t, resp)
				cancel()
				synctest.Wait()
				if child.Err() == nil {
					t.Error("a context made from the response's before it was read has not ended")
				}
				select {
				case <-done:
				default:
					t.Error("Done, asked for before, is not closed")
				}
			})
		})
	}
}

// The next page is asked for while this one is still being read.
func TestNextPageEndsWithTheCaller(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/2" {
						w.(http.Flusher).Flush()
						<-r.Context().Done()
						return
					}
					io.WriteString(w, "page")
				})
				rt := pacedhttp.New(base, pacedhttp.Retry(nil))
				ctx, cancel := context.WithCancel(t.Context())
				first, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}
				second, err := rt.RoundTrip(newRequestTo(t, "GET", "http://api.test/2", nil).WithContext(first.Request.Context()))
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, first)
				ended := make(chan error, 1)
				go func() { _, err := io.ReadAll(second.Body); ended <- err }()
				synctest.Wait()
				cancel()
				synctest.Wait()
				select {
				case <-ended:
				default:
					t.Error("the caller cancelled, and the second page goes on")
				}
				second.Body.Close()
			})
		})
	}
}

// The server answers in full and reads on.
func TestCancellationClosesABodyThatIsSentAfterTheAnswerWasRead(t *testing.T) {
	for name, getBody := range map[string]bool{"stream": false, "copies": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				pr, pw := io.Pipe()
				defer pw.Close()
				body := track(pr)
				req := newRequest(t, "PUT", body).WithContext(ctx)
				if getBody {
					req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("none") }
				}
				var sent *http.Request
				base := pacedhttp.RoundTripperFunc(func(out *http.Request) (*http.Response, error) {
					sent = out
					go func() { io.Copy(io.Discard, out.Body); out.Body.Close() }()
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("fine"))}, nil
				})
				resp, err := pacedhttp.New(base, pacedhttp.Retry(nil)).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
				synctest.Wait()
				cancel()
				synctest.Wait()
				if sent.Context().Err() == nil {
					t.Error("the context of the send has not ended")
				}
				body.wantOneClose(t)
			})
		})
	}
}

func TestContextOfPagesDoesNotGrowOverHTTPS(t *testing.T) {
	for _, proto := range protocols {
		var base http.RoundTripper = asksForDone(200, "page")
		rt := pacedhttp.New(base, pacedhttp.Retry(nil))
		ctx, second := t.Context(), 0
		for page := range 20 {
			resp, err := rt.RoundTrip(newRequestTo(t, "GET", "https://api.test/", nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, resp)
			if ctx = resp.Request.Context(); page == 1 {
				second = depth(ctx)
			}
		}
		if d := depth(ctx); d > second {
			t.Errorf("%s: the context of page 20 is %d deep, of page 2 %d", proto, d, second)
		}
	}
}

// The caller cancels when the slot is there: nothing may be sent.
func TestCancelledWhenTheSlotCameSendsNothing(t *testing.T) {
	sent := 0
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		w := waiterFunc(func(ctx context.Context) error { ctx.Done(); cancel(); return nil })
		base := newScript()
		pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(w)).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
		sent += base.calls()
	}
	if sent != 0 {
		t.Errorf("%d of 100 were sent after the cancellation", sent)
	}
}

func TestPrepareThatChoosesAHostIsCalledForARedirectToTheSameHost(t *testing.T) {
	var signed []string
	base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		signed = append(signed, req.URL.Path+" "+req.Header.Get("X-Signature"))
		resp := &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody, Request: req}
		if req.URL.Path == "/a" {
			resp.StatusCode = 302
			resp.Header.Set("Location", "/b")
		}
		return resp, nil
	})
	client := pacedhttp.New(base, pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		req.URL.Host = "10.0.0.7" // one of the service's machines
		req.Header.Set("X-Signature", "yes")
		return nil
	})).Client()
	req := newRequestTo(t, "GET", "http://api.test/a", nil)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := fmt.Sprint(signed); got != "[/a yes /b yes]" {
		t.Error(got)
	}
}

// The reverse: what Prepare made of the first hop's URL must not widen whom it is called for.
func TestPrepareThatChoosesAHostIsNotCalledForThatHostsOwnName(t *testing.T) {
	called := 0
	var auth []string
	base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		auth = append(auth, req.Header.Get("Authorization"))
		resp := &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody, Request: req}
		if req.URL.Path == "/a" {
			resp.StatusCode = 302
			resp.Header.Set("Location", "http://shared-proxy.test/b")
		}
		return resp, nil
	})
	client := pacedhttp.New(base, pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		called++
		req.URL.Host = "shared-proxy.test"
		return nil
	})).Client()
	req := newRequestTo(t, "GET", "http://api.test/a", nil)
	req.Header.Set("Authorization", "mine")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if auth[1] != "" || called != 1 {
		t.Errorf("http.Client sent Authorization %q to the other host, Prepare was called %d times", auth[1], called)
	}
}

func TestFallbackIsNotAskedAfterRequestCancel(t *testing.T) {
	cancel := make(chan struct{})
	asked := 0
	base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		close(cancel)
		return nil, errors.New("net/http: request canceled")
	})
	rt := pacedhttp.New(base, pacedhttp.Fallback(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
		asked++
		return resp, err
	}), pacedhttp.Retry(nil))
	req := newRequest(t, "GET", nil)
	req.Cancel = cancel
	send(t, rt, req)
	if asked != 0 {
		t.Error("the caller cancelled, and the fallback was asked")
	}
}

func TestCheckFindsNothingWrongWithLayersThatPaceNothing(t *testing.T) {
	var none *pacer.Pacer
	for name, mw := range map[string][]pacedhttp.Middleware{
		"nil above Retry":         {pacedhttp.Pace(nil), pacedhttp.Retry(nil)},
		"nil pointer above Retry": {pacedhttp.Pace(none), pacedhttp.Retry(nil)},
		"nil pointer twice":       {pacedhttp.Retry(nil), pacedhttp.Pace(none), pacedhttp.Pace(none)},
	} {
		if err := pacedhttp.New(newScript(), mw...).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOwnErrorsHoldNoSecrets(t *testing.T) {
	secret := &url.Error{Op: "Get", URL: "https://auth.test/token?client_secret=hush", Err: errLost}
	ctx, cancel := context.WithCancelCause(t.Context())
	bad := newRequest(t, "PUT", strings.NewReader("x"))
	bad.GetBody = func() (io.ReadCloser, error) { return nil, secret }
	for name, try := range map[string]func() error{
		"Prepare": func() error {
			_, _, err := send(t, pacedhttp.New(newScript(), pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return secret })), newRequest(t, "GET", nil))
			return err
		},
		"GetBody": func() error {
			_, _, err := send(t, pacedhttp.New(newScript(step{status: 503}), pacedhttp.Retry(policyOf(2, 0))), bad)
			return err
		},
		"ended with a cause in the first attempt": func() error {
			base := newScript(step{answer: func(*http.Request) (*http.Response, error) { cancel(errLost); return nil, secret }})
			_, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(nil)), newRequest(t, "GET", nil).WithContext(ctx))
			return err
		},
	} {
		if err := try(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContextOfAttemptDoneIsAliveAsTheCallersIs(t *testing.T) {
	for asks, want := range map[bool]error{false: nil, true: nil} {
		base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			if asks {
				req.Context().Done()
			}
			return nil, errRefused
		})
		rt := pacedhttp.New(base, pacedhttp.Observe(pacedhttp.Hooks{AttemptDone: func(ctx context.Context, _ pacedhttp.AttemptResult) {
			if ctx.Err() != want {
				t.Errorf("base asks for Done: %v: the hook's context has ended with %v", asks, ctx.Err())
			}
		}}), pacedhttp.Retry(policyOf(1, 0)))
		send(t, rt, newRequest(t, "GET", nil))
	}
}

func TestRefusalFarFromTheDeadlineIsNotTheDeadlines(t *testing.T) {
	var why []retrypolicy.Reason
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	w := waiterFunc(func(context.Context) error { return errors.New("rate: Wait(n=1) exceeds limiter's burst 0") })
	rt := pacedhttp.New(newScript(), reasons(&why), pacedhttp.Retry(nil), pacedhttp.Pace(w))
	send(t, rt, newRequest(t, "GET", nil).WithContext(ctx))
	if len(why) != 1 || why[0] == retrypolicy.ReasonDeadline {
		t.Errorf("gave up for %q an hour before the deadline", why)
	}
}

func TestFallbackFollowsThePolicyBelowWhateverRequestTheResponseNames(t *testing.T) {
	base := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		own := req.Clone(context.Background())
		return &http.Response{StatusCode: 503, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("busy")), Request: own}, nil
	})
	asked := 0
	accept := retrypolicy.Must(retrypolicy.Config{Classify: func(retrypolicy.Attempt) retrypolicy.Verdict { return retrypolicy.Accept }})
	rt := pacedhttp.New(base, pacedhttp.Fallback(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
		asked++
		return resp, err
	}), pacedhttp.Retry(accept))
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if asked != 0 {
		t.Error("the policy of the Retry layer accepts it, and the fallback is asked")
	}
}

func TestEndOfTheCallersContextIsSeenAtOnce(t *testing.T) {
	late := 0
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := pacedhttp.New(asksForDone(200, "page"), pacedhttp.Retry(nil)).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if resp.Request.Context().Err() == nil {
			late++
		}
		resp.Body.Close()
	}
	if late > 0 {
		t.Errorf("%d of 100", late)
	}
}
