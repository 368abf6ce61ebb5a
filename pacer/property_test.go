package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// TestPacerDoesWhatTheModelDoes compares every start, refusal, prediction and
// count, exactly, over random limits, arrivals, cancellations, deadlines and pauses.
func TestPacerDoesWhatTheModelDoes(t *testing.T) {
	const seeds = 500
	reached := map[string]int{}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			random := &scenario{Rand: rand.New(rand.NewPCG(seed, seed))}
			cfg := random.config()
			actions := random.actions(cfg.Limits)

			m := &model{limits: cfg.Limits, maxWaiting: cfg.MaxWaiting}
			want := m.run(t, actions)
			var got []outcome
			var stats pacer.Stats
			synctest.Test(t, func(t *testing.T) {
				p := pacerWith(t, cfg)
				got = perform(t.Context(), p, actions)
				stats = p.Stats()
			})

			ended := map[string]uint64{}
			for i := range want {
				ended[want[i].how]++
				reached[want[i].how]++
				if got[i] != want[i] {
					t.Errorf("%+v\nended as %+v\n   want %+v", actions[i], got[i], want[i])
				}
			}
			if stats.Granted != ended[started]+ended[allowed] ||
				stats.Rejected != ended[tooLate]+ended[full]+ended[denied] ||
				stats.Canceled != ended[canceled] || stats.Waiting != 0 {
				t.Errorf("Stats: %+v, want the sums of %v", stats, ended)
			}
			if t.Failed() {
				t.Logf("config: %+v", cfg)
			}
		})
	}
	for _, how := range []string{started, allowed, denied, canceled, tooLate, full} {
		if reached[how] < seeds/2 {
			t.Errorf("only %d actions %s: the scenarios are too tame", reached[how], how)
		}
	}
}

// A scenario makes up what happens to a pacer.
type scenario struct {
	*rand.Rand
	moments time.Duration
}

// grain is what limits are multiples of, mostly. Moments are not, each in its own
// way, so that they coincide neither with one another nor with slots.
const grain = 4096 * time.Nanosecond

func (s *scenario) moment(from, span time.Duration) time.Duration {
	s.moments++
	return (from+time.Duration(s.Int64N(int64(span))))/grain*grain + s.moments
}

func (s *scenario) config() pacer.Config {
	var cfg pacer.Config
	for range 1 + s.IntN(3) {
		calls := 1 + s.IntN(8)
		period := time.Duration(calls) * grain * time.Duration(1+s.IntN(100_000))
		if s.IntN(3) == 0 {
			period += time.Duration(s.Int64N(int64(period))) // not a multiple of calls any more
		}
		cfg.Limits = append(cfg.Limits, pacer.Limit{Calls: calls, Period: period, Even: s.IntN(2) == 0})
	}
	if s.IntN(3) == 0 {
		cfg.MaxWaiting = 1 + s.IntN(8)
	}
	cfg.Coarse = s.IntN(4) == 0
	return cfg
}

// actions come in bunches and with pauses to idle in between, at from a third of
// to three times the rate that the limits allow.
func (s *scenario) actions(limits []pacer.Limit) []action {
	var interval time.Duration // between starts in the long run
	for _, l := range limits {
		interval = max(interval, l.Period/time.Duration(l.Calls))
	}
	gap := interval/3 + time.Duration(s.Int64N(int64(3*interval)))
	var all []action
	at := time.Duration(0)
	for range 60 {
		if s.IntN(3) > 0 {
			at += time.Duration(s.Int64N(int64(3 * gap)))
		}
		a := action{at: s.moment(at, grain), do: wait}
		switch s.IntN(20) {
		case 0:
			a.do = pause
			a.until = s.moment(at, 8*interval)
		case 1, 2, 3:
			a.do = allow
		}
		if a.do == wait && s.IntN(3) == 0 {
			a.cancel = s.moment(at, 8*interval)
			if s.IntN(8) == 0 {
				a.cancel = a.at // dead already
			}
		}
		if a.do == wait && s.IntN(3) == 0 {
			a.deadline = s.moment(at+grain, 10*interval)
		}
		all = append(all, a)
	}
	return all
}

// perform does what the actions say to p, and returns how each ended.
func perform(parent context.Context, p *pacer.Pacer, actions []action) []outcome {
	outcomes := make([]outcome, len(actions))
	begin := time.Now()
	var wg sync.WaitGroup
	for i, a := range actions {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(parent)
			defer cancel()
			if a.cancel > a.at {
				time.AfterFunc(a.cancel, cancel)
			}
			if a.deadline != 0 {
				ctx, cancel = context.WithDeadline(ctx, begin.Add(a.deadline))
				defer cancel()
			}
			if time.Sleep(a.at); a.cancel != 0 && a.cancel <= a.at {
				cancel()
			}
			out := &outcomes[i]
			switch a.do {
			case pause:
				p.PauseUntil(begin.Add(a.until))
				return // a pause has no outcome
			case allow:
				out.how = denied
				if p.Allow() {
					out.how = allowed
				}
			case wait:
				*out = outcomeOf(p.Wait(ctx))
			}
			out.at = time.Since(begin)
		})
	}
	wg.Wait()
	return outcomes
}

func outcomeOf(err error) outcome {
	var refusal *pacer.Error
	switch {
	case err == nil:
		return outcome{how: started}
	case errors.As(err, &refusal) && errors.Is(err, pacer.ErrDeadline):
		return outcome{how: tooLate, wait: refusal.Wait()}
	case errors.As(err, &refusal) && errors.Is(err, pacer.ErrQueueFull):
		return outcome{how: full, wait: refusal.Wait()}
	case errors.Is(err, context.Canceled):
		return outcome{how: canceled}
	default:
		return outcome{how: err.Error()}
	}
}
