package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// generous allows more than any server in these tests.
func generous(t *testing.T, limits ...pacer.Limit) *pacer.Pacer {
	return pacerOf(t, append(limits, pacer.Limit{Calls: 1000, Period: time.Second})...)
}

func left(remaining int, reset time.Duration) quota.State {
	return quota.State{Remaining: remaining, Reset: reset}
}

func teach(s *pacer.Slot, said ...quota.State) time.Time {
	return s.Report(pacer.Outcome{Quotas: said})
}

// wantLeft starts as many as may start now, and cancels them again.
func wantLeft(t *testing.T, p *pacer.Pacer, want int) {
	t.Helper()
	var slots []*pacer.Slot
	for {
		s, err := p.TryAcquire(t.Context())
		if err != nil || len(slots) > want {
			break
		}
		slots = append(slots, s)
	}
	if len(slots) != want {
		t.Errorf("%d may start, want %d", len(slots), want)
	}
	for _, s := range slots {
		s.Cancel()
	}
}

func TestQuotasBoundStartsUntilTheReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		s := slotOf(t, p, t.Context())
		if got := teach(s, left(2, 10*time.Second)); !got.IsZero() {
			t.Errorf("Report: paused until %v, want no pause", got)
		}
		c := newCallers(p)
		c.arrive(4)
		c.wantStarts(t, seconds(0, 0, 10, 10))
	})
}

func TestQuotasNeverRaiseWhatTheConfigAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(2, 10*time.Second)
		teach(slotOf(t, p, t.Context()), quota.State{Remaining: 1000, Limit: 1000, Reset: time.Second})
		c := newCallers(p)
		c.arrive(3)
		c.wantStarts(t, seconds(0, 10, 10))
	})
}

func TestQuotasCountWhatStartedBeforeTheAnswerCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		slotOf(t, p, t.Context()) // before: the server has counted it
		s := slotOf(t, p, t.Context())
		time.Sleep(time.Second)
		slotOf(t, p, t.Context())
		slotOf(t, p, t.Context()).Cancel()
		time.Sleep(time.Second)
		teach(s, left(5, 10*time.Second))
		wantLeft(t, p, 4)
		if got := p.Stats().Quotas[0]; got.Remaining != 4 || !got.Reset.Equal(time.Now().Add(10*time.Second)) {
			t.Errorf("Stats: %+v, want 4 left for 10 s", got)
		}
	})
}

func TestOfAQuotaTheNewestStartCountsAndNotTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		older, newer := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
		teach(newer, left(3, 10*time.Second))
		teach(older, left(0, time.Minute))
		wantLeft(t, p, 3)
		newest := slotOf(t, p, t.Context())
		teach(newest, left(7, 10*time.Second)) // more than was known
		wantLeft(t, p, 7)
		teach(slotOf(t, p, t.Context()), left(1, 20*time.Second)) // others use it too
		wantLeft(t, p, 1)
	})
}

func TestEachNameAndUnitIsAQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t, tokenLimit(1_000_000))
		s := slotOf(t, p, costing(t, 0))
		teach(s, quota.State{Name: "core", Remaining: 9, Reset: time.Hour}, quota.State{Name: "search", Remaining: 2, Reset: time.Minute},
			quota.State{Name: "core", Unit: tokens, Remaining: 100, Reset: time.Second})
		wantNotNow(t, p, costing(t, 101), time.Second)
		slotOf(t, p, costing(t, 60))
		wantNotNow(t, p, costing(t, 41), time.Second)
		slotOf(t, p, costing(t, 40))
		wantNotNow(t, p, costing(t, 0), time.Minute) // no more starts
		time.Sleep(time.Minute)
		wantLeft(t, p, 7)
	})
}

