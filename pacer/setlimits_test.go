package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// limitsOf reads limits that are known to be valid.
func limitsOf(t *testing.T, s string) []pacer.Limit {
	t.Helper()
	limits, err := pacer.ParseLimits(s)
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

func setLimits(t *testing.T, p *pacer.Pacer, s string) {
	t.Helper()
	if err := p.SetLimits(limitsOf(t, s)...); err != nil {
		t.Errorf("SetLimits(%s): %v", s, err)
	}
}

// Ten callers come at once, and after 4 s there are other limits.
func TestSetLimitsLetsThoseWhoWaitStartAsTheNewLimitsAllow(t *testing.T) {
	for _, tt := range []struct {
		was, limits string
		want        []time.Duration
	}{
		{"5/10s", "5/10s", seconds(0, 0, 0, 0, 0, 10, 10, 10, 10, 10)},                    // the same
		{"5/10s", "8/10s", seconds(0, 0, 0, 0, 0, 4, 4, 4, 10, 10)},                       // more
		{"5/10s", "2/10s", seconds(0, 0, 0, 0, 0, 10, 10, 20, 20, 30)},                    // fewer
		{"5/10s", "5/20s", seconds(0, 0, 0, 0, 0, 20, 20, 20, 20, 20)},                    // longer
		{"5/10s", "5/2s", seconds(0, 0, 0, 0, 0, 4, 4, 4, 4, 4)},                          // shorter
		{"5/10s", "10/10s even", seconds(0, 0, 0, 0, 0, 4, 5, 6, 7, 8)},                   // even
		{"5/10s", "5/10s even", seconds(0, 0, 0, 0, 0, 10, 12, 14, 16, 18)},               // even, and full
		{"5/10s even", "5/10s", seconds(0, 2, 4, 4, 4, 10, 12, 14, 14, 14)},               // even no more
		{"5/10s even", "5/20s even", seconds(0, 2, 4, 8, 12, 20, 24, 28, 32, 36)},         // even, and slower
		{"5/10s even", "10/10s even", seconds(0, 2, 4, 5, 6, 7, 8, 9, 10, 11)},            // even, and faster
		{"5/10s even", "100/20s, 5/10s even", seconds(0, 2, 4, 6, 8, 10, 12, 14, 16, 18)}, // the same grid
		{"5/10s", "5/10s, 2/5s", seconds(0, 0, 0, 0, 0, 10, 10, 15, 15, 20)},              // one more
		{"5/10s, 2/3s", "2/3s", seconds(0, 0, 3, 3, 6, 6, 9, 9, 12, 12)},                  // one less
		{"5/10s", "1/s bucket 5", seconds(0, 0, 0, 0, 0, 4, 4, 4, 4, 5)},                  // 4 have flowed back
		{"1/10s bucket 5", "7/20s", seconds(0, 0, 0, 0, 0, 4, 4, 20, 20, 20)},             // what was drawn started
		{"1/10s bucket 5", "1/10s bucket 7", seconds(0, 0, 0, 0, 0, 4, 4, 10, 20, 30)},    // two more
		{"1/10s bucket 5", "1/10s bucket 4", seconds(0, 0, 0, 0, 0, 20, 30, 40, 50, 60)},  // one less than is drawn
		{"1/4s bucket 5", "1/2s bucket 5", seconds(0, 0, 0, 0, 0, 4, 6, 8, 10, 12)},       // faster from then on
		{"1/8s bucket 5", "1/4s bucket 5", seconds(0, 0, 0, 0, 0, 6, 10, 14, 18, 22)},     // half of one flowed at the old rate
	} {
		t.Run(tt.was+" to "+tt.limits, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCallers(pacerOf(t, limitsOf(t, tt.was)...))
				c.arrive(10)
				time.Sleep(4 * time.Second)
				synctest.Wait()
				setLimits(t, c.pacer, tt.limits)
				c.wantStarts(t, tt.want)
				if got := c.pacer.Stats(); got.Late != 0 || len(got.Limits) == 0 || !slices.EqualFunc(got.Limits, limitsOf(t, tt.limits), func(s pacer.LimitStats, l pacer.Limit) bool { return s.Limit == l }) {
					t.Errorf("Stats: %+v, want the new limits and none late", got)
				}
			})
		})
	}
}

