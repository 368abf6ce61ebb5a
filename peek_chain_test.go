package pacedhttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// peeking returns a policy of some sends that peeks at n bytes of whatever comes, tells what
// it saw, and takes it for v.
func peeking(attempts, n int, v retrypolicy.Verdict, saw *[]string) *retrypolicy.Policy {
	return quick(retrypolicy.Config{MaxAttempts: attempts, Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
		*saw = append(*saw, string(a.Peek(n)))
		return v
	}})
}

// underPeeks are the layers below Retry: those that judge before Retry does put bodies of their
// own around what was peeked at.
var underPeeks = map[string]func() []pacedhttp.Middleware{
	"alone":         func() []pacedhttp.Middleware { return nil },
	"Pace":          func() []pacedhttp.Middleware { return []pacedhttp.Middleware{pacedhttp.Pace(&pausable{})} },
	"Pace by slots": func() []pacedhttp.Middleware { return []pacedhttp.Middleware{paceBySlots()} },
	"three of them": func() []pacedhttp.Middleware {
		return []pacedhttp.Middleware{paceBySlots(), pacedhttp.Pace(&pausable{}), paceBySlots()}
	},
}

func paceBySlots() pacedhttp.Middleware {
	return pacedhttp.Pace(pacer.Must(pacer.Config{MaxInFlight: 9}))
}

func packed(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.Bytes()
}

func TestPeekedResponseIsDeliveredWhole(t *testing.T) {
	text := strings.Repeat("You have exceeded a secondary rate limit. ", 5*kib)
	for _, proto := range protocols {
		for kind, compressed := range map[string]bool{"plain": false, "compressed": true} {
			for name, below := range underPeeks {
				t.Run(proto+"/"+kind+"/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
							w.Header().Set("Trailer", "Checksum")
							if compressed {
								w.Header().Set("Content-Encoding", "gzip")
								w.Write(packed(text))
							} else {
								io.WriteString(w, text)
							}
							w.Header().Set("Checksum", "c0ffee")
						})
						var saw []string
						mw := append([]pacedhttp.Middleware{pacedhttp.Retry(peeking(1, 8*kib, retrypolicy.Accept, &saw))}, below()...)
						resp, err := pacedhttp.New(base, mw...).RoundTrip(newRequest(t, "GET", nil))
						if err != nil {
							t.Fatal(err)
						}
						if resp.Uncompressed != compressed {
							t.Errorf("Uncompressed is %v", resp.Uncompressed)
						}
						if got := readAll(t, resp); got != text {
							t.Errorf("read %d bytes of %d", len(got), len(text))
						}
						if len(saw) != 1 || saw[0] != text[:8*kib] {
							t.Errorf("peeked %d times", len(saw))
						}
						if got := resp.Trailer.Get("Checksum"); got != "c0ffee" {
							t.Errorf("the trailer is %q", got)
						}
					})
				})
			}
		}
	}
}

func TestPeekAtAnEmptyAnswerAndAtHEAD(t *testing.T) {
	for _, proto := range protocols {
		base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", map[string]string{"HEAD": "77", "GET": "0"}[r.Method])
		})
		for _, method := range []string{"GET", "HEAD"} {
			var saw []string
			rt := pacedhttp.New(base, pacedhttp.Retry(peeking(1, 10, retrypolicy.Accept, &saw)))
			resp, err := rt.RoundTrip(newRequestTo(t, method, url, nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, resp); got != "" || len(saw) != 1 || saw[0] != "" {
				t.Errorf("%s, %s: read %q, peeked %q", proto, method, got, saw)
			}
		}
	}
}

func TestResponseIsDiscardedAfterAPeekWithinTheSameBounds(t *testing.T) {
	const peekTime = 100 * time.Millisecond
	for name, tc := range map[string]struct {
		body  *slowBody
		peek  int
		read  int
		after time.Duration
	}{
		"endless":           {newSlowBody(kib, 0), 8 * kib, drainBytes, 0},
		"endless, peeked":   {newSlowBody(kib, 0), drainBytes, drainBytes, 0},
		"stalled":           {newSlowBody(kib, time.Hour), 10, 0, peekTime + drainTime},
		"50 bytes a second": {newSlowBody(50, time.Second), 10, 0, peekTime + drainTime},
		"a trickle":         {newSlowBody(1, 30*time.Millisecond), 10, 6, peekTime + drainTime},
	} {
		for layers, below := range underPeeks {
			t.Run(name+"/"+layers, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					body := newSlowBody(tc.body.size, tc.body.pause) // of this bubble
					base := newScript(step{status: 503, stream: body}, step{})
					began := time.Now()
					var saw []string
					policy := peeking(2, tc.peek, retrypolicy.Transient, &saw)
					resp, err := pacedhttp.New(base, append([]pacedhttp.Middleware{pacedhttp.Retry(policy)}, below()...)...).RoundTrip(newRequest(t, "GET", nil))
					if err != nil || resp.StatusCode != 200 {
						t.Fatal(resp, err)
					}
					if took := time.Since(began); took != tc.after {
						t.Errorf("the next attempt came after %v, want %v", took, tc.after)
					}
					resp.Body.Close()
					synctest.Wait()
					if body.given != tc.read {
						t.Errorf("%d bytes were read, want %d", body.given, tc.read)
					}
					base.responseBodies()[0].wantClosedOnce(t)
				})
			})
		}
	}
}