// What an answer names is what its start counts in.
func TestAStartCountsOnlyInTheQuotasThatItsAnswerNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		search := quota.State{Name: "search", Remaining: 2, Limit: 30, Reset: time.Minute}
		core := quota.State{Name: "core", Remaining: 5000, Limit: 5000, Reset: time.Hour}
		teach(slotOf(t, p, t.Context()), search)
		for range 10 {
			core.Remaining--
			a, b := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
			wantNotNow(t, p, t.Context(), time.Minute) // either may be a search
			teach(a, core)
			teach(a, core) // once more changes nothing
			wantLeft(t, p, 1)
			teach(b, core)
			a.Cancel()
			wantLeft(t, p, 2)
		}
	})
}

func TestANewerReportWakesTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		first, second, third := slotOf(t, p, t.Context()), slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
		teach(first, left(0, time.Minute))
		c := newCallers(p)
		c.arrive(3)
		teach(second, left(1, time.Minute))
		synctest.Wait()
		if got := p.Stats(); got.Waiting != 3 { // the third has started since
			t.Fatalf("%d wait, want 3", got.Waiting)
		}
		time.Sleep(time.Second)
		third.Cancel()
		synctest.Wait()
		if got := p.Stats(); got.Waiting != 2 || got.Late != 0 {
			t.Fatalf("%+v, want 2 waiting and none late", got)
		}
		c.wantStarts(t, seconds(1, 60, 60))
	})
}

func TestAReportRefusesWhoCannotStartInTimeAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Burst(2, 10*time.Second)
		s := slotOf(t, p, t.Context())
		slotOf(t, p, t.Context())
		c := newCallers(p)
		stays := c.arrive(1)[0]                  // at 10 s
		goes := c.arriveBefore(20 * time.Second) // at 10 s too, then at 60
		time.Sleep(time.Second)
		teach(s, left(2, 59*time.Second))
		synctest.Wait()
		wantRefused(t, goes, time.Second, pacer.ErrDeadline, 59*time.Second)
		wantRefused(t, c.arriveBefore(20*time.Second), time.Second, pacer.ErrDeadline, 59*time.Second)
		c.starts()
		if stays.err != nil || stays.at != 10*time.Second {
			t.Errorf("one who stayed started at %v (%v), want 10 s", stays.at, stays.err)
		}
	})
}

func TestRemainingNothingShowsAsAPauseAndEndsWithoutAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		first, second := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
		until := time.Now().Add(10 * time.Second)
		if got := teach(first, left(0, 10*time.Second)); !got.Equal(until) {
			t.Errorf("Report: paused until %v, want %v", got, until)
		}
		if got := first.Report(pacer.Outcome{Throttled: true, Delay: time.Second}); !got.IsZero() {
			t.Errorf("a shorter pause: %v, want that nothing began", got)
		}
		if got := teach(second, left(0, 10*time.Second)); !got.IsZero() {
			t.Errorf("the same once more: %v, want that nothing began", got)
		}
		if got := p.Stats(); !got.PausedUntil.Equal(until) || !got.Next.Equal(until) || !got.Predicted.Equal(until) {
			t.Errorf("Stats: %+v, want paused until %v", got, until)
		}
		c := newCallers(p)
		c.arrive(3)
		c.wantStarts(t, seconds(10, 10, 10))
		if got := p.Stats(); !got.PausedUntil.IsZero() || got.Quotas != nil || got.Late != 0 {
			t.Errorf("Stats after the reset: %+v, want no pause, no quota and none late", got)
		}
	})
}

