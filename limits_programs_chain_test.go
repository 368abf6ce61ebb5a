package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A world is a program, its API and what lies between.
type world struct {
	apiUser
	rand   *rand.Rand
	fails  bool
	silent bool // what was used is known, and the pacer is not told
	api    *api
	quotas []*pacer.Pacer // of each key
	chain  http.RoundTripper
	calls  atomic.Int64
}

// flaws are what may be wrong with a world, or that nothing is, not even a failure.
type flaws struct{ none, noMargin, vendorsBucket, paceAboveRetry, bodyHidden, silent bool }

func newWorld(p apiUser, seed uint64, f flaws) *world {
	w := &world{apiUser: p, rand: rand.New(rand.NewPCG(seed, 7)), fails: !f.none, silent: f.silent}
	cfg := pacer.Config{MaxInFlight: p.flights}
	policy := retrypolicy.Config{Backoff: retrypolicy.Exponential(10*time.Millisecond, time.Second)}
	w.api = &api{apiUser: p, seed: seed, fails: w.fails, sent: map[string]*inquiry{}, keys: map[string]*readings{}, met: map[string]int{}}
	if p.limits != "" {
		w.api.limits, _ = pacer.ParseLimits(p.limits)
	}
	if w.fails {
		w.api.way, w.api.exceeds = time.Duration(w.rand.IntN(20))*time.Millisecond, w.rand.IntN(2) == 0
		cfg.Margin = w.api.way
		if w.rand.IntN(3) == 0 {
			cfg.MaxWait = 30 * time.Second
		}
		if w.rand.IntN(2) == 0 {
			policy.AttemptTimeout = longestWork * 9 / 10
		}
	}
	if f.noMargin {
		cfg.Margin = 0
	}
	for _, l := range w.api.limits {
		if l.Bucket > 0 && !f.vendorsBucket {
			l.Bucket -= flowsBack(l, w.api.way)
		}
		cfg.Limits = append(cfg.Limits, l)
	}
	for range max(1, p.keys) {
		w.quotas = append(w.quotas, pacer.Must(cfg))
	}
	if p.loop {
		policy.MaxAttempts = 1 // the loop sends again
	}
	w.chain = pacedhttp.New(w.api, w.layers(retrypolicy.Must(policy), f)...)
	return w
}

// flowsBack returns how much a bucket gets back in so long, rounded up.
func flowsBack(l pacer.Limit, d time.Duration) int {
	return int((d*time.Duration(max(l.Calls, l.Cost)) + l.Period - 1) / l.Period)
}

func (w *world) layers(policy *retrypolicy.Policy, f flaws) []pacedhttp.Middleware {
	cost := pacedhttp.Cost("tokens", func(req *http.Request) int { return number(req, "Estimate") })
	retry, pace := pacedhttp.Retry(policy), pacedhttp.PaceBy(w.pick)
	identify := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		req.Header.Set("Authorization", strconv.Itoa(keyIn(req)))
		return nil
	})
	switch {
	case f.paceAboveRetry:
		return []pacedhttp.Middleware{cost, w.choose, pace, retry, identify}
	case f.bodyHidden:
		return []pacedhttp.Middleware{cost, retry, w.choose, restored, pace, bodyless, identify}
	case w.loop:
		return []pacedhttp.Middleware{pacedhttp.Observe(pacedhttp.Hooks{SlotAcquired: w.acquired}), cost, retry, w.choose, pace, identify}
	}
	return []pacedhttp.Middleware{cost, retry, w.choose, pace, identify}
}

type keyOf struct{}

func keyIn(req *http.Request) int { return req.Context().Value(keyOf{}).(int) }

// choose gives each attempt the key that is free first.
func (w *world) choose(next http.RoundTripper) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		first, at := 0, time.Time{}
		for key, p := range w.quotas {
			if free := p.Stats().Predicted; key == 0 || free.Before(at) {
				first, at = key, free
			}
		}
		return next.RoundTrip(req.WithContext(context.WithValue(req.Context(), keyOf{}, first)))
	})
}

func (w *world) pick(req *http.Request) pacedhttp.Waiter {
	if t, ok := req.Context().Value(ticketOf{}).(*ticket); ok {
		return t
	}
	return w.quotas[keyIn(req)]
}

// acquired is told of the slots of an event loop's workers.
func (w *world) acquired(_ context.Context, i pacedhttp.SlotInfo) {
	if i.Waited > 0 {
		w.api.meets("a worker that waited")
	}
}

type bodyOf struct{}

// restored gives back the body that bodyless keeps from the layer between them.
func restored(next http.RoundTripper) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		var body io.ReadCloser
		resp, err := next.RoundTrip(req.WithContext(context.WithValue(req.Context(), bodyOf{}, &body)))
		if err == nil {
			resp.Body = body
		}
		return resp, err
	})
}

func bodyless(next http.RoundTripper) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			*req.Context().Value(bodyOf{}).(*io.ReadCloser), resp.Body = resp.Body, http.NoBody
		}
		return resp, err
	})
}

