package pacer_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// arrivals is so many callers at one time.
type arrivals struct {
	at      time.Duration
	callers int
}

// startsOf returns when callers who arrive as told start.
func startsOf(p *pacer.Pacer, plan ...arrivals) []time.Duration {
	c := newCallers(p)
	for _, a := range plan {
		time.Sleep(a.at - time.Since(c.begin))
		c.arrive(a.callers)
	}
	return c.starts()
}

func TestBurstTimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := startsOf(pacer.Burst(5, 10*time.Second), arrivals{0, 10})
		if want := seconds(0, 0, 0, 0, 0, 10, 10, 10, 10, 10); !slices.Equal(got, want) {
			t.Errorf("starts at %v, want %v", got, want)
		}
	})
}

func TestDripTimeline(t *testing.T) {
	third := time.Second / 3 // rounded down, so a window is what makes the fourth wait for the full second
	for _, test := range []struct {
		name   string
		calls  int
		period time.Duration
		want   []time.Duration
	}{
		{"dividing", 5, 10 * time.Second, seconds(0, 2, 4, 6, 8, 10, 12, 14, 16, 18)},
		{"one", 1, 3 * time.Second, seconds(0, 3, 6, 9)},
		{"not dividing", 3, time.Second, []time.Duration{
			0, third, 2 * third,
			time.Second, time.Second + third, time.Second + 2*third,
			2 * time.Second, 2*time.Second + third,
		}},
		{"less than a nanosecond apart", 3, 2 * time.Nanosecond, []time.Duration{0, 0, 0, 2, 2, 2, 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := startsOf(pacer.Drip(test.calls, test.period), arrivals{0, len(test.want)})
				if !slices.Equal(got, test.want) {
					t.Errorf("starts at\n%v, want\n%v", got, test.want)
				}
			})
		})
	}
}

// A token bucket passes the first case with nine starts within a second, a
// counter reset every ten seconds with nine too.
func TestStrictWindow(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits []pacer.Limit
		plan   []arrivals
		want   []time.Duration
	}{
		{
			"burst after idling",
			[]pacer.Limit{{Calls: 5, Period: 10 * time.Second}},
			[]arrivals{{0, 1}, {9 * time.Second, 4}, {10 * time.Second, 10}},
			seconds(0, 9, 9, 9, 9, 10, 19, 19, 19, 19, 20, 29, 29, 29, 29),
		},
		{
			"idling saves nothing up",
			[]pacer.Limit{{Calls: 2, Period: time.Second}},
			[]arrivals{{100 * time.Second, 5}},
			seconds(100, 100, 101, 101, 102),
		},
		{
			"each start opens its own window",
			[]pacer.Limit{{Calls: 2, Period: 10 * time.Second}},
			[]arrivals{{3 * time.Second, 1}, {7 * time.Second, 5}},
			seconds(3, 7, 13, 17, 23, 27),
		},
		{
			"two bursts",
			[]pacer.Limit{{Calls: 2, Period: time.Second}, {Calls: 5, Period: 10 * time.Second}},
			[]arrivals{{0, 12}},
			seconds(0, 0, 1, 1, 2, 10, 10, 11, 11, 12, 20, 20),
		},
		{
			"the larger limit first, the smaller never reached",
			[]pacer.Limit{{Calls: 100, Period: time.Second}, {Calls: 1, Period: 5 * time.Second}},
			[]arrivals{{0, 3}},
			seconds(0, 5, 10),
		},
		{
			"drip under a burst that delays it past its interval",
			[]pacer.Limit{{Calls: 5, Period: 10 * time.Second, Even: true}, {Calls: 3, Period: 10 * time.Second}},
			[]arrivals{{0, 7}},
			seconds(0, 2, 4, 10, 12, 14, 20),
		},
		{
			"two drips: the slower grid leads",
			[]pacer.Limit{{Calls: 2, Period: 2 * time.Second, Even: true}, {Calls: 2, Period: 6 * time.Second, Even: true}},
			[]arrivals{{0, 4}},
			seconds(0, 3, 6, 9),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := startsOf(pacerOf(t, test.limits...), test.plan...)
				if !slices.Equal(got, test.want) {
					t.Errorf("starts at\n%v, want\n%v", got, test.want)
				}
			})
		})
	}
}

func TestDripDoesNotCreep(t *testing.T) {
	for _, test := range []struct {
		name string
		plan []arrivals
		want []time.Duration
	}{
		{
			"late by less than an interval keeps the grid",
			[]arrivals{{0, 1}, {3 * time.Second, 3}},
			seconds(0, 3, 4, 6),
		},
		{
			"late again and again keeps the grid",
			[]arrivals{{0, 1}, {3 * time.Second, 1}, {5 * time.Second, 1}, {7 * time.Second, 2}},
			seconds(0, 3, 5, 7, 8),
		},
		{
			"late by an interval begins a new grid",
			[]arrivals{{0, 1}, {4 * time.Second, 3}},
			seconds(0, 4, 6, 8),
		},
		{
			"late by an odd amount begins a new grid",
			[]arrivals{{0, 2}, {7 * time.Second, 3}},
			seconds(0, 2, 7, 9, 11),
		},
		{
			"no bunch after idling",
			[]arrivals{{0, 1}, {61 * time.Second, 5}},
			seconds(0, 61, 63, 65, 67, 69),
		},
		{
			"the window comes first, and the grid goes with it",
			[]arrivals{{0, 1}, {3 * time.Second, 8}},
			seconds(0, 3, 4, 6, 8, 10, 13, 15, 17),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := startsOf(pacer.Drip(5, 10*time.Second), test.plan...)
				if !slices.Equal(got, test.want) {
					t.Errorf("starts at\n%v, want\n%v", got, test.want)
				}
			})
		})
	}
}
