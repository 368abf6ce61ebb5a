package pacer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer/internal/gate"
	"github.com/pacedhttp/pacedhttp/quota"
)

// A distant gate answers after a round trip, as one beyond the process does.
type distant struct {
	schedule
	trip  time.Duration
	queue gate.Queue
	known atomic.Int64 // answers are good until then
	asked []int        // costs of the last question
	left  int          // how often somebody did not wait any more
	lent  error        // why a fallback gives the starts; nil where none does
}

func (d *distant) Said(time.Duration, time.Duration, int64, string, int, int, time.Duration) {}
func (d *distant) Probed(bool)                                                               {}

func (d *distant) Ask(now time.Duration, costs []int) gate.Answer {
	d.asked = slices.Clone(costs)
	if int64(now) < d.known.Load() {
		answer := d.schedule.Ask(now, costs)
		if answer.Now(now) {
			answer.Err = d.lent
		}
		return answer
	}
	time.AfterFunc(d.trip, func() {
		d.known.Store(int64(now + 2*d.trip))
		d.queue.Lock()
		defer d.queue.Unlock()
		d.queue.Wake()
	})
	return gate.Answer{At: now + time.Hour, Again: true}
}

func behind(t *testing.T, cfg Config) (*Pacer, *distant) {
	t.Helper()
	d := &distant{trip: 10 * time.Millisecond}
	d.schedule, _ = newSchedule(cfg.Limits, 0)
	p, err := newPacer(cfg, func(q gate.Queue) gate.Remote { d.queue = q; return d })
	if err != nil {
		t.Fatal(err)
	}
	return p, d
}

func TestAGateBeyondTheProcessIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, d := behind(t, Config{Limits: []Limit{{Cost: 10, Unit: "tokens", Period: time.Second}}, MaxInFlight: 3})
		began := time.Now()
		first, err := p.Acquire(WithCost(t.Context(), "tokens", 7))
		if err != nil || time.Since(began) != d.trip || !slices.Equal(d.asked, []int{1, 7}) {
			t.Fatalf("Acquire: %v after %v for %v, want a slot after %v for 1 start and 7 tokens", err, time.Since(began), d.asked, d.trip)
		}
		time.Sleep(time.Second / 2)
		next := make(chan error)
		go func() {
			_, err := p.Acquire(WithCost(t.Context(), "tokens", 5))
			next <- err
		}()
		synctest.Wait()
		first.Settle("tokens", 5) // by way of the gate
		if err := <-next; err != nil || time.Since(began) != time.Second/2+2*d.trip {
			t.Errorf("Acquire: %v after %v, want a slot a round trip later", err, time.Since(began))
		}
		first.Cancel()
		if got, _ := d.rules[0].used(p.clock.Now()); got != 5 {
			t.Errorf("the gate counts %d tokens, want 5", got)
		}
		p.PauseUntil(time.Now().Add(time.Hour))
		if d.resumes == longAgo {
			t.Error("the gate knows nothing of the pause")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := acquire(p, ctx); !errors.Is(err, ErrDeadline) {
			t.Errorf("got %v, want a refusal by the gate's bound", err)
		}
	})
}

func acquire(p *Pacer, ctx context.Context) error {
	_, err := p.Acquire(ctx)
	return err
}

// What a gate has not made up its mind about refuses nobody, until MaxWait is over.
func TestAnUnknownFutureRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, d := behind(t, Config{Limits: []Limit{{Calls: 1, Period: time.Second}}, MaxWait: time.Minute})
		d.trip = 2 * time.Hour
		began := time.Now()
		if err := p.Wait(t.Context()); !errors.Is(err, ErrMaxWait) || time.Since(began) != time.Minute {
			t.Errorf("Wait: %v after %v, want ErrMaxWait after a minute", err, time.Since(began))
		}
		time.Sleep(3 * time.Hour)
	})
}

// What a server said goes before a gate: nothing is taken from it that could not be used, and
// nothing is counted that it did not grant.
func TestWhatAServerSaidIsAskedBeforeTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, d := behind(t, Config{Limits: []Limit{{Calls: 3, Period: time.Second, Bucket: 3}}})
		began := time.Now()
		s, err := p.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Report(Outcome{Quotas: []quota.State{{Remaining: 1, Reset: time.Minute}, {Name: "level"}}}) // whose level nobody knows
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.asked = nil
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Wait(soon); !errors.Is(err, ErrDeadline) || d.asked != nil {
			t.Errorf("Wait: %v, and the gate was asked for %v, want a refusal without asking it", err, d.asked)
		}
		if err := p.Wait(t.Context()); err != nil || time.Since(began) != 2*d.trip+time.Minute {
			t.Errorf("Wait: %v after %v, want a start a round trip after the reset", err, time.Since(began))
		}
		if left := p.Stats().Quotas; left != nil {
			t.Errorf("%+v after the reset", left)
		}

		p, _ = behind(t, Config{Limits: []Limit{{Calls: 1, Period: time.Hour}}})
		if s, err = p.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Report(Outcome{Quotas: []quota.State{{Remaining: 5, Reset: time.Hour}}})
		for range 3 {
			if p.Allow() {
				t.Error("Allow: true")
			}
		}
		if left := p.Stats().Quotas[0].Remaining; left != 5 {
			t.Errorf("%d left, want 5: the gate granted none", left)
		}
	})
}

func (d *distant) Limit(limits []gate.Limit, units []string) error {
	if limits[0].Calls > 10 {
		return errTooMany
	}
	d.schedule, _ = newSchedule([]Limit{Limit(limits[0])}, 0)
	return nil
}

