package pacedhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestCallersBodyIsClosedOnceOnEveryPath(t *testing.T) {
	prepareFails := pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return errors.New("no key") })
	paths := map[string]struct {
		steps  []step
		cancel time.Duration // when the caller gives up; -1: before the call
		layers []pacedhttp.Middleware
		below  []pacedhttp.Middleware // below Retry
		policy retrypolicy.Config
	}{
		"success":                       {},
		"success after a retry":         {steps: []step{{status: 503}, {}}},
		"a failure that is not retried": {steps: []step{{status: 404}}},
		"exhausted with a response":     {steps: []step{{status: 503}}},
		"exhausted with an error":       {steps: []step{{err: io.ErrUnexpectedEOF}}},
		"exhausted without a send":      {steps: []step{{err: errRefused, unread: true}}},
		"refused the first slot":        {below: []pacedhttp.Middleware{pacedhttp.Pace(grants(0))}},
		"refused the second slot":       {steps: []step{{status: 503}}, below: []pacedhttp.Middleware{pacedhttp.Pace(grants(1))}},
		"refused it after an error":     {steps: []step{{err: io.ErrUnexpectedEOF}}, below: []pacedhttp.Middleware{pacedhttp.Pace(grants(1))}},
		"dead context":                  {cancel: -1},
		"cancelled during the backoff":  {steps: []step{{status: 503}}, cancel: time.Second / 2},
		"cancelled during the send":     {steps: []step{{delay: time.Hour}}, cancel: time.Second / 2},
		"cancelled during the wait":     {below: []pacedhttp.Middleware{pacedhttp.Pace(waiterFunc(untilDone))}, cancel: time.Second / 2},
		"Prepare fails":                 {below: []pacedhttp.Middleware{prepareFails}},
		"fallback":                      {steps: []step{{status: 503}}, layers: []pacedhttp.Middleware{pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))}},
		"attempt timeout":               {steps: []step{{delay: time.Hour}}, policy: retrypolicy.Config{AttemptTimeout: time.Minute}},
		"attempt timeout, then success": {steps: []step{{delay: time.Hour}, {}}, policy: retrypolicy.Config{AttemptTimeout: time.Minute}},
	}
	kinds := map[string]struct {
		copies bool
		buffer int64
	}{
		"GetBody":         {copies: true},
		"buffered stream": {buffer: kib},
		"stream too long": {buffer: 3},
		"plain stream":    {},
	}
	for path, tc := range paths {
		for kind, k := range kinds {
			t.Run(path+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tc.policy.Backoff = retrypolicy.Constant(time.Second)
					tc.policy.ReplayBuffer = k.buffer
					retry := pacedhttp.Retry(retrypolicy.Must(tc.policy))
					rt := pacedhttp.New(newScript(tc.steps...), append(append(tc.layers, retry), tc.below...)...)

					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tc.cancel < 0 {
						cancel()
					} else if tc.cancel > 0 {
						time.AfterFunc(tc.cancel, cancel)
					}
					bodies := []*trackedBody{trackString("payload")}
					req := newRequest(t, "PUT", bodies[0]).WithContext(ctx)
					if k.copies {
						req.GetBody = func() (io.ReadCloser, error) {
							bodies = append(bodies, trackString("payload"))
							return bodies[len(bodies)-1], nil
						}
					}
					resp, err := rt.RoundTrip(req)
					if (resp == nil) == (err == nil) {
						t.Fatalf("got %v and %v, want one of them", resp, err)
					}
					for _, body := range bodies {
						body.wantClosedOnce(t)
					}
					if resp != nil {
						readAll(t, resp)
					}
				})
			})
		}
	}
}

func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestEachLayerAloneClosesTheBody(t *testing.T) {
	for name, mw := range map[string]pacedhttp.Middleware{
		"Pace refuses":  pacedhttp.Pace(grants(0)),
		"Prepare fails": pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return errors.New("no key") }),
	} {
		t.Run(name, func(t *testing.T) {
			base, body := newScript(), trackString("payload")
			if _, err := pacedhttp.New(base, mw).RoundTrip(newRequest(t, "PUT", body)); err == nil || base.calls() != 0 {
				t.Errorf("%v after %d sends", err, base.calls())
			}
			body.wantClosedOnce(t)
		})
	}
}

