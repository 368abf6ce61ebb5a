package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A waitingCloser is a body whose Close waits for the Read under way, as that of a
// server's request does, which proxies send on.
type waitingCloser struct {
	io.Reader
	busy chan struct{}
}

func (b waitingCloser) Read(p []byte) (int, error) {
	b.busy <- struct{}{}
	defer func() { <-b.busy }()
	return b.Reader.Read(p)
}

func (b waitingCloser) Close() error {
	b.busy <- struct{}{}
	<-b.busy
	return nil
}

func TestSlowProducerDelaysNeitherTheRequestNorTheDeadline(t *testing.T) {
	bodies := map[string]func(*io.PipeReader) io.ReadCloser{
		"Close ends a Read":    func(r *io.PipeReader) io.ReadCloser { return r },
		"Close waits for Read": func(r *io.PipeReader) io.ReadCloser { return waitingCloser{r, make(chan struct{}, 1)} },
	}
	for kind, newBody := range bodies {
		for _, proto := range protocols {
			for _, policy := range []retrypolicy.Config{
				{}, {ReplayBuffer: 3}, {ReplayBuffer: kib}, {AttemptTimeout: time.Minute}, {AttemptTimeout: time.Minute, ReplayBuffer: kib},
			} {
				name := fmt.Sprintf("%s/%s/%d/%v", kind, proto, policy.ReplayBuffer, policy.AttemptTimeout)
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						began := time.Now()
						var arrived []time.Duration
						base := servePiped(t, proto, func(_ http.ResponseWriter, r *http.Request) {
							arrived = append(arrived, time.Since(began))
							io.Copy(io.Discard, r.Body)
						})
						dials := countDials(base)
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						producer, feed := io.Pipe()
						go io.WriteString(feed, "the first bytes") // and then nothing
						body := track(newBody(producer))
						_, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(quick(policy))), newRequest(t, "PUT", body).WithContext(ctx))
						if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
							t.Errorf("%v after %v, want the deadline after 5s", err, took)
						}
						if strings.Contains(fmt.Sprint(err), "body") {
							t.Errorf("%q blames the body", err)
						}
						feed.Close()
						synctest.Wait()
						if *dials != 1 || !slices.Equal(arrived, seconds(0)) {
							t.Errorf("%d connections, requests at %v, want one at 0s", *dials, arrived)
						}
						body.wantOneClose(t)
					})
				})
			}
		}
	}
}

func TestAttemptTimeoutDoesNotWaitForABlockedProducer(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var got []string
				base := servePiped(t, proto, func(_ http.ResponseWriter, r *http.Request) {
					at := time.Since(began)
					if b, err := io.ReadAll(r.Body); err == nil {
						got = append(got, fmt.Sprint(at, " ", string(b)))
					}
				})
				producer, feed := io.Pipe()
				go func() {
					io.WriteString(feed, "a slow ")
					time.Sleep(5 * time.Second)
					io.WriteString(feed, "order")
					feed.Close()
				}()
				body := track(producer)
				rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib, AttemptTimeout: 2 * time.Second})))
				if status, _, err := send(t, rt, newRequest(t, "PUT", body)); status != 200 || err != nil {
					t.Errorf("got %d, %v", status, err)
				}
				// The attempts at 0 s and 2 s gave up on the producer.
				if want := []string{"4s a slow order"}; !slices.Equal(got, want) {
					t.Errorf("the server got %q, want %q", got, want)
				}
				synctest.Wait()
				body.wantOneClose(t)
			})
		})
	}
}

func TestEndOfTheContextClosesABodyStillBeingSent(t *testing.T) {
	for _, proto := range protocols {
		for _, buffer := range []int64{0, kib} {
			t.Run(fmt.Sprint(proto, "/", buffer), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
						http.NewResponseController(w).EnableFullDuplex()
						w.WriteHeader(200)
						w.(http.Flusher).Flush()
						io.Copy(io.Discard, r.Body)
					})
					ctx, cancel := context.WithCancel(t.Context())
					producer, feed := io.Pipe()
					go io.WriteString(feed, "the first bytes") // and then nothing, ever
					body := track(producer)
					rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: buffer})))
					resp, err := rt.RoundTrip(newRequest(t, "PUT", body).WithContext(ctx))
					if err != nil {
						t.Fatal(err)
					}
					if synctest.Wait(); body.closes.Load() != 0 {
						t.Error("the body was closed while it was being sent")
					}
					cancel()
					synctest.Wait()
					body.wantOneClose(t)
					resp.Body.Close()
				})
			})
		}
	}
}

// A foreignContext ends in a way that package context can only learn by a goroutine
// that waits for it.
type foreignContext struct {
	context.Context
	done chan struct{}
}