// Pace and Retry ask ServerDelay one after the other, and in between lie their own bodies.
func TestPeeksOfAllLayersShareTheirTime(t *testing.T) {
	for name, below := range underPeeks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := newSlowBody(kib, time.Hour)
				began, asked := time.Now(), 0
				policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 1, ServerDelay: func(resp *http.Response, _ time.Time) (time.Duration, bool) {
					asked++
					retrypolicy.Attempt{Response: resp}.Peek(10)
					return time.Hour, true
				}})
				resp, err := pacedhttp.New(newScript(step{status: 503, stream: body}), append([]pacedhttp.Middleware{pacedhttp.Retry(policy)}, below()...)...).RoundTrip(newRequest(t, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != 100*time.Millisecond || asked < 1 {
					t.Errorf("%d Peeks took %v", asked, took)
				}
				resp.Body.Close()
			})
		})
	}
}

func TestPeekedResponseThatWasSetAsideIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Repeat("come back later ", 100)
		var saw []string
		rt := pacedhttp.New(newScript(step{status: 503, body: text}), pacedhttp.Retry(peeking(9, 10, retrypolicy.Transient, &saw)), pacedhttp.Pace(grants(1)))
		if status, got, err := send(t, rt, newRequest(t, "GET", nil)); status != 503 || got != text || err != nil {
			t.Errorf("%d, %d bytes, %v", status, len(got), err)
		}
	})
}

// net/http does not close a body that it decompresses while it waits for its first bytes, and
// what reads ahead waits for them.
func TestCompressedAnswerThatNeverBeginsIsClosedAfterAPeek(t *testing.T) {
	for _, proto := range protocols {
		for _, attempts := range []int{1, 2} {
			for name, below := range underPeeks {
				t.Run(proto+"/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						gone := make(chan struct{}, 9)
						base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
							w.Header().Set("Content-Encoding", "gzip")
							w.WriteHeader(http.StatusServiceUnavailable)
							w.(http.Flusher).Flush()
							<-r.Context().Done()
							gone <- struct{}{}
						})
						began := time.Now()
						var saw []string
						policy := peeking(attempts, 10, retrypolicy.Transient, &saw)
						resp, err := pacedhttp.New(base, append([]pacedhttp.Middleware{pacedhttp.Retry(policy)}, below()...)...).RoundTrip(newRequest(t, "GET", nil).WithContext(context.WithoutCancel(t.Context())))
						if err != nil || resp.StatusCode != 503 {
							t.Fatal(resp, err)
						}
						// A Peek each, and the first response's drain.
						if took, want := time.Since(began), time.Duration(2*attempts-1)*drainTime; took != want {
							t.Errorf("took %v, want %v", took, want)
						}
						resp.Body.Close()
						for range attempts {
							<-gone // or the bubble hangs
						}
						if took, want := time.Since(began), time.Duration(2*attempts-1)*drainTime; took != want {
							t.Errorf("gone after %v, want %v", took, want)
						}
					})
				})
			}
		}
	}
}

func TestCompressedAnswerThatNeverBeginsIsClosedWithoutAnExchangeToEnd(t *testing.T) {
	for _, proto := range protocols {
		synctest.Test(t, func(t *testing.T) {
			base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
			ctx, cancel := context.WithCancel(t.Context())
			req := newRequest(t, "GET", nil).WithContext(ctx)
			resp, err := base.RoundTrip(req) // a loop of one's own
			if err != nil {
				t.Fatal(err)
			}
			if got := (retrypolicy.Attempt{Request: req, Response: resp}).Peek(10); len(got) != 0 {
				t.Errorf("peeked %q", got)
			}
			for range 2 {
				if err := resp.Body.Close(); err != nil { // does not wait
					t.Error(err)
				}
			}
			cancel()
		})
	}
}

func TestAttemptTimeoutCutsNoPeek(t *testing.T) {
	for name, below := range underPeeks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const ms = time.Millisecond
				base := servePiped(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(40 * ms)
					w.WriteHeader(403)
					w.(http.Flusher).Flush()
					time.Sleep(60 * ms)
					io.WriteString(w, "slow")
					w.(http.Flusher).Flush()
					time.Sleep(time.Hour)
					io.WriteString(w, " but whole")
				})
				var saw []string
				policy := retrypolicy.Must(retrypolicy.Config{AttemptTimeout: 50 * ms, Classify: func(a retrypolicy.Attempt) retrypolicy.Verdict {
					saw = append(saw, string(a.Peek(10)))
					return retrypolicy.Accept
				}})
				var took []time.Duration
				observe := pacedhttp.Observe(pacedhttp.Hooks{AttemptDone: func(_ context.Context, r pacedhttp.AttemptResult) { took = append(took, r.Duration) }})
				rt := pacedhttp.New(base, append([]pacedhttp.Middleware{observe, pacedhttp.Retry(policy)}, below()...)...)
				if status, body, err := send(t, rt, newRequest(t, "GET", nil)); status != 403 || body != "slow but whole" || err != nil {
					t.Errorf("%d %q, %v", status, body, err)
				}
				if len(saw) != 1 || saw[0] != "slow" {
					t.Errorf("peeked %q", saw)
				}
				if len(took) != 1 || took[0] != 40*ms {
					t.Errorf("attempts took %v, want 40ms: a Peek is no part of them", took)
				}
			})
		})
	}
}

func TestCallerWhoCancelsEndsAPeek(t *testing.T) {
	for _, proto := range protocols {
		synctest.Test(t, func(t *testing.T) {
			base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(503)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
			ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, errLost)
			defer cancel()
			began := time.Now()
			var saw []string
			rt := pacedhttp.New(base, pacedhttp.Retry(peeking(4, 10, retrypolicy.Transient, &saw)))
			resp, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
			if took := time.Since(began); took != 30*time.Millisecond || len(saw) != 1 {
				t.Errorf("%s: %d peeks took %v", proto, len(saw), took)
			}
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errLost) {
				t.Errorf("%s: %v", proto, err)
			}
		})
	}
}