// A start that no limit had to remember does not count in a longer one.
func TestAStartThatNoLimitHadToRememberDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, limitsOf(t, "5/s")...)
		for range 3 {
			start(t, p)
		}
		time.Sleep(time.Second)
		start(t, p)
		setLimits(t, p, "3/h")
		if got := p.Stats().Limits[0]; got.Used != 1 || got.Left != 2 {
			t.Errorf("%+v, want 1 used", got)
		}
		setLimits(t, p, "30/s")
		time.Sleep(time.Second)
		setLimits(t, p, "3/h") // nothing has begun within the second
		if got := p.Stats().Limits[0].Used; got != 0 {
			t.Errorf("%d used, want none", got)
		}
	})
}

func TestCostsStayWhereLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: limitsOf(t, "100 tokens/min"), Margin: time.Second})
		s := slotOf(t, p, costing(t, 90))
		time.Sleep(10 * time.Second)
		setLimits(t, p, "70 tokens/min, 100 tokens/2m, 1 tokens/s bucket 200")
		for i, want := range [][2]int{{90, 0}, {90, 10}, {80, 120}} { // 10 have flowed back
			if got := p.Stats().Limits[i]; got.Used != want[0] || got.Left != want[1] {
				t.Errorf("%+v, want %v used and left", got, want)
			}
		}
		wantNotNow(t, p, costing(t, 20), 111*time.Second) // the Margin goes on too
		if !s.Settle(tokens, 30) {
			t.Error("Settle: false")
		}
		for i, want := range []int{30, 30, 20} {
			if got := p.Stats().Limits[i].Used; got != want {
				t.Errorf("limit %d: %d used, want %d", i, got, want)
			}
		}
		slotOf(t, p, costing(t, 20))
	})
}

// What flowed back of a draw before the bucket changed is not given back once more after it.
func TestSettlingGivesBackNoMoreOfABucketThanIsDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, limitsOf(t, "1 tokens/s bucket 100")...)
		s := slotOf(t, p, costing(t, 60))
		time.Sleep(40 * time.Second)
		setLimits(t, p, "120 tokens/min bucket 90")
		slotOf(t, p, costing(t, 50))
		if got := p.Stats().Limits[0]; got.Used != 70 || got.Left != 20 {
			t.Errorf("%+v, want 20 and 50 used", got)
		}
		if !s.Settle(tokens, 10) {
			t.Error("Settle: false")
		}
		if got := p.Stats().Limits[0]; got.Used != 50 {
			t.Errorf("%+v, want 50 used: 50 were given back, but no more than 20 was there", got)
		}
	})
}

