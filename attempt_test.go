package pacedhttp_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// timed returns a Retry layer whose attempts may take d.
func timed(d time.Duration) pacedhttp.Middleware {
	return pacedhttp.Retry(quick(retrypolicy.Config{AttemptTimeout: d}))
}

// waits returns a Waiter that takes d for each slot.
func waits(d time.Duration) pacedhttp.Waiter {
	return waiterFunc(func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func TestTimedOutAttemptIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{delay: time.Hour}, step{delay: time.Second - 1})
		began := time.Now()
		resp, err := pacedhttp.New(base, timed(time.Second)).RoundTrip(newRequest(t, "PUT", trackString("")))
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if at, want := base.times(began), []time.Duration{0, time.Second}; !slices.Equal(at, want) {
			t.Errorf("sent at %v, want %v", at, want)
		}
		if took := time.Since(began); took != 2*time.Second-1 {
			t.Errorf("the call took %v", took)
		}
	})
}

func TestTimedOutAttemptIsATimeoutAndNoCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{delay: time.Hour})
		rt := pacedhttp.New(base, timed(time.Second))
		_, err := rt.RoundTrip(newRequest(t, "GET", nil))
		failure, ok := errors.AsType[*retrypolicy.Error](err)
		if !ok || failure.Attempts != 4 || failure.Reason != retrypolicy.ReasonMaxAttempts || !failure.Timeout() {
			t.Errorf("got %#v", err)
		}
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%v must match DeadlineExceeded alone", err)
		}
		for _, r := range base.requests() {
			if cause, ok := context.Cause(r.Context()).(interface{ Timeout() bool }); !ok || !cause.Timeout() {
				t.Errorf("the attempt's context ended because of %v", context.Cause(r.Context()))
			}
		}
	})
}

// A POST that timed out may have been processed.
func TestTimedOutPostIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newScript(step{delay: time.Hour})
		var why []retrypolicy.Reason
		_, err := pacedhttp.New(base, reasons(&why), timed(time.Second)).RoundTrip(newRequest(t, "POST", nil))
		if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonMethodNotIdempotent}) || base.calls() != 1 {
			t.Errorf("%d sends, %v for %q", base.calls(), err, why)
		}
	})
}

func TestResponseThatComesAfterTheTimeoutIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := trackString("too late")
		base := newScript(step{answer: func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Minute) // heedless of the context
			return &http.Response{StatusCode: 200, Body: body}, nil
		}}, step{})
		if status, _, err := send(t, pacedhttp.New(base, timed(time.Second)), newRequest(t, "GET", nil)); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		body.wantClosedOnce(t)
	})
}

// A boundBody can be read as long as its request's context lives.
type boundBody struct{ ctx context.Context }

func (b boundBody) Read([]byte) (int, error) {
	time.Sleep(time.Second)
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return 0, io.EOF
}

func (boundBody) Close() error { return nil }

func TestAnswerAtTheTimeoutIsDeliveredOrTimedOutButNeverCut(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return &http.Response{StatusCode: 200, Body: boundBody{req.Context()}}, nil
			}})
			policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, AttemptTimeout: time.Second})
			resp, err := pacedhttp.New(base, pacedhttp.Retry(policy)).RoundTrip(newRequest(t, "GET", nil))
			if err == nil {
				readAll(t, resp)
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
}

