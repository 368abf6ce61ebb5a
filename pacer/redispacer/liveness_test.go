package redispacer

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// The contests of liveness are of real processes in real time, so that how busy the machine is
// decides too. They are run by
//
//	go test -run 'Process|Rolling|Leave|Greedy|Wrong|Latency|Deadlines' ./pacer/redispacer -whole
//
// and what they are about is tested in virtual time by the simulation, and by the tests of the line.
var whole = flag.Bool("whole", false, "run the contests of liveness, and other tests at full length")

// callersEnv holds the callers that the test's binary is to be, instead of a test.
const callersEnv = "REDISPACER_TEST_CALLERS"

// Callers are what one process does: so many at once call Wait, again and again, until it is
// killed or its input ends.
type callers struct {
	Addr   string
	Limits []pacer.Limit
	N      int
	Leave  time.Duration // each gives up after a random time, twice this at most; 0 = never
	Once   bool          // each caller makes one call
	Within time.Duration // each has a deadline after so long; 0 = none
}

// runCallers is the main function of such a process. It writes the time of each start.
func runCallers(encoded string) int {
	var c callers
	if err := json.Unmarshal([]byte(encoded), &c); err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: c.Addr, MaxRetries: -1, DialerRetries: 1})
	p, err := New(rdb, "quota", Config{Limits: c.Limits, Timeout: 5 * time.Second})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	for range c.N {
		go func() {
			for again := true; again; again = !c.Once {
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if c.Within > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.Within)
				}
				if c.Leave > 0 {
					ctx, cancel = context.WithCancel(ctx)
					time.AfterFunc(rand.N(2*c.Leave), cancel)
				}
				err := p.Wait(ctx)
				now := time.Now()
				cancel()
				if err != nil && c.Within > 0 {
					time.Sleep(5 * ms)
					continue
				}
				if err != nil && c.Leave == 0 {
					fmt.Fprintln(os.Stderr, err)
					time.Sleep(5 * ms)
					continue
				}
				if err == nil {
					mu.Lock()
					fmt.Println(now.UnixMicro())
					mu.Unlock()
				}
			}
		}()
	}
	select {} // until killed
}

// A fleet is processes that share a quota. Times are since it began.
type fleet struct {
	t     *testing.T
	addr  string
	began time.Time

	mu        sync.Mutex
	all       []time.Duration   // starts
	each      [][]time.Duration // by process
	processes []*os.Process
	wg        sync.WaitGroup
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t, addr: startServer(t).addr, began: time.Now()}
	t.Cleanup(f.end)
	return f
}

func (f *fleet) end() {
	for i := range f.processes {
		f.kill(i)
	}
	f.wg.Wait()
}

// join starts a process and returns its number.
func (f *fleet) join(c callers) int {
	c.Addr = f.addr
	encoded, err := json.Marshal(c)
	if err != nil {
		f.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), callersEnv+"="+string(encoded), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	i := len(f.each)
	f.each = append(f.each, nil)
	f.processes = append(f.processes, cmd.Process)
	f.wg.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			us, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				continue
			}
			f.mu.Lock()
			at := time.UnixMicro(us).Sub(f.began)
			f.all = append(f.all, at)
			f.each[i] = append(f.each[i], at)
			f.mu.Unlock()
		}
		cmd.Wait()
	})
	return i
}

func (f *fleet) kill(i int) { f.processes[i].Kill() }

// started waits until so many starts happened.
func (f *fleet) started(n int) {
	for f.len() < n {
		time.Sleep(ms)
	}
}

func (f *fleet) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

func (f *fleet) now() time.Duration { return time.Since(f.began) }

// between returns the starts of a process, or of all (-1), in a span of time, in order.
func (f *fleet) between(process int, from, to time.Duration) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	starts := f.all
	if process >= 0 {
		starts = f.each[process]
	}
	var some []time.Duration
	for _, at := range starts {
		if at >= from && at < to {
			some = append(some, at)
		}
	}
	slices.Sort(some)
	return some
}

// run lets so much time pass and returns when that began and ended.
func (f *fleet) run(d time.Duration) (from, to time.Duration) {
	from = f.now()
	time.Sleep(d)
	return from, f.now()
}