func TestBodyOfAnEarlyAnswerStaysOpenUntilItIsSent(t *testing.T) {
	for name, buffer := range map[string]int64{"plain": 0, "kept": kib} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				producer, feed := io.Pipe()
				body := track(producer)
				var sent string
				base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
					go func() {
						defer req.Body.Close()
						b, err := io.ReadAll(req.Body)
						if sent = string(b); err != nil {
							t.Error(err)
						}
					}()
					return &http.Response{StatusCode: 200}, nil
				}})
				rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: buffer})))
				if _, err := rt.RoundTrip(newRequest(t, "PUT", body)); err != nil {
					t.Fatal(err)
				}
				if n := body.closes.Load(); n != 0 {
					t.Error("the body was closed with the answer, while it was still being sent")
				}
				io.WriteString(feed, "conver")
				io.WriteString(feed, "sation")
				feed.Close()
				synctest.Wait()
				if sent != "conversation" {
					t.Errorf("sent %q", sent)
				}
				body.wantClosedOnce(t)
			})
		})
	}
}

// A stuckBody blocks in Read until free is closed or, unless it is patient, until it
// is closed itself. Closing it twice panics.
type stuckBody struct {
	patient      bool          // Close waits for Read, as in the bodies of net/http's server
	lock         chan struct{} // a mutex that synctest can wait for
	free, closed chan struct{}
}

func newStuckBody(patient bool) *stuckBody {
	return &stuckBody{patient, make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
}

func (b *stuckBody) Read([]byte) (int, error) {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	select {
	case <-b.free:
		return 0, io.EOF
	case <-b.closed:
		return 0, http.ErrBodyReadAfterClose
	}
}

func (b *stuckBody) Close() error {
	if b.patient {
		b.lock <- struct{}{}
		defer func() { <-b.lock }()
	}
	close(b.closed)
	return nil
}

func TestNeitherAnswerNorCloseWaitsForABlockedBody(t *testing.T) {
	const early = 10 * time.Millisecond
	for name, tc := range map[string]struct {
		answer step
		buffer int64
		sends  int
	}{
		"413":                     {step{status: 413, body: "too large"}, 0, 1},
		"413, body kept":          {step{status: 413, body: "too large"}, kib, 1},
		"503":                     {step{status: 503, body: "busy"}, 0, 1},
		"503, body kept, retried": {step{status: 503, body: "busy"}, kib, 4},
		"error":                   {step{err: io.ErrUnexpectedEOF}, 0, 1},
		"error, retried":          {step{err: io.ErrUnexpectedEOF}, kib, 4},
	} {
		for _, patient := range []bool{false, true} {
			for _, closes := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/Close waits for Read: %v/base closes: %v", name, patient, closes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						body := newStuckBody(patient)
						var senders sync.WaitGroup
						defer func() { // lest a failure leaves goroutines behind
							close(body.free)
							senders.Wait()
							<-body.closed
						}()
						answers := newScript(tc.answer)
						base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
							senders.Go(func() {
								io.Copy(io.Discard, req.Body)
								req.Body.Close()
							})
							time.Sleep(early)
							if closes {
								req.Body.Close()
							}
							out := req.Clone(req.Context())
							out.Body = nil // is the sender's
							return answers.RoundTrip(out)
						}})
						began := time.Now()
						rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: tc.buffer})))
						resp, err := rt.RoundTrip(newRequest(t, "PUT", body))
						if n := base.calls(); n != tc.sends {
							t.Errorf("%d sends, want %d", n, tc.sends)
						}
						if (err == nil) != (tc.answer.err == nil) {
							t.Errorf("got %v, %v", resp, err)
						}
						if resp != nil && readAll(t, resp) != tc.answer.body {
							t.Error("the answer is not whole")
						}
						if took, want := time.Since(began), time.Duration(tc.sends)*early; took != want {
							t.Errorf("the call took %v, want %v", took, want)
						}
					})
				})
			}
		}
	}
}

func TestBlockedReadOfAnEarlierAttemptFeedsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer, feed := io.Pipe()
		body := track(producer)
		var first string
		base := newScript(
			step{answer: func(req *http.Request) (*http.Response, error) {
				go func() {
					defer req.Body.Close()
					b, err := io.ReadAll(req.Body)
					if first = string(b); err == nil {
						t.Error("the first attempt believes that it sent the whole body")
					}
				}()
				time.Sleep(time.Second) // into the middle of its second read
				return &http.Response{StatusCode: 503}, nil
			}},
			step{})
		go func() {
			for _, chunk := range []string{"before ", "meanwhile ", "after"} {
				io.WriteString(feed, chunk)
				time.Sleep(5 * time.Second)
			}
			feed.Close()
		}()
		rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: 64 * kib})))
		resp, err := rt.RoundTrip(newRequest(t, "PUT", body))
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if got := base.requests()[1].body; got != "before meanwhile after" {
			t.Errorf("the second attempt sent %q", got)
		}
		synctest.Wait()
		if first != "before " {
			t.Errorf("the first attempt sent %q", first)
		}
		body.wantClosedOnce(t)
	})
}