// More than the largest Calls fills a window no more than that, so no more is on the record; what is
// given back under other limits is measured by what is.
func TestSettlingStartsGivesBackWhatIsOnTheRecord(t *testing.T) {
	for _, tt := range []struct {
		was, limits string
		to, want    int
	}{
		{"2/h", "50/h", 1, 1}, {"2/h", "50/h", 2, 2}, {"2/h", "50/h", 20, 3}, // of 2 + 1
		{"50/h", "2/h", 1, 1}, {"50/h", "2/h", 20, 20}, {"50/h", "2/h", 60, 51},
		{"2/s bucket 9, 2/h", "9/h", 2, 2},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacerOf(t, limitsOf(t, tt.was)...)
				s := slotOf(t, p, t.Context())
				s.Settle("", 100) // at the very moment of the start
				setLimits(t, p, tt.limits)
				if !s.Settle("", tt.to) {
					t.Error("Settle: false")
				}
				if got := p.Stats().Limits[0].Used; got != tt.want {
					t.Errorf("%d used, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestANewUnitBeginsEmptyAndWaitersCostWhatTheirContextsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, limitsOf(t, "1/10s")...)
		under := slotOf(t, p, costing(t, 7))
		admitted := make(chan pacer.Admission, 1)
		go func() {
			var a pacer.Admission
			err := p.Admit(costing(t, 60), &a) // needs no slot yet
			if err != nil {
				t.Error(err)
			}
			admitted <- a
		}()
		synctest.Wait()
		_, dear := acquires(p, costing(t, 101))
		second, _ := acquires(p, costing(t, 50))
		c := newCallers(p)
		third := c.arriveWith(t.Context())
		setLimits(t, p, "100/10s, 100 tokens/min")
		synctest.Wait()
		if err := dear(); !errors.Is(err, pacer.ErrTooCostly) || !strings.Contains(err.Error(), "101 tokens where the limit is 100") {
			t.Errorf("Acquire: %v, want ErrTooCostly with both numbers", err)
		}
		if under.Settle(tokens, 3) || under.Settle(tokens, 30) || under.Costs() != nil {
			t.Error("a start under way has a cost in the new unit")
		}
		if a := <-admitted; a.Waited() != 0 || a.Slot().Costs()[tokens] != 60 {
			t.Errorf("Admit: after %v for %v, want now for 60 tokens", a.Waited(), a.Slot().Costs())
		}
		if second() != nil || third.ended {
			t.Error("more tokens were spent than there are")
		}
		if got := p.Stats(); got.Limits[1].Used != 60 || got.Waiting != 2 {
			t.Errorf("Stats: %+v, want 60 tokens used and 2 waiting", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := p.Stats().Limits[1]; second() == nil || !third.ended || third.at != time.Minute || got.Used != 51 || got.Uncosted != 1 {
			t.Errorf("%+v, want 51 tokens used, 1 of them by one who named none", got)
		}
	})
}

func TestSetLimitsJudgesWhoWaitsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(pacerWith(t, pacer.Config{Limits: limitsOf(t, "1/s"), MaxWait: 40 * time.Second}))
		c.arrive(1)
		keeps := c.arriveBefore(21 * time.Second)
		misses := c.arriveBefore(20 * time.Second)
		moves := c.arriveBefore(31 * time.Second)
		c.arrive(1)
		tooLong := c.arriveBefore(time.Hour)
		setLimits(t, c.pacer, "1/15s")
		synctest.Wait()
		wantRefused(t, misses, 0, pacer.ErrDeadline, 30*time.Second)
		wantRefused(t, tooLong, 0, pacer.ErrMaxWait, 45*time.Second)
		c.wantStarts(t, seconds(0, 15, 30))
		if keeps.err != nil || moves.err != nil {
			t.Errorf("Wait: %v, %v, want starts", keeps.err, moves.err)
		}
	})
}

// Units are counted in while somebody is on the way to the queue as well.
func TestSetLimitsWhileACallerNamesItsCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, call := range map[string]func(p *pacer.Pacer, ctx context.Context) error{
			"Wait": (*pacer.Pacer).Wait,
			"Acquire": func(p *pacer.Pacer, ctx context.Context) error {
				_, err := p.Acquire(ctx)
				return err
			},
			"TryAcquire": func(p *pacer.Pacer, ctx context.Context) error {
				_, err := p.TryAcquire(ctx)
				return err
			},
		} {
			p := pacerOf(t, limitsOf(t, "100 points/h")...)
			asked := context.Context(&askedContext{Context: pacer.WithCost(t.Context(), tokens, 70), ask: func() {
				setLimits(t, p, "100 points/h, 100 tokens/h")
			}})
			if err := call(p, asked); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := p.Stats().Limits[1].Used; got != 70 {
				t.Errorf("%s: %d tokens used, want 70", name, got)
			}
		}
	})
}

// An askedContext does something when it is asked for a value the first time.
type askedContext struct {
	context.Context
	once sync.Once
	ask  func()
}

func (c *askedContext) Value(key any) any {
	c.once.Do(c.ask)
	return c.Context.Value(key)
}