// wantRate checks that no less than a part of what is possible has started.
func (f *fleet) wantRate(from, to time.Duration, l pacer.Limit, part float64) {
	f.t.Helper()
	got, possible := len(f.between(-1, from, to)), float64(to-from)/float64(l.Period)*float64(l.Calls)
	f.t.Logf("%d of %.0f starts: %.2f", got, possible, float64(got)/possible)
	missing := 1 // the next may come just after
	if !l.Even {
		missing = l.Calls // and a whole window of them
	}
	if float64(got) < part*possible-float64(missing) {
		f.t.Errorf("%d starts, want %.2f of %.0f at least", got, part, possible)
	}
}

// realTime skips what only real time decides.
func realTime(t *testing.T) {
	if !*whole {
		t.Skip("a contest of processes in real time, run with -whole")
	}
}

func perSecond(n int, even bool) pacer.Limit {
	return pacer.Limit{Calls: n, Period: time.Second, Even: even}
}

func TestAProcessThatIsKilledTakesOnlyTheNextStartsWithIt(t *testing.T) {
	realTime(t)
	for _, even := range []bool{false, true} {
		f := newFleet(t)
		limit := perSecond(10, even)
		victim := f.join(callers{Limits: []pacer.Limit{limit}, N: 300})
		f.started(3)
		f.join(callers{Limits: []pacer.Limit{limit}, N: 3})
		time.Sleep(300 * ms)
		f.kill(victim)
		from := f.now()
		time.Sleep(5 * time.Second)
		starts := f.between(1, from, f.now())
		if len(starts) == 0 || starts[0]-from > limit.Period+500*ms {
			t.Errorf("even %v: others started at %v after one was killed, want a start within %v", even, starts, limit.Period+500*ms)
		}
		f.end()
	}
}

func TestARollingReplacementHoldsTheRate(t *testing.T) {
	realTime(t)
	f := newFleet(t)
	limit := perSecond(20, true)
	life := 5 * time.Second
	c := callers{Limits: []pacer.Limit{limit}, N: 50}
	for range 4 {
		f.join(c)
	}
	f.started(4)
	from := f.now()
	for i := range 4 {
		time.Sleep(life)
		f.kill(i)
		f.join(c)
	}
	time.Sleep(life)
	to := f.now()
	f.wantRate(from, to, limit, 0.97)
	starts := f.between(-1, from, to)
	for i := 1; i < len(starts); i++ {
		if gap := starts[i] - starts[i-1]; gap > time.Second {
			t.Errorf("nobody started for %v", gap)
		}
	}
}

func TestCallersWhoLeaveLoseNoStart(t *testing.T) {
	for _, c := range []struct {
		processes, callers int
		even               bool
		part               float64
	}{{1, 50, false, 0.95}, {5, 10, false, 0.95}, {9, 1, false, 0.95}, {5, 5, true, 0.9}} {
		t.Run(fmt.Sprintf("%d of %d even %v", c.processes, c.callers, c.even), func(t *testing.T) {
			realTime(t)
			f := newFleet(t)
			limit := pacer.Limit{Calls: 4, Period: 200 * ms, Even: c.even}
			for range c.processes {
				f.join(callers{Limits: []pacer.Limit{limit}, N: c.callers, Leave: 150 * ms})
			}
			f.started(c.processes)
			from, to := f.run(10 * time.Second)
			f.wantRate(from, to, limit, c.part)
		})
	}
}

func TestAGreedyProcessLeavesOthersTheirShare(t *testing.T) {
	realTime(t)
	f := newFleet(t)
	limit := pacer.Limit{Calls: 10, Period: 200 * ms}
	greedy := f.join(callers{Limits: []pacer.Limit{limit}, N: 300})
	f.started(1)
	polite := f.join(callers{Limits: []pacer.Limit{limit}, N: 10})
	time.Sleep(500 * ms) // until it has come
	from, to := f.run(10 * time.Second)
	f.wantRate(from, to, limit, 0.95)
	for _, i := range []int{greedy, polite} {
		share := float64(len(f.between(i, from, to))) / float64(len(f.between(-1, from, to)))
		if share < 0.4 || share > 0.6 {
			t.Errorf("process %d has a share of %.2f, want 0.4 to 0.6", i, share)
		}
	}
}

func TestAWrongLimitHoldsUpNobodyElse(t *testing.T) {
	realTime(t)
	for _, once := range []bool{true, false} {
		f := newFleet(t)
		limit := pacer.Limit{Calls: 10, Period: 200 * ms}
		wrong := callers{Limits: []pacer.Limit{{Calls: 1, Period: 24 * time.Hour}}, N: 3, Once: once}
		f.join(wrong)
		f.started(1) // it asks first
		f.join(callers{Limits: []pacer.Limit{limit}, N: 10})
		time.Sleep(500 * ms)
		f.join(wrong)
		from, to := f.run(10 * time.Second)
		f.wantRate(from, to, limit, 0.95)
		f.end()
	}
}

