package pacer_test

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// wantStats compares everything but the times' representation, and what is told of each
// limit and predicted only if it is wanted.
func wantStats(t *testing.T, p *pacer.Pacer, want pacer.Stats) {
	t.Helper()
	got := p.Stats()
	if !got.Next.Equal(want.Next) || !got.PausedUntil.Equal(want.PausedUntil) {
		t.Errorf("Stats: next %v, paused until %v, want %v and %v", got.Next, got.PausedUntil, want.Next, want.PausedUntil)
	}
	got.Next, got.PausedUntil = want.Next, want.PausedUntil
	if want.Limits == nil {
		got.Limits, got.Predicted = nil, want.Predicted
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Stats: %+v, want %+v", got, want)
	}
}

func TestStatsTellWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerWith(t, pacer.Config{Limits: []pacer.Limit{{Calls: 2, Period: 10 * time.Second}}, MaxWaiting: 2})
		c := newCallers(p)
		after := func(d time.Duration) time.Time { return c.begin.Add(d) }
		wantStats(t, p, pacer.Stats{Next: after(0)})

		time.Sleep(time.Second) // nothing happened yet, and next is now, not then
		wantStats(t, p, pacer.Stats{Next: after(time.Second)})

		c.arrive(1)
		wantStats(t, p, pacer.Stats{Granted: 1, Next: after(time.Second)})

		p.Allow()
		wantStats(t, p, pacer.Stats{Granted: 2, Next: after(11 * time.Second)})

		c.arrive(2)
		wantStats(t, p, pacer.Stats{Granted: 2, Waiting: 2, Next: after(11 * time.Second)})

		p.Allow()
		c.arrive(1)                 // the queue is full
		c.arriveBefore(time.Second) // so it is for those with a deadline
		c.leave(c.calls[1])
		c.arriveBefore(time.Second) // now it is the deadline
		wantStats(t, p, pacer.Stats{Granted: 2, Rejected: 4, Canceled: 1, Waiting: 1, Next: after(11 * time.Second)})

		p.PauseUntil(after(20 * time.Second))
		wantStats(t, p, pacer.Stats{
			Granted: 2, Rejected: 4, Canceled: 1, Waiting: 1,
			State: pacer.StatePaused, Cause: "paused by the program",
			PausedUntil: after(20 * time.Second), Next: after(20 * time.Second),
		})

		time.Sleep(19 * time.Second) // the pause ends
		synctest.Wait()
		wantStats(t, p, pacer.Stats{Granted: 3, Rejected: 4, Canceled: 1, Next: after(20 * time.Second)})

		time.Sleep(time.Hour)
		wantStats(t, p, pacer.Stats{Granted: 3, Rejected: 4, Canceled: 1, Next: after(20*time.Second + time.Hour)})
		c.starts()
	})
}

func TestZeroPacerRefusesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer.Pacer
		const want = "pacer: Pacer has no limits: it was not made by New, Burst or Drip"
		if err := p.Wait(t.Context()); err == nil || err.Error() != want {
			t.Errorf("Wait: %v, want %q", err, want)
		}
		if p.Allow() {
			t.Error("Allow: true")
		}
		p.PauseUntil(time.Now().Add(time.Hour))
		if err := p.Wait(t.Context()); err == nil || err.Error() != want {
			t.Errorf("Wait after PauseUntil: %v, want %q", err, want)
		}
		if got := p.Stats(); got.Granted != 0 || got.Waiting != 0 {
			t.Errorf("Stats: %+v, want none granted, none waiting", got)
		}
	})
}

func TestStatsTellOfEachLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := []pacer.Limit{
			{Calls: 3, Period: 10 * time.Second},
			tokenLimit(100),
			{Calls: 2, Period: 10 * time.Second, Even: true},
			{Cost: 2, Unit: tokens, Period: time.Second, Bucket: 90},
		}
		p := pacerWith(t, pacer.Config{Limits: limits, Margin: time.Second})
		began := time.Now()
		after := func(d time.Duration) time.Time { return began.Add(d) }
		slotOf(t, p, costing(t, 70))
		time.Sleep(6 * time.Second)
		slotOf(t, p, costing(t, 30))
		time.Sleep(time.Second)
		now := after(7 * time.Second)
		want := []pacer.LimitStats{
			{Limit: limits[0], Used: 2, Left: 1, Next: now},
			{Limit: limits[1], Used: 100, Left: 0, Next: after(61 * time.Second)},
			{Limit: limits[2], Used: 2, Left: 0, Next: after(11 * time.Second)},
			{Limit: limits[3], Used: 86, Left: 4, Next: now}, // 70 - 12 + 30 - 2
		}
		got := p.Stats()
		for i := range want {
			if !got.Limits[i].Next.Equal(want[i].Next) {
				t.Errorf("%v: next at %v, want %v", limits[i], got.Limits[i].Next, want[i].Next)
			}
			got.Limits[i].Next = want[i].Next
			if got.Limits[i] != want[i] {
				t.Errorf("%+v, want %+v", got.Limits[i], want[i])
			}
		}
		c := newCallers(p)
		c.arriveWith(costing(t, 80))
		got = p.Stats()
		if want := after(67 * time.Second); !got.Next.Equal(want) { // for the head: when the 30 have left as well
			t.Errorf("Next %v, want %v", got.Next, want)
		}
		if want := after(67 * time.Second); !got.Predicted.Equal(want) { // with it: 81 fit
			t.Errorf("Predicted %v, want %v", got.Predicted.Sub(began), want.Sub(began))
		}
		c.leave(c.calls[0])
	})
}

func TestMarginIsAddedToEveryPeriodOfAWindow(t *testing.T) {
	for _, limit := range []pacer.Limit{
		{Calls: 1, Period: 9 * time.Second},
		{Calls: 2, Period: 19 * time.Second, Even: true},
		{Cost: 1, Unit: tokens, Period: 9 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCallers(pacerWith(t, pacer.Config{Limits: []pacer.Limit{limit}, Margin: time.Second}))
			c.arrive(3)
			c.wantStarts(t, seconds(0, 10, 20))
		})
	}
}

// A start is late if it comes a millisecond after its slot, or where starts are spaced a
// whole interval.
func TestStatsCountLateStarts(t *testing.T) {
	for _, test := range []struct {
		limit pacer.Limit
		late  uint64
	}{
		{pacer.Limit{Calls: 1, Period: 100 * time.Millisecond}, 1},
		{pacer.Limit{Calls: 1, Period: 100 * time.Millisecond, Even: true}, 0},
		{pacer.Limit{Calls: 30, Period: 30 * time.Millisecond, Even: true}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCallers(pacerOf(t, test.limit))
			c.arrive(1)
			c.wg.Go(func() { c.pacer.Wait(&lateContext{Context: t.Context()}) }) // 5 ms after its slot
			synctest.Wait()
			c.starts()
			time.Sleep(200 * time.Millisecond)
			if got := c.pacer.Stats(); got.Late != test.late || got.Granted != 2 {
				t.Errorf("%v: %d late of %d, want %d of 2", test.limit, got.Late, got.Granted, test.late)
			}
		})
	}
}

// What is used of a bucket is rounded up and what is left down: of a part of a start
// nobody has anything.
func TestStatsOfABucketNeverPromiseTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Calls: 1, Period: time.Second, Bucket: 5})
		start(t, p)
		time.Sleep(500 * time.Millisecond)
		if got := p.Stats().Limits[0]; got.Used != 1 || got.Left != 4 {
			t.Errorf("%d used, %d left, want 1 and 4: half a start has flowed back", got.Used, got.Left)
		}
		time.Sleep(500 * time.Millisecond)
		if got := p.Stats().Limits[0]; got.Used != 0 || got.Left != 5 {
			t.Errorf("%d used, %d left, want 0 and 5", got.Used, got.Left)
		}
	})
}

func TestNextIsNotTheSilenceOfAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 100, Period: time.Second}}, Outage: &pacer.Outage{After: 1}})
		slotOf(t, p, t.Context()).Report(pacer.Outcome{Failed: true})
		if got := p.Stats(); !got.Next.Equal(time.Now().Add(100*time.Millisecond)) || !got.Predicted.Equal(got.Next) {
			t.Errorf("%v: next in %v, predicted in %v, want the first probe", got.State, time.Until(got.Next), time.Until(got.Predicted))
		}
		time.Sleep(100 * time.Millisecond)
		slotOf(t, p, t.Context()) // a probe, that may be answered at any moment
		if got := p.Stats(); !got.Next.Equal(time.Now()) || !got.Predicted.Equal(time.Now()) {
			t.Errorf("%v: next in %v, predicted in %v, want now at the earliest", got.State, time.Until(got.Next), time.Until(got.Predicted))
		}
	})
}
