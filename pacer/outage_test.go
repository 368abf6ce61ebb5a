package pacer_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A simulated server answers within 20 ms, and counts.
type simulated struct {
	answers func(at time.Duration) pacer.Outcome
	began   time.Time

	mu     sync.Mutex
	sent   []time.Duration
	failed int // of them
}

func (s *simulated) send() pacer.Outcome {
	at := time.Since(s.began)
	s.mu.Lock()
	o := s.answers(at)
	s.sent = append(s.sent, at)
	if o.Failed || o.Throttled {
		s.failed++
	}
	s.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	return o
}

// call makes a call with at most 8 attempts, as a retry layer would above a pacer that takes
// over the server's delay, and reports whether it succeeded.
func (s *simulated) call(t *testing.T, p *pacer.Pacer) bool {
	ctx := t.Context()
	for n := range 8 {
		var a pacer.Admission
		err := p.Admit(ctx, &a)
		if err != nil {
			return false
		}
		o := s.send()
		a.Report(o)
		switch {
		case o.Throttled:
		case o.Failed:
			time.Sleep(time.Duration(rand.Int64N(int64(100*time.Millisecond) << n)))
		default:
			return true
		}
		ctx = pacer.WithArrival(t.Context(), a.Came())
	}
	return false
}

// run makes so many calls by so many callers, and returns how many succeeded and how long each
// took.
func (s *simulated) run(t *testing.T, p *pacer.Pacer, callers, calls int) (succeeded int, took []time.Duration) {
	s.began = time.Now()
	jobs := make(chan struct{}, calls)
	for range calls {
		jobs <- struct{}{}
	}
	close(jobs)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range jobs {
				began := time.Now()
				ok := s.call(t, p)
				s.mu.Lock()
				if took = append(took, time.Since(began)); ok {
					succeeded++
				}
				s.mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return succeeded, took
}

// TestAnOutageIsNotFedAndItsEndIsNoticed: 200 callers make 3,000 calls at 100/s, and the server
// is down for five seconds.
func TestAnOutageIsNotFedAndItsEndIsNoticed(t *testing.T) {
	const down, length = 10 * time.Second, 5 * time.Second
	for name, test := range map[string]struct {
		limit  pacer.Limit
		into   int           // may be sent into the outage, besides
		flight time.Duration // what was sent so soon, before anything was heard
	}{
		"Drip":  {pacer.Limit{Calls: 100, Period: time.Second, Even: true}, 40, 0},
		"Burst": {pacer.Limit{Calls: 100, Period: time.Second}, 30, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{test.limit}, Outage: &pacer.Outage{}})
				inFlight := 0
				s := &simulated{}
				s.answers = func(at time.Duration) (o pacer.Outcome) {
					switch recent := len(s.sent) >= 100 && s.sent[len(s.sent)-100] > at-time.Second; {
					case recent:
						o.Throttled = true // and fails the test below
						t.Errorf("a request too many at %v", at)
					case at >= down && at < down+length:
						o.Failed = true
						if at < down+test.flight {
							inFlight++
						}
					}
					return o
				}
				succeeded, took := s.run(t, p, 200, 3000)
				ideal := 30*time.Second + length
				p99, end := took[len(took)*99/100], s.sent[len(s.sent)-1]
				t.Logf("%d sent into the outage, %d of them in flight; %d succeeded in %v, p99 %v", s.failed, inFlight, succeeded, end, p99)
				if s.failed-inFlight > test.into || succeeded != 3000 || float64(end) > 1.03*float64(ideal) || p99 > length+3*time.Second {
					t.Errorf("want at most %d, 3000, %v, %v", test.into, ideal, length+3*time.Second)
				}
			})
		})
	}
}

