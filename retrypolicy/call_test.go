package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// asks is an error that names a delay.
type asks time.Duration

func (asks) Error() string               { return "slow down" }
func (d asks) RetryAfter() time.Duration { return time.Duration(d) }

func TestZeroCallIsDoWithTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		n, err := Call[int]{}.Do(t.Context(), script(&at, repeat(errBoom, 9)...))
		if e, ok := errors.AsType[*Error](err); !ok || n != 4 || e.Attempts != 4 || e.Err != errBoom {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestANilFunctionIsAnErrorThatNoFallbackAnswers(t *testing.T) {
	c := Call[int]{Fallback: func(context.Context, error) (int, error) { return 7, nil }}
	n, err := c.Do(t.Context(), nil)
	e, ok := errors.AsType[*Error](err)
	if !ok || n != 0 || e.Attempts != 0 || e.Reason != ReasonNotRetryable ||
		err.Error() != "retrypolicy: gave up after 0 attempts (not_retryable): fn of Do is nil, must be a function" {
		t.Errorf("%d, %v", n, err)
	}
}

func TestOnRetryIsToldTheErrorTheNumberAndTheDelayBeforeEachRetryAndNoOtherTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var told []string
		c := Call[int]{
			Policy: Must(Config{MaxAttempts: 3, Backoff: BackoffFunc(func(retry int, _ time.Duration) time.Duration {
				return time.Duration(retry) * time.Second
			})},
			),
			OnRetry: func(ctx context.Context, err error, retry int, delay time.Duration) {
				if ctx != t.Context() {
					t.Error("told another context than the caller's")
				}
				told = append(told, fmt.Sprintf("%v: %v, %d after %v", time.Since(began), err, retry, delay))
			},
		}
		var at []time.Duration
		c.Do(t.Context(), script(&at, errors.New("first"), errors.New("second"), errors.New("third")))
		if got, want := fmt.Sprint(told), "[0s: first, 1 after 1s 1s: second, 2 after 2s]"; got != want || len(at) != 3 {
			t.Errorf("%d calls, %s, want %s", len(at), got, want)
		}
	})
}

func TestTheTimeThatOnRetryTakesIsPartOfTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var previous []time.Duration
		c := Call[int]{
			Policy: Must(Config{MaxElapsed: 4 * time.Second, Backoff: BackoffFunc(func(_ int, d time.Duration) time.Duration {
				previous = append(previous, d)
				return time.Second
			})}),
			OnRetry: func(_ context.Context, _ error, retry int, _ time.Duration) {
				time.Sleep([...]time.Duration{400 * time.Millisecond, 1500 * time.Millisecond, time.Minute}[retry-1])
			},
		}
		var at []time.Duration
		_, err := c.Do(t.Context(), script(&at, repeat(errBoom, 9)...))
		e, ok := errors.AsType[*Error](err)
		if !ok || fmt.Sprint(at, previous) != "[0s 1s 2.5s] [0s 1s 1s]" || e.Reason != ReasonMaxElapsed || e.Attempts != 3 || e.Err != errBoom {
			t.Errorf("%v at %v with delays %v before", err, at, previous)
		}
	})
}

