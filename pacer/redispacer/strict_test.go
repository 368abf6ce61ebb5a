package redispacer

import (
	"slices"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// TestStrictWindowsAcrossProcesses lets 4 processes with 8 goroutines each compete for a
// quota in real time, since a process cannot live in a bubble. What is checked of time are
// reservations, on the server's clock; only their rate depends on the machine.
func TestStrictWindowsAcrossProcesses(t *testing.T) {
	const processes, goroutines, measured = 4, 8, 3 * time.Second
	quota := pacer.Limit{Calls: 50, Period: 500 * ms}
	even := pacer.Limit{Calls: 50, Period: 500 * ms, Even: true}
	for _, tt := range []struct {
		name    string
		job     job
		latency time.Duration
		crash   bool
	}{
		{name: "one start a round trip", job: job{Limit: quota}},
		{name: "evenly", job: job{Limit: even}},
		{name: "leases", job: job{Limit: quota, Lease: 8}},
		{name: "clocks an hour apart", job: job{Limit: quota, Ahead: time.Hour}},
		{name: "200 ms of latency", job: job{Limit: quota}, latency: 200 * ms},
		{name: "server killed and restarted", job: job{Limit: quota, Run: 5 * time.Second}, crash: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t)
			j := tt.job
			j.Addr, j.Goroutines, j.Run = s.addr, goroutines, j.Run+measured+500*ms
			if tt.latency > 0 {
				j.Addr = delayed(t, s.addr, tt.latency/2)
			}
			restarted := make(chan struct{})
			if tt.crash {
				time.AfterFunc(1500*ms, func() {
					defer close(restarted)
					s.kill()
					time.Sleep(200 * ms) // as long as the server is gone
					s.start(t)
				})
			}
			histories := j.run(t, processes)
			if tt.crash {
				<-restarted
			}

			var reserved, starts []int64
			last := int64(1 << 62) // until when all were competing
			for _, h := range histories {
				reserved = append(reserved, h.Reserved...)
				starts = append(starts, h.Starts...)
				last = min(last, h.Reserved[len(h.Reserved)-1])
				if h.Stats.Failures > 0 != tt.crash {
					t.Errorf("stats %+v", h.Stats)
				}
			}
			slices.Sort(reserved)
			slices.Sort(starts)
			checkWindows(t, reserved, j.Limit)
			checkStarts(t, starts, reserved, j.Ahead)

			from, _ := slices.BinarySearch(reserved, last-measured.Microseconds())
			to, _ := slices.BinarySearch(reserved, last)
			rate := float64(to-from) / float64(j.Limit.Calls) * j.Limit.Period.Seconds() / measured.Seconds()
			t.Logf("%d reservations, %.3f of the rate", len(reserved), rate)
			if rate < 0.97 {
				t.Errorf("%.3f of the rate was held, want at least 0.97", rate)
			}
		})
	}
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
