package pacer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// Further starts were not sent, so an even limit does not space them.
func TestFurtherStartsAreNotOnTheGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(5, 10*time.Second)
		s := slotOf(t, p, t.Context())
		time.Sleep(time.Second)
		s.Settle("", 3)
		c := newCallers(p)
		c.arrive(3)
		s.Done()
		c.wantStarts(t, seconds(1, 3, 9)) // at 2, 4 and 10 s: the window holds 5, three of them s
	})
}

// A start that is settled away later is forgotten, and the grid goes on as it would have
// without it, though only an older start tells where.
func TestTheGridGoesOnAsIfACanceledStartHadNeverBeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(2, 2*time.Second)
		first := slotOf(t, p, t.Context())
		time.Sleep(500 * time.Millisecond)
		first.Settle("", 2)
		time.Sleep(1500 * time.Millisecond)
		canceled := slotOf(t, p, t.Context()) // at 2 s, when the first left the window
		time.Sleep(400 * time.Millisecond)
		canceled.Cancel()
		slotOf(t, p, t.Context())                           // late for the slot at 2 s
		wantNotNow(t, p, t.Context(), 600*time.Millisecond) // so the next is at 3 s
	})
}

// Of a start and what another was settled to, at one moment, settling takes the right one.
func TestSettlingLeavesTheGridToThoseWhoStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(4, 4*time.Second)
		first := slotOf(t, p, t.Context())
		time.Sleep(time.Second)
		first.Settle("", 2)
		slotOf(t, p, t.Context()) // at the same moment
		first.Settle("", 1)
		wantNotNow(t, p, t.Context(), time.Second)
	})
}

// All that is given back at once is taken out at once, or this would take minutes: under the
// lock that every caller needs.
func TestSettlingAMillionStartsBackLeavesOthersInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, pacer.Limit{Calls: 1 << 21, Period: time.Hour}, pacer.Limit{Calls: 10, Period: time.Second, Even: true})
		first := slotOf(t, p, t.Context())
		first.Settle("", 1<<20)
		time.Sleep(time.Second)
		slotOf(t, p, t.Context())
		first.Settle("", 1)
		stats := p.Stats().Limits
		if stats[0].Used != 2 || stats[1].Used != 1 {
			t.Errorf("%+v, want the two starts used", stats)
		}
		wantNotNow(t, p, t.Context(), 100*time.Millisecond)
	})
}
