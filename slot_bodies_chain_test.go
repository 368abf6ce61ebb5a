package pacedhttp_test

import (
	"context"
	"errors"
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

type bigKey struct{}

// Settle of a response that was set aside and came back, and of one a Fallback answers with.
func TestSettleOfARestoredResponse(t *testing.T) {
	p := pacer.Must(pacer.Config{MaxInFlight: 1, Limits: []pacer.Limit{{Cost: 150, Unit: "tokens", Period: time.Hour}}})
	rt := pacedhttp.New(newScript(step{status: 503, body: "abc"}), costing(100), pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(p))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
	if readAll(t, resp) != "abc" || !pacedhttp.Settle(resp, "tokens", 7) || used(p) != 7 {
		t.Errorf("%d used", used(p))
	}
}

// Everything at once.
func TestSettleCloseAndReadConcurrently(t *testing.T) {
	p := pacer.Must(pacer.Config{MaxInFlight: 4, Limits: []pacer.Limit{{Cost: 1 << 30, Unit: "tokens", Period: time.Hour}, {Calls: 1 << 20, Period: time.Second}}})
	for _, proto := range protocols {
		base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Usage")
			for range 10 {
				io.WriteString(w, strings.Repeat("x", 1000))
				w.(http.Flusher).Flush()
			}
			w.Header().Set("X-Usage", "5")
		})
		hedge := func(next http.RoundTripper) http.RoundTripper { // below Pace, where its doc allows it
			return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
				type result struct {
					resp *http.Response
					err  error
				}
				results := make(chan result)
				for range 2 {
					go func() {
						resp, err := next.RoundTrip(req.Clone(req.Context()))
						results <- result{resp, err}
					}()
				}
				first := <-results
				go func() {
					if second := <-results; second.resp != nil {
						second.resp.Body.Close()
					}
				}()
				return first.resp, first.err
			})
		}
		rt := pacedhttp.New(base, costing(10), pacedhttp.Retry(nil), pacedhttp.Pace(p), pacedhttp.Pace(flights(9)), hedge,
			pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil }))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				resp, err := rt.RoundTrip(newRequestTo(t, "GET", url, nil))
				if err != nil {
					t.Error(err)
					return
				}
				var inner sync.WaitGroup
				for i := range 5 {
					inner.Go(func() { pacedhttp.Settle(resp, "tokens", i*3) })
					inner.Go(func() { resp.Request.Context().Err(); pacedhttp.Settle(resp, "", i) })
				}
				inner.Go(func() { io.Copy(io.Discard, resp.Body) })
				inner.Go(func() { resp.Body.Close() })
				inner.Go(func() { resp.Body.Close() })
				inner.Wait()
			})
		}
		wg.Wait()
		if stats := p.Stats(); stats.InFlight != 0 {
			t.Errorf("%d in flight", stats.InFlight)
		}
	}
}

// "Whatever panics … leaves nothing open": the body of a foreign base too.
func TestABodyWhoseClosePanicsEndsItsSlot(t *testing.T) {
	p := flights(1)
	rt := pacedhttp.New(newScript(step{stream: struct {
		io.Reader
		io.Closer
	}{strings.NewReader("abc"), closerFunc(func() error { panic("close") })}}), pacedhttp.Pace(p))
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { recover() }()
		resp.Body.Close()
	}()
	if n := p.Stats().InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
}

// A delivered response that the program keeps, closed, keeps nothing of the slots of others.
func TestADeliveredResponseKeepsNoOtherSlots(t *testing.T) {
	p := pacer.Must(pacer.Config{MaxInFlight: 100})
	base := pacedhttp.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("abc")), Request: r}, nil
	})
	rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(p))
	var kept *http.Response
	gone := make(chan bool, 1)
	for i := range 3 {
		req := newRequest(t, "GET", nil)
		if i != 1 {
			big := new([1 << 20]byte)
			if i == 0 {
				runtime.AddCleanup(big, func(chan bool) { gone <- true }, gone)
			}
			req = req.WithContext(context.WithValue(req.Context(), bigKey{}, big))
		}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		if i == 1 {
			kept = resp
		}
	}
	for range 10 {
		runtime.GC()
	}
	select {
	case <-gone:
	case <-time.After(time.Second):
		t.Error("the first request's context is kept")
	}
	runtime.KeepAlive(kept)
}

// Request.Cancel and http.Client.Timeout end the wait for a flight.
func TestClientTimeoutEndsTheWaitForAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := flights(1)
		held, err := p.TryAcquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer held.Done()
		base := newScript()
		client := pacedhttp.WrapClient(&http.Client{Transport: base, Timeout: 50 * time.Millisecond}, pacedhttp.Retry(nil), pacedhttp.Pace(p))
		_, err = client.Get("http://api.test/")
		if !errors.Is(err, context.DeadlineExceeded) || base.calls() != 0 {
			t.Errorf("%v, %d sent", err, base.calls())
		}
		cancel := make(chan struct{})
		req := newRequest(t, "GET", nil)
		req.Cancel = cancel //lint:ignore SA1019 old clients set it
		time.AfterFunc(20*time.Millisecond, func() { close(cancel) })
		if _, _, err := send(t, client.Transport, req); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if stats := p.Stats(); stats.InFlight != 1 || stats.Waiting != 0 || stats.Granted != 1 {
			t.Errorf("%+v", stats)
		}
	})
}