// run lets the program run in a bubble, and returns how many requests were read before its end.
func (w *world) run(t *testing.T, length time.Duration) (reads int) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(length)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(length, cancel)
		if w.loop {
			w.serve(t, ctx)
		} else {
			w.callAll(t, ctx)
		}
		reads = w.api.readBefore(end)
	})
	return reads
}

// callAll makes calls from many goroutines.
func (w *world) callAll(t *testing.T, ctx context.Context) {
	var callers sync.WaitGroup
	for range max(20+w.rand.IntN(41), 2*w.flights) {
		r := rand.New(rand.NewPCG(w.rand.Uint64(), 1))
		callers.Go(func() {
			for ctx.Err() == nil {
				w.call(t, ctx, w.tokens(r))
				if w.fails {
					time.Sleep(time.Duration(1+r.IntN(1000)) * time.Millisecond)
				}
			}
		})
	}
	callers.Wait()
}

// tokens is what a call is estimated to cost.
func (w *world) tokens(r *rand.Rand) int {
	if w.fails {
		return 1 + r.IntN(400)
	}
	return w.estimate
}

// call makes a call, of whose answer it may soon have enough, and reports whether it failed.
func (w *world) call(t *testing.T, ctx context.Context, estimate int) (failed bool) {
	number := w.calls.Add(1)
	r := rand.New(rand.NewPCG(w.api.seed, uint64(number)))
	hasty := false
	if w.fails {
		patience := time.Duration(r.Int64N(int64(30 * time.Second)))
		if r.IntN(2) == 0 {
			patience /= 1000
		}
		var cancel context.CancelFunc
		switch r.IntN(8) {
		case 0:
			ctx, cancel = context.WithTimeout(ctx, patience)
			defer cancel()
		case 1:
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			defer time.AfterFunc(patience, cancel).Stop()
		case 2:
			hasty = true
		}
	}
	req := newRequest(t, "GET", nil).WithContext(ctx)
	req.Header.Set("Call", fmt.Sprint(number))
	req.Header.Set("Estimate", fmt.Sprint(estimate))
	resp, err := w.chain.RoundTrip(req)
	if err != nil {
		w.api.meets(kindOf(err))
		return true
	}
	defer resp.Body.Close()
	if hasty {
		resp.Body.Read(make([]byte, 1+r.IntN(9)))
		w.api.meets("closed early")
		return false
	}
	body, err := io.ReadAll(resp.Body)
	if r.IntN(2) == 0 {
		resp.Body.Close()
	}
	if used, told := usageOf(string(body)); told {
		w.api.settles(resp)
		if !w.silent {
			pacedhttp.Settle(resp, "tokens", used)
		}
	}
	return err != nil || resp.StatusCode != 200
}

func kindOf(err error) string {
	_, refused := errors.AsType[*pacedhttp.PaceError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case refused:
		return "refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "too late"
	}
	return "failed for good"
}

// A ticket is an Acquirer of one start: that of a slot which an event loop has taken before.
type ticket struct{ slot atomic.Pointer[pacer.Slot] }

type ticketOf struct{}

var errOneStart = errors.New("a ticket is for one start")

func (t *ticket) Wait(context.Context) error { return errOneStart }

func (t *ticket) Acquire(context.Context) (*pacer.Slot, error) {
	if s := t.slot.Swap(nil); s != nil {
		return s, nil
	}
	return nil, errOneStart
}

// serve is an event loop: it begins a job where there is a slot for it, so that no worker ever
// waits for one. What failed comes back to the loop.
func (w *world) serve(t *testing.T, ctx context.Context) {
	type job struct{ estimate, attempts int }
	var waiting []job
	over := make(chan job)
	work := func(j job, slot *pacer.Slot) {
		var now ticket
		now.slot.Store(slot)
		failed := w.call(t, context.WithValue(ctx, ticketOf{}, &now), j.estimate)
		now.slot.Swap(nil).Cancel() // where nothing got as far as Pace
		if j.attempts++; !failed {
			j.attempts = 4
		}
		over <- j
	}
	end := ctx.Done()
	for running := 0; end != nil || running > 0; {
		var again <-chan time.Time
		if end != nil {
			if len(waiting) == 0 {
				waiting = append(waiting, job{estimate: w.tokens(w.rand)})
			}
			slot, err := w.quotas[0].TryAcquire(pacer.WithCost(ctx, "tokens", waiting[0].estimate))
			if err == nil {
				go work(waiting[0], slot)
				waiting, running = waiting[1:], running+1
				continue
			}
			if refusal, ok := errors.AsType[*pacer.Error](err); ok {
				again = time.After(refusal.Wait())
			}
		}
		select {
		case j := <-over:
			if running--; j.attempts < 4 {
				waiting = slices.Insert(waiting, 0, j)
			}
		case <-again:
		case <-end:
			end = nil
		}
	}
}