func TestFromTheResetOnAQuotaIsWholeAgain(t *testing.T) {
	for name, test := range map[string]struct {
		said quota.State
		want []time.Duration
	}{
		"as long as the window": {quota.State{Limit: 2, Reset: 10 * time.Second, Window: 30 * time.Second}, seconds(10, 10, 40, 40, 40)},
		"or the longest reset":  {quota.State{Limit: 2, Reset: 10 * time.Second}, seconds(10, 10, 20, 20, 20)},
		"of an unknown size":    {quota.State{Reset: 10 * time.Second}, seconds(10, 10, 10, 10, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := generous(t)
				teach(slotOf(t, p, t.Context()), test.said)
				c := newCallers(p)
				c.arrive(5)
				c.wantStarts(t, test.want)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		s := slotOf(t, p, t.Context())
		slotOf(t, p, t.Context()) // is not answered, and may count in the next window
		teach(s, quota.State{Remaining: 1, Limit: 5, Reset: 10 * time.Second})
		time.Sleep(10 * time.Second)
		if got := p.Stats().Quotas[0]; got.Remaining != 4 || !got.Reset.IsZero() {
			t.Errorf("Stats: %+v, want 4 left and no reset", got)
		}
		wantLeft(t, p, 4)
	})
}

// Requests overtake each other: that more is left than was known is what those will use that
// have not arrived.
func TestWhatRequestsThatWereOvertakenWillUseIsNotSpentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		const s = time.Second
		teach(slotOf(t, p, t.Context()), quota.State{Remaining: 4, Limit: 5, Reset: time.Minute})
		time.Sleep(s)
		var slots []*pacer.Slot
		for range 4 {
			slots = append(slots, slotOf(t, p, t.Context()))
		}
		time.Sleep(s)
		say := func(slot, remaining int) {
			teach(slots[slot], quota.State{Remaining: remaining, Limit: 5, Reset: time.Minute - 2*s})
		}
		say(3, 3) // has overtaken all others
		wantLeft(t, p, 0)
		say(0, 2)
		wantLeft(t, p, 0)
		say(2, 1)
		wantLeft(t, p, 0)
		slots[1].Settle("", 0) // it was free
		wantLeft(t, p, 1)
	})
}

func TestWithoutAResetAStateSetsTheLevelOfBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Calls: 2, Period: time.Second, Bucket: 40}, pacer.Limit{Calls: 30, Period: time.Minute})
		s := slotOf(t, p, t.Context())
		older, newer := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
		teach(s, quota.State{Remaining: 8, Limit: 40})
		wantLeft(t, p, 6) // two have started since
		if got := p.Stats(); got.Quotas != nil || got.Limits[1].Left != 27 {
			t.Errorf("Stats: %+v, want no quota and a window as before", got)
		}
		time.Sleep(time.Second)
		wantLeft(t, p, 8)
		teach(newer, quota.State{Remaining: 3}) // at its start, a second ago
		wantLeft(t, p, 5)
		teach(older, quota.State{Remaining: 0}) // is older
		wantLeft(t, p, 5)
		teach(newer, quota.State{Remaining: 39}) // never raises
		wantLeft(t, p, 5)
	})
}

func TestAUnitThatNoLimitCountsInMattersOnlyWhenNothingRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		teach(slotOf(t, p, t.Context()), quota.State{Unit: tokens, Remaining: 1, Reset: time.Minute})
		slotOf(t, p, t.Context()).Cancel()
		teach(slotOf(t, p, t.Context()), quota.State{Unit: tokens, Remaining: 0, Limit: 9, Reset: time.Minute})
		wantNotNow(t, p, t.Context(), time.Minute)
		time.Sleep(time.Minute)
		slotOf(t, p, t.Context()).Cancel()
	})
}

func TestSettleAndCancelCountInQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{MaxInFlight: 1000}) // no limit counts starts
		s := slotOf(t, p, t.Context())
		if s.Settle("", 0) {
			t.Error("Settle: true where nothing counts starts")
		}
		teach(s, left(4, time.Minute))
		next := slotOf(t, p, t.Context())
		if !next.Settle("", 3) {
			t.Error("Settle to more: false")
		}
		wantLeft(t, p, 1)
		if !next.Settle("", 0) {
			t.Error("Settle to less: false")
		}
		wantLeft(t, p, 4)
		time.Sleep(time.Minute)
		if slotOf(t, p, t.Context()).Settle("", 0) {
			t.Error("Settle: true after the reset")
		}
	})
}