// TestThrottlingWithoutADelayIsSurvived: the pacer allows more than the server, which refuses
// without saying for how long.
func TestThrottlingWithoutADelayIsSurvived(t *testing.T) {
	for _, limit := range []pacer.Limit{{Calls: 100, Period: time.Second}, {Calls: 100, Period: time.Second, Even: true}} {
		for _, allowed := range []int{5, 10, 20} {
			synctest.Test(t, func(t *testing.T) {
				p := pacerOf(t, limit)
				s := &simulated{}
				var served []time.Duration
				s.answers = func(at time.Duration) (o pacer.Outcome) {
					if n := len(served); n >= allowed && served[n-allowed] > at-time.Second {
						return pacer.Outcome{Throttled: true}
					}
					served = append(served, at)
					return o
				}
				succeeded, _ := s.run(t, p, 100, 100)
				t.Logf("%v, %d/s: %d of 100, %d sent in %v", limit, allowed, succeeded, len(s.sent), s.sent[len(s.sent)-1])
				if succeeded < 95 || len(s.sent) > 3*succeeded {
					t.Errorf("%v, where the server allows %d/s: %d of 100 succeeded by %d sends", limit, allowed, succeeded, len(s.sent))
				}
			})
		}
	}
}

// Else it would never end where nobody is left of whose start a report comes.
func TestWhereNobodyProbesWaitIsTheWayOutOfAnOutage(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := pacerWith(t, pacer.Config{
				Limits: []pacer.Limit{{Calls: 10, Period: time.Second}}, Outage: &pacer.Outage{After: 1, Refuse: refuse}})
			down(t, p)
			time.Sleep(100*time.Millisecond + 10*time.Second - 1)
			if p.Allow() || p.Stats().State != pacer.StateDown {
				t.Error("a probe was due for less than 10 s")
			}
			time.Sleep(time.Nanosecond)
			begin := time.Now()
			for i, want := range []time.Duration{0, 100, 200, 300} {
				if err := p.Wait(t.Context()); err != nil || time.Since(begin) != want*time.Millisecond {
					t.Errorf("Wait %d after %v: %v, want it after %v ms", i, time.Since(begin), err, int(want))
				}
			}
			wantState(t, p, pacer.StateProbing, "1 failures in a row")
			time.Sleep(time.Second)
			if err := p.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			wantState(t, p, pacer.StateFlowing, "")
		})
	}
}

func TestACanceledProbeGivesItsTurnAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := outage(t, 1)
		down(t, p)
		time.Sleep(time.Minute)
		slotOf(t, p, t.Context()).Cancel()
		slotOf(t, p, t.Context()).Report(pacer.Outcome{}) // at once, not 6 s later
		wantState(t, p, pacer.StateProbing, "1 failures in a row")
	})
}

// What was in flight when it began has been tried as well.
func TestWhoFailsAfterAnOutageBeganStandsBehindWhoHasNotTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := outage(t, 1)
		late, a := slotOf(t, p, t.Context()), newAdmissions()
		down(t, p)
		late.Report(failed)
		a.call(p, pacer.WithArrival(t.Context(), late.Came()), "f")
		a.call(p, t.Context(), "a")
		time.Sleep(100 * time.Millisecond)
		a.want(t, "a")
		a.report(pacer.Outcome{}, 1)
		a.want(t, "af")
	})
}

// It would be fed the whole quota anew.
func TestAPacerThatIsDownIsNotForgottenBeforeMaxPauseWithoutAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer {
			return pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}, Outage: &pacer.Outage{After: 1}, MaxPause: 20 * time.Second})
		})
		down(t, k.Get("a"))
		time.Sleep(20*time.Second + 100*time.Millisecond - 1)
		k.Get("b")
		wantState(t, k.Get("a"), pacer.StateDown, "1 failures in a row")
		time.Sleep(time.Second)
		k.Get("c")
		wantState(t, k.Get("a"), pacer.StateFlowing, "")
	})
}

// Where all have failed, the oldest does not use up its attempts as probes while others rest.
func TestWhileDownThoseWhoHaveFailedTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := outage(t, 5)
		const callers, attempts = 10, 8
		began := time.Now()
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			out []int // of attempts
		)
		for caller := range callers {
			wg.Go(func() {
				time.Sleep(time.Duration(caller))
				came := time.Now()
				for range attempts {
					slot, err := p.Acquire(pacer.WithArrival(t.Context(), came))
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(20 * time.Millisecond)
					up := time.Since(began) >= 30*time.Second
					slot.Report(pacer.Outcome{Failed: !up})
					slot.Done()
					if up {
						return
					}
				}
				mu.Lock()
				out = append(out, caller)
				mu.Unlock()
			})
		}
		wg.Wait()
		if len(out) > 0 {
			t.Errorf("callers %v used up their %d attempts: of %d together, less than 60 were needed", out, attempts, callers*attempts)
		}
	})
}
