package pacedhttp_test

import (
	"bytes"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A sink is a base transport that reads bodies and allocates nothing.
type sink struct {
	fine, busy http.Response
	failures   int // before each success
	sends      int
	buf        [4 * kib]byte
	received   int64
}

func newSink() *sink {
	return &sink{
		fine: http.Response{StatusCode: 200, Body: http.NoBody},
		busy: http.Response{StatusCode: 503, Body: http.NoBody},
	}
}

func (s *sink) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		for err := error(nil); err == nil; {
			var n int
			n, err = req.Body.Read(s.buf[:])
			s.received += int64(n)
		}
		req.Body.Close()
	}
	if s.sends++; s.sends%(s.failures+1) != 0 {
		return &s.busy, nil
	}
	return &s.fine, nil
}

// unlimited returns a pacer that always has a slot.
func unlimited() *pacer.Pacer { return pacer.Burst(1_000_000, time.Nanosecond) }

func TestGetAllocatesAtMostTwice(t *testing.T) {
	req := newRequest(t, "GET", nil)
	for name, mw := range map[string][]pacedhttp.Middleware{
		"Retry, Pace": {pacedhttp.Retry(nil), pacedhttp.Pace(unlimited())},
		"Retry with a budget, Pace": {pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{
			MaxAttempts: 2, MaxElapsed: time.Hour, Budget: retrypolicy.NewBudget(0.1, 10),
		})), pacedhttp.Pace(unlimited())},
		"Fallback, Retry, Pace": {pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)), pacedhttp.Retry(nil), pacedhttp.Pace(unlimited())},
	} {
		t.Run(name, func(t *testing.T) {
			rt := pacedhttp.New(newSink(), mw...)
			allocs := testing.AllocsPerRun(1000, func() { rt.RoundTrip(req) })
			if allocs > 2 {
				t.Errorf("%v allocations, want at most 2", allocs)
			}
		})
	}
}

// A body with GetBody is never copied, so what a call allocates does not grow with it.
func TestPostWithGetBodyAllocatesAtMostOneKiB(t *testing.T) {
	const runs, size = 1000, 64 * kib
	payload := noise(size)
	for name, tc := range map[string]struct {
		buffer int64
		sends  int // of each call
	}{
		"sent once":                   {0, 1},
		"sent once, despite a buffer": {1 << 20, 1},
		"sent again":                  {0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			base := newSink()
			base.failures = tc.sends - 1
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: tc.buffer})), pacedhttp.Pace(unlimited()))
			req := newRequest(t, "POST", bytes.NewReader(payload))
			req.Header.Set("Idempotency-Key", "1")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				req.Body, _ = req.GetBody()
				rt.RoundTrip(req)
			}
			runtime.ReadMemStats(&after)
			if got := (after.TotalAlloc - before.TotalAlloc) / uint64(runs*tc.sends); got > kib {
				t.Errorf("%d bytes allocated for each send, want at most %d", got, kib)
			}
			if want := int64(tc.sends) * runs * size; base.received != want {
				t.Errorf("%d bytes arrived, want %d", base.received, want)
			}
		})
	}
}