// A free 304 of GitHub's says what is left, and is settled to nothing.
func TestAStartThatIsSettledToNothingAfterItsReportCountsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		core := quota.State{Name: "core", Remaining: 3, Reset: time.Hour}
		search := quota.State{Name: "search", Remaining: 3, Reset: time.Minute}
		teach(slotOf(t, p, t.Context()), core, search)
		for range 5 {
			s := slotOf(t, p, t.Context())
			teach(s, core)
			s.Settle("", 0)
			s.Done()
			wantLeft(t, p, 3)
		}
	})
}

func TestAtMostSixteenQuotasAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		s := slotOf(t, p, t.Context())
		var said []quota.State
		for i := range 17 {
			said = append(said, quota.State{Name: fmt.Sprint(i), Remaining: 100 - i, Reset: time.Duration(30+i*7%17) * time.Second})
		}
		teach(s, said...)
		stats := p.Stats().Quotas
		if len(stats) != 16 || slices.ContainsFunc(stats, func(q pacer.QuotaStats) bool { return q.Name == "0" }) {
			t.Errorf("%+v, want 16, without the one that ends first", stats)
		}
	})
}

func TestAdmissionReportsWithAndWithoutASlot(t *testing.T) {
	for name, cfg := range map[string]pacer.Config{
		"without": {Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}},
		"with":    {Limits: []pacer.Limit{{Calls: 100, Period: time.Second}, tokenLimit(1000)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerWith(t, cfg)
				if got := new(pacer.Admission).Report(pacer.Outcome{Throttled: true, Delay: 1}); !got.IsZero() {
					t.Errorf("zero Admission: %v", got)
				}
				var a pacer.Admission
				err := p.Admit(t.Context(), &a)
				if err != nil || (a.Slot() != nil) != (name == "with") {
					t.Fatalf("Admit: %+v, %v", a, err)
				}
				p.Allow()
				a.Report(pacer.Outcome{Quotas: []quota.State{left(3, time.Minute), {Unit: tokens, Remaining: 50, Reset: time.Minute}}})
				wantLeft(t, p, 2)
				until := time.Now().Add(time.Hour)
				if got := a.Report(pacer.Outcome{Throttled: true, Delay: time.Hour}); !got.Equal(until) || !p.Stats().PausedUntil.Equal(until) {
					t.Errorf("Report: paused until %v, want %v", got, until)
				}
			})
		})
	}
}

func TestReportsOfNoQuotaLearnNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := generous(t)
		s := slotOf(t, p, t.Context())
		teach(s, quota.State{Remaining: 0}) // neither a reset nor a bucket
		s.Cancel()
		teach(s, left(0, time.Minute))
		slotOf(t, p, t.Context()).Cancel()
		teach(slotOf(t, p, t.Context()), quota.State{Remaining: -3, Limit: -1, Window: -1, Reset: time.Minute})
		wantNotNow(t, p, t.Context(), time.Minute)
	})
}

func TestKeyedForgetsNoPacerWhileAQuotaMatters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		p := k.Get("a")
		s := slotOf(t, p, t.Context())
		teach(s, quota.State{Remaining: 0, Limit: 5, Reset: time.Minute})
		time.Sleep(2*time.Minute - 1)
		k.Get("b")
		if k.Get("a") != p {
			t.Fatal("forgotten while its quota was whole again and nobody had said so")
		}
		time.Sleep(time.Minute)
		k.Get("c")
		if q, ok := k.Get("a"), true; q == p || !ok {
			t.Fatal("not forgotten")
		}
	})
}

func TestAKeysPacerTakesOverTheQuotasOfTheOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, func(string) *pacer.Pacer { return pacer.Burst(100, time.Second) })
		k.Get("a").Allow()
		shared := k.Get("b")
		s := slotOf(t, shared, t.Context())
		teach(s, left(5, time.Minute))
		start(t, shared)
		time.Sleep(10 * time.Second)
		b := k.Get("b")
		if b == shared {
			t.Fatal("b is still in the overflow")
		}
		wantLeft(t, b, 4)
		for range 4 {
			start(t, b)
		}
		wantNotNow(t, b, t.Context(), 50*time.Second)
	})
}