func TestProcessesThatBarelyMeetTheirDeadlinesLoseNoStart(t *testing.T) {
	for _, even := range []bool{false, true} {
		t.Run(fmt.Sprintf("even %v", even), func(t *testing.T) {
			realTime(t)
			f := newFleet(t)
			limit := pacer.Limit{Calls: 4, Period: 200 * ms, Even: even}
			for range 5 { // of whose callers each waits for a second if nobody gives up
				f.join(callers{Limits: []pacer.Limit{limit}, N: 4, Within: time.Second})
			}
			f.started(5)
			from, to := f.run(10 * time.Second)
			f.wantRate(from, to, limit, 0.95)
		})
	}
}

func TestManyProcessesOfOneCallerShareEvenly(t *testing.T) {
	for _, c := range []struct {
		limit pacer.Limit
		span  time.Duration
		trips float64 // a start at most
	}{{perSecond(10, true), 100 * time.Second, 20}, {perSecond(100, true), 30 * time.Second, 20}, {perSecond(1000, true), 10 * time.Second, 3}} {
		t.Run(fmt.Sprintf("%d a second", c.limit.Calls), func(t *testing.T) {
			realTime(t)
			const n = 100
			f := newFleet(t)
			for range n {
				f.join(callers{Limits: []pacer.Limit{c.limit}, N: 1})
			}
			f.started(n)
			time.Sleep(3 * time.Second)
			trips := f.calls()
			from, to := f.run(c.span)
			f.wantRate(from, to, c.limit, 0.95)
			starts := len(f.between(-1, from, to))
			each := float64(f.calls()-trips) / float64(starts)
			t.Logf("%.1f round trips a start", each)
			if each > c.trips {
				t.Errorf("%.1f round trips a start, want %.0f at most", each, c.trips)
			}
			fair := float64(starts) / n
			for i := range n {
				if got := float64(len(f.between(i, from, to))); got < fair*0.8-1 || got > fair*1.2+1 {
					t.Errorf("process %d had %.0f starts, want %.1f", i, got, fair)
				}
			}
		})
	}
}

// calls returns how often the script has run.
func (f *fleet) calls() int {
	f.t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: f.addr})
	defer rdb.Close()
	info, err := rdb.Info(context.Background(), "commandstats").Result()
	if err != nil {
		f.t.Fatal(err)
	}
	_, of, _ := strings.Cut(info, "cmdstat_evalsha:calls=")
	n, _, _ := strings.Cut(of, ",")
	calls, err := strconv.Atoi(n)
	if err != nil {
		f.t.Fatal(err)
	}
	return calls
}

// A Redis that is far away costs each caller its latency, and the fleet nothing.
func TestLatencyCostsNothingOfTheRate(t *testing.T) {
	realTime(t)
	f := newFleet(t)
	f.addr = delayed(t, f.addr, 100*ms)
	limit := pacer.Limit{Calls: 20, Period: 400 * ms}
	for range 4 {
		f.join(callers{Limits: []pacer.Limit{limit}, N: 20})
	}
	f.started(40)
	time.Sleep(time.Second)
	from, to := f.run(20 * time.Second)
	f.wantRate(from, to, limit, 0.95)
}

// A process among others that is far away has no less than its share, and does not take all, though
// it may reserve ahead of them.
func TestAFarProcessDoesNotTakeAll(t *testing.T) {
	realTime(t)
	f := newFleet(t)
	near := f.addr
	limit := pacer.Limit{Calls: 20, Period: 400 * ms, Even: true}
	f.addr = delayed(t, near, 100*ms)
	far := f.join(callers{Limits: []pacer.Limit{limit}, N: 20})
	f.addr = near
	for range 3 {
		f.join(callers{Limits: []pacer.Limit{limit}, N: 20})
	}
	f.started(40)
	time.Sleep(time.Second)
	from, to := f.run(20 * time.Second)
	f.wantRate(from, to, limit, 0.95)
	share := float64(len(f.between(far, from, to))) / float64(len(f.between(-1, from, to)))
	t.Logf("the far one of four has a share of %.2f", share)
	if share < 0.15 || share > 0.6 {
		t.Errorf("the far one of four has a share of %.2f, want 0.25 to 0.5", share)
	}
}