func TestSetLimitsReportsEveryInvalidFieldAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, limitsOf(t, "2/h, 100 tokens/h")...)
		start(t, p)
		many := make([]pacer.Limit, 16)
		for i := range many {
			many[i] = pacer.Limit{Cost: 1, Unit: "unit" + string(rune('a'+i)), Period: time.Second}
		}
		for want, limits := range map[string][]pacer.Limit{
			"pacer: SetLimits: limits is empty, must hold at least one Limit where MaxInFlight is 0 and Parent is nil": nil,
			"pacer: SetLimits: limits[0].Calls is -1, must be from 1 to 9223372036854775807\n" +
				"pacer: SetLimits: limits[1].Period is 0s, must be more than 0": {{Calls: -1, Period: time.Second}, {Calls: 1}},
			"pacer: SetLimits: limits, with those before, count in 17 units, must be at most 16": many,
		} {
			if err := p.SetLimits(limits...); err == nil || err.Error() != want {
				t.Errorf("SetLimits: %v\nwant %s", err, want)
			}
		}
		if got := p.Stats(); len(got.Limits) != 2 || got.Limits[0].Used != 1 || got.Limits[1].Used != 1 {
			t.Errorf("Stats: %+v, want all as before", got)
		}
		if err := p.SetLimits(many[:15]...); err != nil {
			t.Error(err)
		}
		bounded := inFlight(t, 1, limitsOf(t, "1/h")...)
		slotOf(t, bounded, t.Context()).Done()
		if err := bounded.SetLimits(); err != nil {
			t.Error(err)
		}
		slotOf(t, bounded, t.Context())
		wantNotNow(t, bounded, t.Context(), time.Millisecond)
		var misuse interface{ ErrorType() string }
		if err := new(pacer.Pacer).SetLimits(limitsOf(t, "1/h")...); !errors.As(err, &misuse) || misuse.ErrorType() != "pacing_misuse" {
			t.Errorf("SetLimits of the zero Pacer: %v", err)
		}
	})
}

func TestSetLimitsOfAForgottenPacerGoesToItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeyed(t, 1, onePerSecond)
		old := k.Get("a")
		k.Get("b") // forgets a
		setLimits(t, old, "7/h")
		time.Sleep(time.Second)
		if got := k.Get("a").Stats().Limits[0].Limit.Calls; got != 7 {
			t.Errorf("%d calls, want 7", got)
		}
	})
}

// Whatever is set while callers come, wait and go, the loosest limit is never broken, and all are
// served in the end.
func TestStrictWindowWhileLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, limitsOf(t, "5/s")...)
		var mu sync.Mutex
		var starts []time.Time
		var callers, setter sync.WaitGroup
		for i := range 400 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				s, err := p.Acquire(pacer.WithCost(t.Context(), tokens, 1))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				starts = append(starts, time.Now())
				mu.Unlock()
				s.Settle(tokens, 3)
				s.Settle(tokens, 0)
				s.Refund()
				s.Costs()
				s.Done()
			})
		}
		ended := make(chan struct{})
		setter.Go(func() {
			r := rand.New(rand.NewPCG(1, 2))
			others := []string{"5/s", "3/s, 5/2s", "5/s even", "4/s, 9 tokens/s", "5/s, 3 points/s bucket 3", "2/s, 1/s bucket 3"}
			for {
				select {
				case <-ended:
					return
				case <-time.After(time.Duration(r.Int64N(int64(100 * time.Millisecond)))):
					setLimits(t, p, others[r.IntN(len(others))])
					p.Stats()
				}
			}
		})
		callers.Wait()
		close(ended)
		setter.Wait()
		slices.SortFunc(starts, time.Time.Compare)
		for i := 5; i < len(starts); i++ {
			if starts[i].Sub(starts[i-5]) < time.Second {
				t.Errorf("6 starts within %v", starts[i].Sub(starts[i-5]))
			}
		}
	})
}

// Nobody knows what starts cost in a quota's unit until a limit counts in it.
func TestAQuotaCountsInAUnitFromWhenALimitDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, limitsOf(t, "100/h")...)
		said := left(50, time.Hour)
		said.Unit = tokens
		teach(slotOf(t, p, costing(t, 20)), said)
		slotOf(t, p, costing(t, 40)) // it is not known that this is
		setLimits(t, p, "100/h, 1000 tokens/h")
		slotOf(t, p, costing(t, 40))
		wantLeft(t, p, 10)
		wantNotNow(t, p, costing(t, 20), time.Hour)
		setLimits(t, p, "100/h") // and goes on to be counted
		slotOf(t, p, costing(t, 5))
		wantLeft(t, p, 5)
		wantNotNow(t, p, costing(t, 20), time.Hour)
		if got := p.Stats().Predicted; !got.Equal(time.Now()) {
			t.Errorf("predicted for %v, want now", got)
		}
	})
}