// Nobody knows what the key's new pacer has started since, so only a pause is passed on.
func TestWhatIsSaidToAForgottenPacerPausesItsSuccessorWhereNothingRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		s := slotOf(t, k.Get("a"), t.Context())
		time.Sleep(5 * time.Second)
		k.Get("b") // forgets a's
		time.Sleep(5 * time.Second)
		teach(s, left(1, time.Minute))
		if got := k.Get("a").Stats(); !got.PausedUntil.IsZero() || got.Quotas != nil {
			t.Errorf("Stats: %+v, want nothing learned", got)
		}
		until := time.Now().Add(time.Minute)
		if got := teach(s, left(0, time.Minute)); !got.Equal(until) || !k.Get("a").Stats().PausedUntil.Equal(until) {
			t.Errorf("Report: paused until %v, want %v", got, until)
		}
	})
}

// More is left than all starts cost together: a quota that takes the place of another counts
// whatever has started since, since nobody knows which quotas that was in.
// In a bubble, since what is learned may hold callers for an hour.
func TestLearningMayBeDoneByManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Calls: 100_000, Period: time.Second}, pacer.Limit{Cost: 1_000_000, Unit: tokens, Period: time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 500 {
					var a pacer.Admission
					err := p.Admit(ctx, &a)
					if err != nil {
						return
					}
					a.Report(pacer.Outcome{Quotas: []quota.State{left(10_000, time.Hour), {Name: fmt.Sprint(i % 20), Unit: tokens, Remaining: 10_000, Reset: time.Hour}}})
					a.Slot().Settle(tokens, i%3)
					a.Slot().Done()
					p.Stats()
				}
			})
		}
		wg.Wait()
		cancel()
		if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
	})
}

// A start that counts in no limit any more may count yet in a quota of which nothing was heard.
func TestASettleThatComesTooLateTakesNothingOffAQuotaAndACancelDoes(t *testing.T) {
	for name, tt := range map[string]struct {
		say  func(*testing.T, *pacer.Slot)
		want int
	}{
		"settle": {func(t *testing.T, s *pacer.Slot) {
			if s.Settle("", 0) {
				t.Error("Settle: true, want it to be too late")
			}
		}, 4},
		"cancel": {func(_ *testing.T, s *pacer.Slot) { s.Cancel() }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerOf(t, pacer.Limit{Calls: 9, Period: time.Second})
				first, second := slotOf(t, p, t.Context()), slotOf(t, p, t.Context())
				time.Sleep(time.Second)
				tt.say(t, second)
				teach(first, left(5, time.Minute))
				wantLeft(t, p, tt.want)
			})
		})
	}
}

// It is still to be used up when the request after the one that overtook it is answered.
func TestARequestThatIsOvertakenTwiceIsStillCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}, MaxInFlight: 9})
		start := func() *pacer.Slot {
			s, err := p.TryAcquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			return s
		}
		left := func(s *pacer.Slot, n int) {
			s.Report(pacer.Outcome{Quotas: []quota.State{{Remaining: n, Limit: 10, Reset: time.Minute}}})
			s.Done()
			time.Sleep(time.Millisecond)
		}
		left(start(), 9)
		late := start()  // reaches the server last
		left(start(), 8) // overtakes late
		left(start(), 7) // overtakes late too, and no other
		left(start(), 6) //
		n := 0           // late will use one of the six
		for range 9 {
			s, err := p.TryAcquire(t.Context())
			if err != nil {
				break
			}
			n++
			defer s.Done()
		}
		if n != 5 {
			t.Errorf("%d more were let start, want 5: of 6 that are left one is used by a request under way", n)
		}
		late.Done()
	})
}