func TestAttemptTimeoutDoesNotCountTheWaitForASlot(t *testing.T) {
	foreignLayer := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) { return next.RoundTrip(req.Clone(req.Context())) })
	}
	for name, below := range map[string][]pacedhttp.Middleware{
		"Pace":                    {pacedhttp.Pace(waits(time.Hour))},
		"Prepare, Pace":           {pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil }), pacedhttp.Pace(waits(time.Hour))},
		"foreign layer, Pace":     {foreignLayer, pacedhttp.Pace(waits(time.Hour))},
		"Pace, Pace":              {pacedhttp.Pace(waits(time.Hour / 2)), pacedhttp.Pace(waits(time.Hour / 2))},
		"foreign Transport, Pace": {func(next http.RoundTripper) http.RoundTripper { return foreignLayer(pacedhttp.New(next)) }, pacedhttp.Pace(waits(time.Hour))},
	} {
		for _, limit := range []time.Duration{1, time.Second} {
			t.Run(name+"/"+limit.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := newScript(step{delay: limit - 1})
					began := time.Now()
					resp, err := pacedhttp.New(base, slices.Insert(below, 0, timed(limit))...).RoundTrip(newRequest(t, "GET", nil))
					if err != nil {
						t.Fatal(err)
					}
					readAll(t, resp)
					if took, want := time.Since(began), time.Hour+limit-1; took != want || base.calls() != 1 {
						t.Errorf("%d sends took %v, want one and %v", base.calls(), took, want)
					}
				})

				synctest.Test(t, func(t *testing.T) {
					base := newScript(step{delay: limit + 1}, step{})
					began := time.Now()
					if _, err := pacedhttp.New(base, slices.Insert(below, 0, timed(limit))...).RoundTrip(newRequest(t, "GET", nil)); err != nil {
						t.Fatal(err)
					}
					if at, want := base.times(began), []time.Duration{time.Hour, 2*time.Hour + limit}; !slices.Equal(at, want) {
						t.Errorf("sent at %v, want %v", at, want)
					}
				})
			})
		}
	}
}

func TestCallersDeadlineIsFinal(t *testing.T) {
	for name, attempt := range map[string]time.Duration{"it comes first": time.Hour, "it comes in the second attempt": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				base := newScript(step{delay: time.Hour})
				began := time.Now()
				var why []retrypolicy.Reason
				_, err := pacedhttp.New(base, reasons(&why), timed(attempt)).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
				if !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonDeadline}) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v for %q", err, why)
				}
				if took, sends := time.Since(began), int(5*time.Second/attempt)+1; took != 5*time.Second || base.calls() != sends {
					t.Errorf("%d sends took %v", base.calls(), took)
				}
			})
		})
	}
}

func TestAttemptTimeoutNeverCutsADeliveredBody(t *testing.T) {
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = byte(i >> 8)
	}
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
					for chunk := range slices.Chunk(text, 64*kib) {
						w.Write(chunk)
						w.(http.Flusher).Flush()
						time.Sleep(time.Minute)
					}
				})
				began := time.Now()
				resp, err := pacedhttp.New(base, timed(time.Second)).RoundTrip(newRequest(t, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				if time.Since(began) != 0 || resp.Proto != proto {
					t.Errorf("%s headers after %v", resp.Proto, time.Since(began))
				}
				if got := readAll(t, resp); sha256.Sum256([]byte(got)) != sha256.Sum256(text) {
					t.Errorf("got %d bytes, not what was sent", len(got))
				}
				if took := time.Since(began); took != 16*time.Minute {
					t.Errorf("the body took %v", took)
				}
			})
		})
	}
}

func TestTimeoutOfAnOuterAttemptIsNotTheInnerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inner []error
		told := pacedhttp.Observe(pacedhttp.Hooks{AttemptDone: func(_ context.Context, i pacedhttp.AttemptResult) {
			inner = append(inner, i.Err)
		}})
		base := newScript(step{delay: time.Hour})
		rt := pacedhttp.New(base, timed(time.Second), told, timed(time.Minute))
		_, err := rt.RoundTrip(newRequest(t, "POST", nil))
		if !errors.Is(err, context.DeadlineExceeded) || base.calls() != 1 || len(inner) != 1 {
			t.Errorf("%v after %d sends", err, base.calls())
		}
		if want := "pacedhttp: attempt timed out: no response within 1s"; len(inner) == 1 && inner[0].Error() != want {
			t.Errorf("the inner attempt ended with %v", inner[0])
		}
	})
}