func TestACallerWhoCancelsInOnRetryIsNotRetried(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	c := Call[int]{
		Policy:  Must(Config{Backoff: Constant(0)}),
		OnRetry: func(context.Context, error, int, time.Duration) { cancel() },
	}
	_, err := c.Do(ctx, func(context.Context) (int, error) { calls++; return 0, errBoom })
	if calls != 1 || !errors.Is(err, context.Canceled) || !errors.Is(err, errBoom) {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestFallbackAnswersForAFailedCallWithWhateverItReturns(t *testing.T) {
	errEmpty := errors.New("nothing in the cache")
	for _, c := range []struct {
		value int
		err   error
	}{{7, nil}, {0, errEmpty}} {
		var got error
		call := Call[int]{Policy: Must(Config{MaxAttempts: 1}), Fallback: func(ctx context.Context, err error) (int, error) {
			if ctx != t.Context() {
				t.Error("told another context than the caller's")
			}
			got = err
			return c.value, c.err
		}}
		value, err := call.Do(t.Context(), func(context.Context) (int, error) { return 1, errBoom })
		if value != c.value || err != c.err {
			t.Errorf("%d, %v, want %d, %v", value, err, c.value, c.err)
		}
		if e, ok := got.(*Error); !ok || e.Reason != ReasonMaxAttempts || e.Attempts != 1 || e.Err != errBoom {
			t.Errorf("the fallback was told %v", got)
		}
	}
}

func TestNoFallbackAfterASuccess(t *testing.T) {
	c := Call[int]{Fallback: func(context.Context, error) (int, error) { return 7, nil }}
	if n, err := c.Do(t.Context(), func(context.Context) (int, error) { return 0, nil }); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestNoFallbackAfterTheCallersCancellationButAfterHisDeadline(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, stop := context.WithTimeout(t.Context(), -1)
	defer stop()
	during, cancelDuring := context.WithCancel(t.Context())
	defer cancelDuring()
	for _, test := range []struct {
		name string
		ctx  context.Context
		want int
	}{{"before", canceled, 0}, {"during", during, 1}, {"deadline", expired, 7}} {
		c := Call[int]{Fallback: func(context.Context, error) (int, error) { return 7, nil }}
		n, err := c.Do(test.ctx, func(context.Context) (int, error) { cancelDuring(); return 1, errBoom })
		if n != test.want {
			t.Errorf("%s: %d, %v, want %d", test.name, n, err, test.want)
		}
		if e, ok := errors.AsType[*Error](err); test.want != 7 && (!ok || e.Reason != ReasonCanceled) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// A cancellation from inside fn is not the caller's.
	c := Call[int]{Fallback: func(context.Context, error) (int, error) { return 7, nil }}
	if n, err := c.Do(t.Context(), func(context.Context) (int, error) { return 1, context.Canceled }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestErrorsDelayIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, err := range []error{
			asks(30 * time.Second),
			fmt.Errorf("prices: %w", asks(30*time.Second)),
			errors.Join(asks(5*time.Second), asks(30*time.Second), asks(-time.Hour)),
		} {
			var at []time.Duration
			_, end := Do(t.Context(), everySecond(), script(&at, err))
			if len(at) != 2 || at[1] < 30*time.Second || at[1] > 33*time.Second || end != nil {
				t.Errorf("%v: called at %v, %v", err, at, end)
			}
		}
		for _, err := range []error{asks(0), asks(-time.Minute)} { // nothing said
			var at []time.Duration
			Do(t.Context(), everySecond(), script(&at, err))
			if fmt.Sprint(at) != "[0s 1s]" {
				t.Errorf("called at %v", at)
			}
		}
	})
}

func TestErrorsDelayThatIsTooLongEndsTheCallAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for _, c := range []struct {
			ctx  context.Context
			asks time.Duration
			want Reason
		}{
			{t.Context(), time.Minute + 1, ReasonRetryAfterTooLong},
			{ctx, 20 * time.Second, ReasonDeadline},
		} {
			began := time.Now()
			var at []time.Duration
			_, err := Do(c.ctx, nil, script(&at, asks(c.asks)))
			if e, ok := errors.AsType[*Error](err); !ok || e.Reason != c.want || e.Err != asks(c.asks) || time.Since(began) != 0 {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		}
	})
}

func TestAnErrorThatNamesADelayIsThrottledUnderDo(t *testing.T) {
	say := func(v Verdict) *Policy { return Must(Config{Classify: func(Attempt) Verdict { return v }}) }
	for _, c := range []struct {
		policy *Policy
		a      Attempt
		want   Verdict
	}{
		{Default(), Attempt{Err: asks(time.Second)}, Throttled},
		{Default(), Attempt{Err: asks(0)}, Transient},
		{Default(), Attempt{Err: Permanent(asks(time.Second))}, Accept},
		{Default(), Attempt{Err: errors.Join(asks(time.Second), context.Canceled)}, Accept},
		{say(Transient), Attempt{Err: asks(time.Second)}, Throttled},
		{say(Unprocessed), Attempt{Err: asks(time.Second)}, Unprocessed},
		{say(Accept), Attempt{Err: asks(time.Second)}, Accept},
		{Default(), failed(func(a *Attempt) { a.Err = asks(time.Second) }), Transient},
	} {
		if got := c.policy.Classify(c.a); got != c.want {
			t.Errorf("%v of %v, want %v", got, c.a.Err, c.want)
		}
	}
}

// The HTTP loop has headers for it, and what a base's error means there is not known.
func TestErrorsDelayMeansNothingToAnHTTPRequest(t *testing.T) {
	a := failed(func(a *Attempt) { a.Err = asks(30 * time.Second) })
	if d := everySecond().Next(t.Context(), a); !d.Retry || d.Delay != time.Second {
		t.Errorf("got %+v", d)
	}
}

func TestPanicOfTheProgramsOwnPassesThroughAndLeavesNoSlotInFlight(t *testing.T) {
	for name, breaks := range map[string]func(c *Call[int], config *Config, fn *func(context.Context) (int, error)){
		"fn": func(_ *Call[int], _ *Config, fn *func(context.Context) (int, error)) {
			*fn = func(context.Context) (int, error) { panic("mine") }
		},
		"OnRetry": func(c *Call[int], _ *Config, _ *func(context.Context) (int, error)) {
			c.OnRetry = func(context.Context, error, int, time.Duration) { panic("mine") }
		},
		"Fallback": func(c *Call[int], _ *Config, _ *func(context.Context) (int, error)) {
			c.Fallback = func(context.Context, error) (int, error) { panic("mine") }
		},
		"Classifier": func(_ *Call[int], config *Config, _ *func(context.Context) (int, error)) {
			config.Classify = func(Attempt) Verdict { panic("mine") }
		},
		"Backoff": func(_ *Call[int], config *Config, _ *func(context.Context) (int, error)) {
			config.Backoff = BackoffFunc(func(int, time.Duration) time.Duration { panic("mine") })
		},
		"the error": func(_ *Call[int], _ *Config, fn *func(context.Context) (int, error)) {
			*fn = func(context.Context) (int, error) { return 0, bomb{} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := pacer.Must(pacer.Config{MaxInFlight: 1})
			c, config := Call[int]{Pacer: p}, Config{MaxAttempts: 2, Backoff: Constant(0), AttemptTimeout: time.Hour}
			fn := func(context.Context) (int, error) {
				if got := p.Stats().InFlight; got != 1 {
					t.Errorf("%d in flight while fn runs, want 1", got)
				}
				return 0, errBoom
			}
			breaks(&c, &config, &fn)
			c.Policy = Must(config)
			got := func() (v any) {
				defer func() { v = recover() }()
				c.Do(t.Context(), fn)
				return nil
			}()
			if stats := p.Stats(); got != "mine" || stats.InFlight != 0 || stats.Granted == 0 {
				t.Errorf("recovered %v, %d in flight of %d", got, stats.InFlight, stats.Granted)
			}
		})
	}
}

// bomb is an error with a method that panics.
type bomb struct{}

func (bomb) Error() string             { return "bomb" }
func (bomb) RetryAfter() time.Duration { panic("mine") }

func TestAGoroutineThatEndsInFnLeavesNoSlotInFlight(t *testing.T) {
	p := pacer.Must(pacer.Config{MaxInFlight: 1})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Call[int]{Pacer: p}.Do(t.Context(), func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
	}()
	<-ended
	if got := p.Stats(); got.InFlight != 0 || got.Granted != 1 {
		t.Errorf("%d in flight of %d", got.InFlight, got.Granted)
	}
}
