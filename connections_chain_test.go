package pacedhttp_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// countDials returns how many connections base opens from now on.
func countDials(base *http.Transport) *int {
	dials, dial := 0, base.DialContext
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++ // no test here has two calls at a time
		return dial(ctx, network, addr)
	}
	return &dials
}

func TestRetriesReuseTheirConnection(t *testing.T) {
	text := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(n))
			w.WriteHeader(503)
			io.WriteString(w, strings.Repeat("x", n))
		}
	}
	chunks := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		for range 5 {
			io.WriteString(w, strings.Repeat("x", kib))
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	packed := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(503)
		z := gzip.NewWriter(w)
		io.WriteString(z, "come back later")
		z.Close()
	}
	for name, fail := range map[string]http.HandlerFunc{
		"without a body":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"with a short body":            text(10),
		"with a body at the bound":     text(drainBytes),
		"with a body of unknown size":  chunks,
		"with a body that is unpacked": packed,
	} {
		for way, layers := range map[string][]pacedhttp.Middleware{
			"retries": {pacedhttp.Retry(policyOf(4, time.Second))},
			"retries with a timeout": {pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{
				Backoff: retrypolicy.Constant(time.Second), AttemptTimeout: time.Minute,
			}))},
			"fallback":     {pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil))},
			"refused slot": {pacedhttp.Retry(policyOf(4, time.Second)), pacedhttp.Pace(everySecondSlot())},
		} {
			for _, proto := range protocols {
				t.Run(name+"/"+way+"/"+proto, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						base := servePiped(t, proto, fail)
						dials, rt := countDials(base), pacedhttp.New(base, layers...)
						for range 8 {
							if status, _, err := send(t, rt, newRequest(t, "GET", nil)); err != nil {
								t.Fatal(status, err)
							}
							synctest.Wait() // net/http lends a new HTTP/2 connection before it shares it
						}
						if *dials != 1 {
							t.Errorf("%d connections for 8 calls, want 1", *dials)
						}
					})
				})
			}
		}
	}
}

// everySecondSlot returns a Waiter that refuses every second time.
func everySecondSlot() pacedhttp.Waiter {
	n := 0
	return waiterFunc(func(context.Context) error {
		if n++; n%2 == 0 {
			return errClosed
		}
		return nil
	})
}

func TestEndlessOrSlowFailureDoesNotDelayTheRetry(t *testing.T) {
	for name, tc := range map[string]struct {
		piece int           // bytes
		pause time.Duration // after each
		after time.Duration // when the retry comes
	}{
		"endless":           {kib, 0, 0},
		"50 bytes a second": {50, time.Second, drainTime},
		"stalled":           {0, 10 * time.Hour, drainTime},
	} {
		for _, proto := range protocols {
			t.Run(name+"/"+proto, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					var sends []time.Duration
					base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
						if sends = append(sends, time.Since(began)); len(sends) > 1 {
							return
						}
						w.WriteHeader(503)
						for r.Context().Err() == nil {
							if _, err := io.WriteString(w, strings.Repeat("x", tc.piece)); err != nil {
								return
							}
							w.(http.Flusher).Flush()
							select {
							case <-time.After(tc.pause):
							case <-r.Context().Done():
							}
						}
					})
					rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{})))
					status, _, err := send(t, rt, newRequest(t, "GET", nil))
					if took := time.Since(began); status != 200 || err != nil || took != tc.after {
						t.Errorf("got %d, %v after %v, want 200 after %v", status, err, took, tc.after)
					}
					if len(sends) != 2 || sends[1] != tc.after {
						t.Errorf("sent at %v, want the second at %v", sends, tc.after)
					}
				})
			})
		}
	}
}