func (c foreignContext) Done() <-chan struct{} { return c.done }

func TestContextIsNotWatchedAfterTheCall(t *testing.T) {
	for name, buffer := range map[string]int64{"sent once": 0, "sent again": kib} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which ends only with all its goroutines
				base := newScript(step{status: 503}, step{status: 503}, step{})
				rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: buffer})))
				ctx := foreignContext{t.Context(), make(chan struct{})}
				if _, _, err := send(t, rt, newRequest(t, "PUT", trackString("order")).WithContext(ctx)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestRedirectHopWithoutGetBodyIsSentOnceOrReplayedFromTheBuffer(t *testing.T) {
	withoutGetBody := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			out := req.WithContext(req.Context())
			out.GetBody = nil
			return next.RoundTrip(out)
		})
	}
	for name, tc := range map[string]struct {
		buffer int64
		sends  []string
		status int
		reason []retrypolicy.Reason
	}{
		"no buffer": {0, []string{"0s PUT order", "0s PUT new order"}, 503, []retrypolicy.Reason{retrypolicy.ReasonBodyNotReplayable}},
		"buffer":    {kib, []string{"0s PUT order", "0s PUT new order", "0s PUT new order"}, 200, nil},
	} {
		t.Run(name, func(t *testing.T) {
			replies := []reply{{status: 308, header: header("Location", "/new")}, {status: 503}}
			overEveryBase(t, replies, func(t *testing.T, base http.RoundTripper, p *peer) {
				var gaveUp []retrypolicy.Reason
				client := pacedhttp.New(base, withoutGetBody, reasons(&gaveUp),
					pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: tc.buffer}))).Client()
				resp, err := client.Do(newRequest(t, "PUT", strings.NewReader("order")))
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
				if sends := p.received(); resp.StatusCode != tc.status || !slices.Equal(sends, tc.sends) || !slices.Equal(gaveUp, tc.reason) {
					t.Errorf("got %d, the server received %q, gave up for %q", resp.StatusCode, sends, gaveUp)
				}
			})
		})
	}
}

// A summedBody sets its request's trailer at its end, as net/http allows.
type summedBody struct {
	io.Reader
	trailer http.Header
}

func (b summedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.trailer.Set("X-Sum", "42")
	}
	return n, err
}

func TestTrailersOfARequestArriveWithEachAttempt(t *testing.T) {
	sign := func(r *http.Request, _ pacedhttp.AttemptInfo) error { r.Header.Set("X-Sign", "1"); return nil }
	for name, below := range map[string]pacedhttp.Middleware{"Retry": nil, "Retry, Prepare": pacedhttp.Prepare(sign)} {
		for _, proto := range protocols {
			t.Run(name+"/"+proto, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var got []string
					base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
						b, err := io.ReadAll(r.Body)
						if got = append(got, fmt.Sprint(string(b), " ", r.Trailer.Get("X-Sum"), " ", err)); len(got) < 3 {
							w.WriteHeader(503)
						}
					})
					trailer := http.Header{"X-Sum": nil}
					req := newRequest(t, "PUT", summedBody{strings.NewReader("order"), trailer})
					req.Trailer = trailer
					rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib})), below)
					if status, _, err := send(t, rt, req); status != 200 || err != nil {
						t.Errorf("got %d, %v", status, err)
					}
					if want := slices.Repeat([]string{"order 42 <nil>"}, 3); !slices.Equal(got, want) {
						t.Errorf("the server got %q, want %q", got, want)
					}
				})
			})
		}
	}
}

func TestTrailersAreNotSentWhileAnEarlierAttemptMaySetThem(t *testing.T) {
	for name, trailer := range map[string]http.Header{"trailers": {"X-Sum": nil}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				producer, feed := io.Pipe()
				base := newScript(
					step{answer: func(req *http.Request) (*http.Response, error) {
						go func() { io.Copy(io.Discard, req.Body); req.Body.Close() }()
						synctest.Wait()
						return &http.Response{StatusCode: 503}, nil
					}},
					step{answer: func(req *http.Request) (*http.Response, error) {
						return &http.Response{StatusCode: 200}, req.Body.Close()
					}})
				var why []retrypolicy.Reason
				req := newRequest(t, "PUT", producer)
				req.Trailer = trailer
				send(t, pacedhttp.New(base, reasons(&why), pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib}))), req)
				want := 2
				if trailer != nil {
					want = 1
				}
				if base.calls() != want || want == 1 && !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonBodyNotReplayable}) {
					t.Errorf("sent %d times, gave up for %q, want %d", base.calls(), why, want)
				}
				feed.Close()
			})
		})
	}
}