func TestAttemptIsNotCutOffBeforeItsAnswerIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		buffer int64
		copies bool
	}{
		"stream":                       {buffer: 64 * kib},
		"stream that fills its buffer": {buffer: 7},
		"GetBody":                      {copies: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
					answer, say := io.Pipe()
					go func() { // like net/http, drops the connection when it cannot send on
						if _, err := io.Copy(io.Discard, req.Body); err != nil {
							say.CloseWithError(err)
						}
						req.Body.Close()
					}()
					go func() {
						time.Sleep(10 * time.Millisecond)
						io.WriteString(say, "come back later")
						say.Close()
					}()
					synctest.Wait()
					return &http.Response{StatusCode: 503, Body: answer}, nil
				}})
				producer, feed := io.Pipe()
				go func() {
					io.WriteString(feed, "payload")
					time.Sleep(time.Millisecond)
					io.WriteString(feed, ", and the rest")
					feed.Close()
				}()
				req := newRequest(t, "PUT", producer)
				if tc.copies {
					req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("payload")), nil }
				}
				rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: tc.buffer})), pacedhttp.Pace(grants(1)))
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, resp); resp.StatusCode != 503 || got != "come back later" {
					t.Errorf("got %d %q", resp.StatusCode, got)
				}
				synctest.Wait()
			})
		})
	}
}

func TestEarlierAttemptCannotDisturbTheNext(t *testing.T) {
	var old *http.Request
	base := newScript(
		step{answer: func(req *http.Request) (*http.Response, error) {
			old = req
			io.ReadFull(req.Body, make([]byte, 3))
			return &http.Response{StatusCode: 503}, nil
		}},
		step{answer: func(req *http.Request) (*http.Response, error) {
			p := make([]byte, 7)
			io.ReadFull(req.Body, p[:5])
			if n, err := old.Body.Read(make([]byte, 7)); n != 0 || err == nil {
				t.Errorf("the earlier attempt read %d bytes, %v", n, err)
			}
			if body, err := old.GetBody(); err == nil {
				t.Errorf("the earlier attempt got a new body %v", body)
			}
			old.Body.Close()
			if _, err := io.ReadFull(req.Body, p[5:]); err != nil || string(p) != "payload" {
				t.Errorf("read %q, %v", p, err)
			}
			return &http.Response{StatusCode: 200}, req.Body.Close()
		}})
	body := trackString("payload")
	rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib})))
	if _, err := rt.RoundTrip(newRequest(t, "PUT", body)); err != nil {
		t.Fatal(err)
	}
	body.wantClosedOnce(t)
}

// With GetBody each attempt has a copy of its own, which is closed when the attempt is
// done with it, not when the call is.
func TestCopyOfAnAttemptIsClosedWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var copies []*trackedBody
		var old *http.Request
		base := newScript(
			step{status: 503},
			step{answer: func(req *http.Request) (*http.Response, error) { // and goes on sending
				old = req
				return &http.Response{StatusCode: 503}, nil
			}},
			step{answer: func(req *http.Request) (*http.Response, error) {
				if n, err := old.Body.Read(make([]byte, 7)); n != 0 || err == nil {
					t.Errorf("the earlier attempt read %d bytes, %v", n, err)
				}
				copies[1].wantClosedOnce(t)
				return &http.Response{StatusCode: 200}, req.Body.Close()
			}})
		req := newRequest(t, "PUT", nil)
		req.GetBody = func() (io.ReadCloser, error) {
			copies = append(copies, trackString("payload"))
			return copies[len(copies)-1], nil
		}
		req.Body, _ = req.GetBody()
		first := copies[0]
		time.AfterFunc(time.Minute, func() { first.wantClosedOnce(t) }) // during the first delay
		if status, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(policyOf(3, time.Hour))), req); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		copies[2].wantClosedOnce(t)
	})
}

// A GetBody may seek back what every copy reads.
func TestGetBodyThatSeeksBackSendsTheWholeBody(t *testing.T) {
	payload := noise(8 << 20)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			var sends atomic.Int64
			var got []byte
			base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
				if sends.Add(1) == 1 {
					w.WriteHeader(503) // early
					return
				}
				got, _ = io.ReadAll(r.Body)
			})
			shared := bytes.NewReader(payload)
			req := newRequestTo(t, "PUT", url, nil)
			req.GetBody = func() (io.ReadCloser, error) {
				_, err := shared.Seek(0, io.SeekStart)
				return io.NopCloser(shared), err
			}
			req.Body, _ = req.GetBody()
			req.ContentLength = int64(len(payload))
			status, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(policyOf(3, 20*time.Millisecond))), req)
			if status != 200 || err != nil || !bytes.Equal(got, payload) {
				t.Errorf("got %d, %v, the server got %d bytes of %d", status, err, len(got), len(payload))
			}
		})
	}
}
