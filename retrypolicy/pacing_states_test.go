package retrypolicy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// refusedFor is the error of a service that throttles, with a delay or, of 0, without.
type refusedFor struct{ delay time.Duration }

func (refusedFor) Error() string               { return "busy" }
func (e refusedFor) RetryAfter() time.Duration { return e.delay }

func throttlesAll(a Attempt) Verdict {
	if errors.As(a.Err, new(refusedFor)) {
		return Throttled
	}
	return DefaultClassifier(a)
}

func TestTheDelayOfAThrottlingBelongsToThePacer(t *testing.T) {
	for name, tc := range map[string]struct {
		delay time.Duration
		pacer Waiter
		wait  time.Duration // of Call
		next  time.Duration // attempt
	}{
		"a delay":                {30 * time.Second, pacer.Burst(9, time.Second), 0, 30 * time.Second},
		"a delay, in flight":     {30 * time.Second, pacer.Must(pacer.Config{MaxInFlight: 1}), 0, 30 * time.Second},
		"none":                   {0, pacer.Burst(9, time.Second), 0, time.Second},
		"none, and a plain Wait": {0, waits(func(context.Context) error { return nil }), 5 * time.Second, 5 * time.Second},
		"none, and no pacer":     {0, nil, 5 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Duration
				var waited []time.Duration
				c := Call[int]{
					Policy:  Must(Config{Classify: throttlesAll, ThrottleBackoff: Constant(5 * time.Second)}),
					Pacer:   tc.pacer,
					OnRetry: func(_ context.Context, _ error, _ int, delay time.Duration) { waited = append(waited, delay) },
				}
				if n, err := c.Do(t.Context(), script(&at, refusedFor{tc.delay})); n != 2 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				if fmt.Sprint(at) != fmt.Sprint([]time.Duration{0, tc.next}) || len(waited) != 1 || waited[0] != tc.wait {
					t.Errorf("attempts at %v after delays of %v, want the second after %v and a delay of %v", at, waited, tc.next, tc.wait)
				}
			})
		})
	}
}

func TestAPacersDelayBeyondMaxRetryAfterEndsTheCallAtOnce(t *testing.T) {
	const s = time.Second
	for name, tc := range map[string]struct {
		delay, max, elapsed time.Duration
		reason              Reason // "" = another attempt
	}{
		"longer":               {21 * s, 20 * s, 0, ReasonRetryAfterTooLong},
		"as long":              {20 * s, 20 * s, 0, ""},
		"MaxElapsed before it": {20 * s, 20 * s, 19 * s, ReasonMaxElapsed},
		"before MaxElapsed":    {21 * s, 20 * s, 22 * s, ReasonRetryAfterTooLong},
		"longer than a pause":  {61 * s, 80 * s, 0, ReasonPaused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var at []time.Duration
				c := Call[int]{Policy: Must(Config{MaxRetryAfter: tc.max, MaxElapsed: tc.elapsed}), Pacer: pacer.Burst(9, s)}
				_, err := c.Do(t.Context(), script(&at, refusedFor{tc.delay}))
				if tc.reason == "" {
					if err != nil || time.Since(began) != tc.delay {
						t.Errorf("%v after %v", err, time.Since(began))
					}
					return
				}
				failure, ok := errors.AsType[*Error](err)
				if !ok || failure.Reason != tc.reason || failure.Attempts != 1 || !errors.As(err, new(refusedFor)) || time.Since(began) != 0 {
					t.Errorf("%v after %v, want %s at once", err, time.Since(began), tc.reason)
				}
			})
		})
	}
}

// The pacer said that the slot comes in time: that others try first is no reason to give up.
func TestAWaitThatWasToBeInTimeIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 99, Period: time.Second}}, MaxPause: time.Hour})
		c := Call[int]{Policy: Must(Config{MaxRetryAfter: 20 * time.Second}), Pacer: p}
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				tries := 0
				_, err := c.Do(t.Context(), func(context.Context) (int, error) {
					time.Sleep(time.Second)
					if tries++; tries == 1 {
						return 0, refusedFor{20 * time.Second}
					}
					return 0, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	})
}

func TestReasonsOfARefusal(t *testing.T) {
	for err, want := range map[error]Reason{
		pacer.ErrPaused:              ReasonNotRetryable, // not a refusal but what one is of
		named("pacing_paused"):       ReasonPaused,
		named("pacing_down"):         ReasonDown,
		named("pacing_max_wait"):     ReasonMaxWait,
		named("pacing_queue_full"):   ReasonQueueFull,
		named("pacing_too_costly"):   ReasonTooCostly,
		named("pacing_max_attempts"): ReasonNotRetryable,
		named("queue_full"):          ReasonNotRetryable,
	} {
		if got := Refused(fmt.Errorf("why: %w", err)); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
		if failure := (&Error{Reason: want}); want != ReasonNotRetryable && failure.ErrorType() != err.Error() {
			t.Errorf("the ErrorType of %q is %q", want, failure.ErrorType())
		}
	}
}

type named string

func (e named) Error() string     { return string(e) }
func (e named) ErrorType() string { return string(e) }
