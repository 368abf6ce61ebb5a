package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

const tokens = "tokens"

// waits is a Waiter and nothing more.
type waits func(context.Context) error

func (f waits) Wait(ctx context.Context) error { return f(ctx) }

// pausable is a Waiter without slots that keeps the pauses it is told of.
type pausable struct {
	waits
	until []time.Time
}

func (w *pausable) PauseUntil(t time.Time) { w.until = append(w.until, t) }

func used(t *testing.T, p *pacer.Pacer, limit, want int) {
	t.Helper()
	if got := p.Stats().Limits[limit]; got.Used != want {
		t.Errorf("%v: %d used, want %d", got.Limit, got.Used, want)
	}
}

func TestEachAttemptTakesASlot(t *testing.T) {
	for name, pace := range map[string]func(*pacer.Pacer) Waiter{
		"a Pacer":  func(p *pacer.Pacer) Waiter { return p },
		"a Waiter": func(p *pacer.Pacer) Waiter { return waits(p.Wait) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacer.Burst(2, 10*time.Second)
				var at []time.Duration
				n, err := Call[int]{Policy: everySecond(), Pacer: pace(p)}.Do(t.Context(), script(&at, errBoom, errBoom, errBoom))
				if n != 4 || err != nil || fmt.Sprint(at) != "[0s 1s 10s 11s]" || p.Stats().Granted != 4 {
					t.Errorf("%d, %v at %v", n, err, at)
				}
			})
		})
	}
}

func TestANilPacerPacesNothing(t *testing.T) {
	for _, w := range []Waiter{nil, (*pacer.Pacer)(nil), (*pausable)(nil)} {
		var at []time.Duration
		p := Must(Config{Backoff: Constant(0)})
		if n, err := (Call[int]{Policy: p, Pacer: w}).Do(t.Context(), script(&at, asks(0))); n != 2 || err != nil {
			t.Errorf("%T: %d, %v", w, n, err)
		}
	}
}

func TestFourCallersWithRetriesKeepToOneQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 5, Period: 10 * time.Second}}, MaxInFlight: 3})
		c := Call[int]{Policy: Must(Config{MaxAttempts: 4, Backoff: Constant(0)}), Pacer: p}
		began := time.Now()
		var mu sync.Mutex
		starts := map[time.Duration]int{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				c.Do(t.Context(), func(context.Context) (int, error) {
					mu.Lock()
					starts[time.Since(began)]++
					mu.Unlock()
					if got := p.Stats().InFlight; got < 1 || got > 3 {
						t.Errorf("%d in flight", got)
					}
					time.Sleep(time.Second)
					return 0, errBoom
				})
			})
		}
		wg.Wait()
		for from := range starts {
			in := 0
			for at, n := range starts {
				if at >= from && at < from+10*time.Second {
					in += n
				}
			}
			if in > 5 {
				t.Errorf("%d starts within 10 s of %v", in, from)
			}
		}
		// Whether a retry or the call behind it is the first to see a flight end is open.
		if got := p.Stats(); starts[30*time.Second] == 0 || len(starts) > 8 || got.InFlight != 0 || got.Granted != 16 {
			t.Errorf("%v; %d in flight of %d", starts, got.InFlight, got.Granted)
		}
	})
}

func TestASlotIsDoneBeforeOnRetryAndTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{MaxInFlight: 1})
		c := Call[int]{Policy: everySecond(), Pacer: p, OnRetry: func(context.Context, error, int, time.Duration) {
			if p.Stats().InFlight != 0 {
				t.Error("in flight during OnRetry")
			}
		}}
		time.AfterFunc(500*time.Millisecond, func() {
			if p.Stats().InFlight != 0 {
				t.Error("in flight during the delay")
			}
		})
		var at []time.Duration
		if n, err := c.Do(t.Context(), script(&at, errBoom)); n != 2 || err != nil || p.Stats().InFlight != 0 {
			t.Errorf("%d, %v, %d in flight", n, err, p.Stats().InFlight)
		}
	})
}

func TestAttemptTimeoutBeginsWithTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(1, 10*time.Second)
		c := Call[int]{Policy: Must(Config{MaxAttempts: 3, Backoff: Constant(0), AttemptTimeout: time.Second}), Pacer: p}
		began := time.Now()
		var at, left []time.Duration
		_, err := c.Do(t.Context(), func(ctx context.Context) (int, error) {
			deadline, _ := ctx.Deadline()
			at, left = append(at, time.Since(began)), append(left, time.Until(deadline))
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if fmt.Sprint(at, left) != "[0s 10s 20s] [1s 1s 1s]" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("called at %v with %v left, %v", at, left, err)
		}
	})
}

func TestWhatAPacerIsToldOfAnAttempt(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	none := pacer.Outcome{}
	for _, c := range []struct {
		ctx     context.Context
		verdict Verdict
		err     error
		want    pacer.Outcome
		known   bool
	}{
		{t.Context(), Accept, nil, none, true},
		{canceled, Accept, nil, none, true},
		{t.Context(), Accept, errBoom, none, false},
		{t.Context(), Transient, errBoom, pacer.Outcome{Failed: true}, true},
		{t.Context(), Unprocessed, errBoom, pacer.Outcome{Failed: true}, true},
		{canceled, Transient, errBoom, none, false},
		{canceled, Unprocessed, errBoom, none, false},
		{t.Context(), Throttled, errBoom, pacer.Outcome{Throttled: true}, true},
		{canceled, Throttled, asks(time.Second), pacer.Outcome{Throttled: true, Delay: time.Second}, true},
		{t.Context(), Throttled, asks(math.MaxInt64 - 1), pacer.Outcome{Throttled: true, Delay: 24 * time.Hour}, true},
	} {
		got, known := outcome(c.ctx, c.verdict, c.err)
		if fmt.Sprint(got) != fmt.Sprint(c.want) || known != c.known {
			t.Errorf("%v, %v: %+v, %v, want %+v, %v", c.verdict, c.err, got, known, c.want, c.known)
		}
	}
}

