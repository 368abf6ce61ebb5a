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