func (d *distant) Left()                 { d.left++ }
func (d *distant) Due(int) time.Duration { return longAgo }
func (d *distant) Stats() gate.Stats     { return gate.Stats{RoundTrips: 7} }

var errTooMany = errors.New("too many")

func TestLimitsBeyondTheProcessAreSetUnlessItsGateRefuses(t *testing.T) {
	p, d := behind(t, Config{Limits: []Limit{{Calls: 1, Period: time.Second}}})
	if err := p.SetLimits(Limit{Calls: 20, Period: time.Second}); !errors.Is(err, errTooMany) || p.Stats().Limits[0].Limit.Calls != 1 {
		t.Errorf("SetLimits: %v, want the gate's error and the limits as before", err)
	}
	if err := p.SetLimits(Limit{Calls: 2, Period: time.Second}); err != nil || d.schedule.calls != 2 || p.Stats().Limits[0].Limit.Calls != 2 {
		t.Errorf("SetLimits: %v, and the gate has %d calls, want 2", err, d.schedule.calls)
	}
	if shared := p.Stats().Shared; shared == nil || shared.RoundTrips != 7 {
		t.Errorf("Stats.Shared is %+v, want the gate's", shared)
	}
	if shared := Burst(1, time.Second).Stats().Shared; shared != nil {
		t.Errorf("Stats.Shared of a local pacer is %+v", shared)
	}
}

// A start that a gate's fallback let happen says why, to whoever has it: with a slot or without,
// at once or after a wait, in whatever pacer below. The next one that it did not says nothing.
func TestAStartByAFallbackSaysWhy(t *testing.T) {
	cost := []Limit{{Cost: 100, Unit: "tokens", Period: time.Second}}
	starts := []Limit{{Calls: 100, Period: time.Second}}
	for _, tt := range []struct {
		name  string
		cfg   Config
		below int // pacers
	}{
		{"starts", Config{Limits: starts}, 0},
		{"flights", Config{Limits: starts, MaxInFlight: 99}, 0},
		{"costs", Config{Limits: cost}, 0},
		{"child", Config{Limits: starts}, 1},
		{"grandchild, of costs", Config{Limits: cost}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root, d := behind(t, tt.cfg)
				p := root
				for range tt.below {
					p = Must(Config{Parent: p})
				}
				down := errors.New("down")
				for _, lent := range []error{nil, down, nil} {
					d.lent = lent
					for _, how := range []string{"after a wait", "at once"} {
						var admitted Admission
						if err := p.Admit(t.Context(), &admitted); err != nil {
							t.Fatal(err)
						}
						if got := admitted.Fallback(); got != lent {
							t.Errorf("an Admission %s: %v, want %v", how, got, lent)
						}
						if slot := admitted.Slot(); slot != nil && slot.Fallback() != lent {
							t.Errorf("its Slot %s: %v, want %v", how, slot.Fallback(), lent)
						}
					}
					slot, err := p.Acquire(t.Context())
					if err != nil || slot.Fallback() != lent {
						t.Errorf("Acquire: %v and %v, want %v", slot.Fallback(), err, lent)
					}
					slot, err = p.TryAcquire(t.Context())
					if err != nil || slot.Fallback() != lent {
						t.Errorf("TryAcquire: %v and %v, want %v", slot.Fallback(), err, lent)
					}
					time.Sleep(time.Minute) // what the gate answered is old
				}
				if err := new(Slot).Fallback(); err != nil {
					t.Errorf("the zero Slot: %v", err)
				}
			})
		})
	}
	if err := (*Slot)(nil).Fallback(); err != nil {
		t.Errorf("a nil Slot: %v", err)
	}
}

// A gate sees who would start now, in order and by what they cost: those whom flights, states
// and limits below let start, and nobody behind them.
func TestAGateSeesWhoseTurnItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, d := behind(t, Config{Limits: []Limit{{Cost: 10, Unit: "tokens", Period: time.Second}}, MaxInFlight: 4})
		d.trip = time.Hour
		child := Must(Config{Parent: p, Limits: []Limit{{Calls: 2, Period: time.Second}}})
		ctx, cancel := context.WithCancel(t.Context())
		next := func(most int) (costs []int) {
			d.queue.Lock()
			defer d.queue.Unlock()
			d.queue.Next(d.queue.Now(), func(c []int) bool { costs = append(costs, c[1]); return len(costs) < most })
			return costs
		}
		call := func(p *Pacer, cost int) {
			go p.Acquire(WithCost(ctx, "tokens", cost))
			synctest.Wait()
		}
		if d.queue.Waiting() > 0 || next(9) != nil {
			t.Error("somebody waits")
		}
		for cost := 5; cost < 8; cost++ {
			call(child, cost) // two of them: its own limit
		}
		if got := next(9); !slices.Equal(got, []int{5, 6}) || d.queue.Waiting() == 0 {
			t.Errorf("next are %v, want 5 and 6", got)
		}
		for cost := 1; cost < 4; cost++ {
			call(p, cost) // with those of the child four: the flights
		}
		if got := next(9); !slices.Equal(got, []int{1, 2, 3, 5}) {
			t.Errorf("next are %v, want 1, 2, 3 and 5", got)
		}
		if got := next(2); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("next are %v, want 1 and 2", got)
		}
		p.PauseUntil(time.Now().Add(time.Minute))
		if got := next(9); got != nil {
			t.Errorf("next are %v in a pause", got)
		}
		cancel()
		synctest.Wait()
		time.Sleep(2 * time.Hour) // until the gate has answered
	})
}
