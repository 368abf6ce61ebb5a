package redispacer

import (
	"slices"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A contest lets processes compete for a quota in real time, since a process cannot live
// in a bubble.
type contest struct {
	job
	latency time.Duration // added to each round trip
	crash   bool          // the server is killed and started anew on the way
}

// TestStrictWindowsAcrossProcesses checks reservations, on the server's clock. Their
// windows depend on nothing; their rate does on the machine, which may have a bad moment or two.
func TestStrictWindowsAcrossProcesses(t *testing.T) {
	quota := pacer.Limit{Calls: 50, Period: 500 * ms}
	even := pacer.Limit{Calls: 50, Period: 500 * ms, Even: true}
	for _, tt := range []struct {
		name string
		contest
	}{
		{"one start a round trip", contest{job: job{Limit: quota}}},
		{"evenly", contest{job: job{Limit: even}}},
		{"leases", contest{job: job{Limit: quota, Lease: 8}}},
		{"clocks an hour apart", contest{job: job{Limit: quota, Ahead: time.Hour}}},
		{"200 ms of latency", contest{job: job{Limit: quota}, latency: 200 * ms}},
		{"server killed and restarted", contest{job: job{Limit: quota, Run: 4 * time.Second}, crash: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			held := tt.contest.hold(t)
			for tries := 1; held < 0.97 && tries < 3 && !t.Failed(); tries++ {
				held = tt.contest.hold(t)
			}
			if held < 0.97 {
				t.Errorf("%.3f of the rate was held, want at least 0.97", held)
			}
		})
	}
}

// hold lets 4 processes with 8 goroutines each compete and returns the share of the rate
// that they held at last, over 3 s of the server's time.
func (c contest) hold(t *testing.T) float64 {
	const processes, goroutines, measured = 4, 8, 3 * time.Second
	s := startServer(t)
	j := c.job
	j.Addr, j.Goroutines, j.Run = s.addr, goroutines, j.Run+measured+500*ms
	if c.latency > 0 {
		j.Addr = delayed(t, s.addr, c.latency/2)
	}
	restarted := make(chan struct{})
	if c.crash {
		time.AfterFunc(1500*ms, func() {
			defer close(restarted)
			s.kill()
			time.Sleep(200 * ms) // as long as the server is gone
			s.start(t)
		})
	}
	histories := j.run(t, processes)
	if c.crash {
		<-restarted
	}

	var reserved, starts []int64
	var failures uint64
	last := int64(1 << 62) // until when all were competing
	for _, h := range histories {
		reserved = append(reserved, h.Reserved...)
		starts = append(starts, h.Starts...)
		failures += h.Stats.Failures
		last = min(last, h.Reserved[len(h.Reserved)-1])
	}
	slices.Sort(reserved)
	slices.Sort(starts)
	checkWindows(t, reserved, j.Limit)
	checkStarts(t, starts, reserved, j.Ahead)
	if c.crash && failures == 0 {
		t.Error("nobody noticed the crash")
	}

	from, _ := slices.BinarySearch(reserved, last-measured.Microseconds())
	to, _ := slices.BinarySearch(reserved, last)
	held := float64(to-from) / float64(j.Limit.Calls) * j.Limit.Period.Seconds() / measured.Seconds()
	t.Logf("%d reservations, %d failed round trips, %.3f of the rate", len(reserved), failures, held)
	return held
}

func checkWindows(t *testing.T, reserved []int64, l pacer.Limit) {
	t.Helper()
	for i := l.Calls; i < len(reserved); i++ {
		if gap := micros(reserved[i] - reserved[i-l.Calls]); gap < l.Period {
			t.Fatalf("reservations %d to %d are %v apart: %d in a window of %v", i-l.Calls, i, gap, l.Calls+1, l.Period)
		}
	}
	if !l.Even {
		return
	}
	for i := 1; i < len(reserved); i++ {
		if gap := micros(reserved[i] - reserved[i-1]); gap < l.Period/time.Duration(l.Calls) {
			t.Fatalf("reservations %d and %d are %v apart", i-1, i, gap)
		}
	}
}

// checkStarts finds starts that came before their reservation.
func checkStarts(t *testing.T, starts, reserved []int64, ahead time.Duration) {
	t.Helper()
	if len(starts) > len(reserved) {
		t.Fatalf("%d starts with %d reservations", len(starts), len(reserved))
	}
	for i := range starts {
		if early := reserved[i] - ahead.Microseconds() - starts[i]; early > 0 {
			t.Fatalf("start %d came %v before its reservation", i, micros(early))
		}
	}
}