func TestTheErrorsDelayHoldsBackEverybodyOnThePacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{MaxInFlight: 1})
		began := time.Now()
		var sibling time.Duration
		var wg sync.WaitGroup
		defer wg.Wait()
		c := Call[int]{Pacer: p, Policy: Must(Config{MaxAttempts: 1})}
		_, err := c.Do(t.Context(), func(context.Context) (int, error) {
			wg.Go(func() { // waits for the flight: told before Done, the pause comes first
				c.Do(t.Context(), func(context.Context) (int, error) { sibling = time.Since(began); return 0, nil })
			})
			synctest.Wait()
			return 0, asks(30 * time.Second)
		})
		wg.Wait()
		if sibling != 30*time.Second || !errors.Is(err, asks(30*time.Second)) {
			t.Errorf("the sibling started at %v, %v", sibling, err)
		}
	})
}

func TestAWaiterWithoutSlotsIsToldOfPausesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := &pausable{waits: func(context.Context) error { return nil }}
		var at []time.Duration
		Call[int]{Policy: everySecond(), Pacer: w}.Do(t.Context(), script(&at, errBoom, asks(30*time.Second), asks(0), Permanent(asks(time.Minute))))
		if len(at) != 4 || len(w.until) != 1 || w.until[0].Sub(began) != 31*time.Second {
			t.Errorf("called at %v, paused until %v", at, w.until)
		}
	})
}

func TestCostsPassThroughAndWhatWasNotProcessedGivesThemBack(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"it worked", nil, 7},
		{"transient", errBoom, 7},
		{"throttled", asks(time.Second), 7},
		{"permanent", Permanent(errBoom), 7},
		{"unprocessed", syscall.ECONNREFUSED, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacer.Must(pacer.Config{Limits: []pacer.Limit{
					{Cost: 10, Unit: tokens, Period: time.Minute},
					{Calls: 5, Period: time.Minute},
				}})
				call := Call[int]{Policy: Must(Config{MaxAttempts: 1}), Pacer: p}
				call.Do(pacer.WithCost(t.Context(), tokens, 7), func(context.Context) (int, error) {
					used(t, p, 0, 7)
					return 0, c.err
				})
				used(t, p, 0, c.want)
				used(t, p, 1, 1) // a start stays one
			})
		})
	}
}

func TestUnprocessedGivesCostsBackToACallerWhoHasGone(t *testing.T) {
	p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Cost: 10, Unit: tokens, Period: time.Minute}}})
	ctx, cancel := context.WithCancel(pacer.WithCost(t.Context(), tokens, 7))
	Call[int]{Pacer: p}.Do(ctx, func(context.Context) (int, error) { cancel(); return 0, syscall.ECONNREFUSED })
	used(t, p, 0, 0)
}

// With one slot a period, the retry goes before those who came after its call, though they
// joined the queue first, and though the queue is full.
func TestARetryKeepsItsCallsPlaceAndIsNotRefusedByMaxWaiting(t *testing.T) {
	for name, test := range map[string]struct {
		ctx  func(context.Context) context.Context
		want string
	}{
		"from the start of the call": {func(ctx context.Context) context.Context { return ctx }, "[first first second third]"},
		"or the caller's own arrival": {func(ctx context.Context) context.Context {
			return pacer.WithArrival(ctx, time.Now().Add(2500*time.Millisecond))
		}, "[first second first third]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 10 * time.Second}}, MaxWaiting: 2})
				policy := Must(Config{Backoff: Constant(5 * time.Second)})
				var starts []string
				call := func(ctx context.Context, name string, errs ...error) error {
					_, err := Call[int]{Policy: policy, Pacer: p}.Do(ctx, func(context.Context) (int, error) {
						starts = append(starts, name) // one at a time: so says the pacer
						if len(errs) > 0 {
							err := errs[0]
							errs = errs[1:]
							return 0, err
						}
						return 0, nil
					})
					return err
				}
				ctx := test.ctx(t.Context())
				var wg sync.WaitGroup
				join := func(ctx context.Context, name string, errs ...error) {
					wg.Go(func() {
						if err := call(ctx, name, errs...); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					})
					time.Sleep(time.Second)
				}
				join(ctx, "first", errBoom)
				time.Sleep(time.Second)
				join(t.Context(), "second")
				join(t.Context(), "third")
				if err := call(t.Context(), "fourth"); !errors.Is(err, pacer.ErrQueueFull) {
					t.Errorf("a first attempt that finds the queue full: %v", err)
				}
				wg.Wait()
				if got := fmt.Sprint(starts); got != test.want {
					t.Errorf("%s, want %s", got, test.want)
				}
			})
		})
	}
}

// What fn does with its context is not the call's: it has its own place elsewhere.
func TestFnsContextHasNoPlaceInAQueue(t *testing.T) {
	var inner context.Context
	Call[int]{Pacer: pacer.Burst(1, time.Second)}.Do(t.Context(), func(ctx context.Context) (int, error) { inner = ctx; return 0, nil })
	if inner != t.Context() {
		t.Error("the function got another context")
	}
}
