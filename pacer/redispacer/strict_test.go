package redispacer

import (
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A contest lets processes compete for a quota in real time, since a process cannot live
// in a bubble.
type contest struct {
	name string
	job
	latency time.Duration // added to each round trip
	crash   bool          // the server is killed and started anew on the way
}

func contests() []contest {
	quota := pacer.Limit{Calls: 50, Period: 500 * ms}
	even := pacer.Limit{Calls: 50, Period: 500 * ms, Even: true}
	return []contest{
		{name: "one start a round trip", job: job{Limit: quota}},
		{name: "evenly", job: job{Limit: even}},
		{name: "clocks an hour apart", job: job{Limit: quota, Ahead: time.Hour}},
		{name: "200 ms of latency", job: job{Limit: quota}, latency: 200 * ms},
		{name: "server killed and restarted", job: job{Limit: pacer.Limit{Calls: 50, Period: 2 * time.Second}}, crash: true},
	}
}

// TestStrictWindowsAcrossProcesses checks reservations, on the server's clock: their
// windows depend on nothing. How much of the rate is held does, on the machine, and is
// what BenchmarkProcesses measures.
func TestStrictWindowsAcrossProcesses(t *testing.T) {
	for _, c := range contests() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each := 5 // 160 starts are four windows
			if c.crash {
				each = 2 // besides those before the crash
			}
			histories := c.hold(t, each)
			var reserved, starts []int64
			var failures uint64
			for _, h := range histories {
				reserved = append(reserved, h.Reserved...)
				starts = append(starts, h.Starts...)
				failures += h.Failures
			}
			slices.Sort(reserved)
			slices.Sort(starts)
			checkWindows(t, reserved, c.Limit)
			checkEven(t, reserved, c.Limit, 2)
			checkStarts(t, starts, reserved, c.Ahead)
			if want := len(histories) * c.Goroutines * each; len(starts) < want {
				t.Errorf("%d starts, want %d at least", len(starts), want)
			}
			if c.crash && failures == 0 {
				t.Error("nobody noticed the crash")
			}
			t.Logf("%d reservations, %d failed round trips", len(reserved), failures)
		})
	}
}

// hold lets 4 processes with 8 goroutines each compete.
func (c *contest) hold(t testing.TB, each int) []history {
	const processes = 4
	s := startServer(t)
	c.Addr, c.Goroutines, c.Each = s.addr, 8, each
	if c.latency > 0 {
		c.Addr = delayed(t, s.addr, c.latency/2)
	}
	var in *os.File
	if c.crash {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		restarted := make(chan struct{})
		defer func() { <-restarted }()
		go func() {
			defer close(restarted)
			defer w.Close() // now they may end
			s.crash(t, processes)
		}()
		in = r
	}
	return c.run(t, processes, in)
}

// crash kills the server when all of some processes have had a start, or they would not
// know that something was lost. It starts it anew as soon as one has found it gone.
func (s *server) crash(t testing.TB, processes int) {
	for rdb := s.client(t); rdb.SCard(t.Context(), startedKey).Val() < int64(processes); {
		time.Sleep(ms)
	}
	s.kill()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Error(err)
		return
	}
	if conn, err := l.Accept(); err == nil {
		conn.Close()
	}
	// Processes count from when they have read an answer: they may be held up for so long
	// without taking the old state for fresh. It is less than the window, so that a server
	// which had forgotten the starts before the crash would let too many follow.
	time.Sleep(time.Second)
	l.Close()
	s.start(t)
}

func checkWindows(t *testing.T, reserved []int64, l pacer.Limit) {
	t.Helper()
	for i := l.Calls; i < len(reserved); i++ {
		if gap := micros(reserved[i] - reserved[i-l.Calls]); gap < l.Period {
			t.Fatalf("reservations %d to %d are %v apart: %d in a window of %v", i-l.Calls, i, gap, l.Calls+1, l.Period)
		}
	}
}

// checkEven checks that no more than n starts are less than an interval apart: 1 where
// callers always wait, 2 where they may come late for their slot and the next is in time.
func checkEven(t *testing.T, reserved []int64, l pacer.Limit, n int) {
	t.Helper()
	if !l.Even {
		return
	}
	for i := n; i < len(reserved); i++ {
		if gap := micros(reserved[i] - reserved[i-n]); gap < l.Period/time.Duration(l.Calls) {
			t.Fatalf("reservations %d and %d are %v apart", i-n, i, gap)
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
