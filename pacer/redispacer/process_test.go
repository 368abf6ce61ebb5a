package redispacer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// processEnv holds a job for the test's binary, which then is a process that shares a
// quota with others instead of a test.
const processEnv = "REDISPACER_TEST_PROCESS"

// startedKey is the set of the processes that had a start.
const startedKey = "started"

type job struct {
	Addr       string
	Limit      pacer.Limit
	Goroutines int
	Each       int           // starts of each of them once the process's input has ended; before, it makes as many as it can
	Ahead      time.Duration // how far the server's clock is made to be ahead of this process's
}

// A history is what a process saw. Times are microseconds, reservations' on the server's
// clock and starts' on the process's own.
type history struct {
	Reserved []int64
	Starts   []int64
	Failures uint64
}

// run runs n processes at the same time and returns their histories. Their input is in; nil has ended.
func (j job) run(t testing.TB, n int, in *os.File) []history {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	histories := make([]history, n)
	var wg sync.WaitGroup
	for i := range histories {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), processEnv+"="+string(encoded))
			if in != nil {
				cmd.Stdin = in
			}
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err == nil {
				err = json.Unmarshal(out, &histories[i])
			}
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return histories
}

// runProcess is the main function of such a process.
func runProcess(encoded string) int {
	h, err := process(encoded)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(h)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func process(encoded string) (history, error) {
	var j job
	if err := json.Unmarshal([]byte(encoded), &j); err != nil {
		return history{}, err
	}
	rdb := redis.NewClient(&redis.Options{Addr: j.Addr, MaxRetries: -1, DialerRetries: 1}) // or the client sits a short outage out
	defer rdb.Close()
	witness := &witness{reserved: make(map[reservation]int64)}
	rdb.AddHook(witness)
	p, err := New(rdb, "quota", Config{Limits: []pacer.Limit{j.Limit}, Timeout: 2 * time.Second})
	if err != nil {
		return history{}, err
	}
	if j.Ahead != 0 {
		p.remote.script.lua = redis.NewScript(strings.Replace(source, "local now = time[1]",
			fmt.Sprintf("local now = %d + time[1]", int64(j.Ahead.Seconds())), 1))
	}

	var ended atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	var mu sync.Mutex
	var starts []int64
	var failures []error
	var joined sync.Once
	var wg sync.WaitGroup
	for range j.Goroutines {
		wg.Go(func() {
			for left := j.Each; left > 0; {
				counts := ended.Load()
				err := p.Wait(context.Background())
				now := time.Now()
				if errors.Is(err, ErrUnavailable) {
					time.Sleep(5 * time.Millisecond) // a caller that tries again, and does nothing else
					continue
				}
				joined.Do(func() {
					for rdb.SAdd(context.Background(), startedKey, os.Getpid()).Err() != nil {
						time.Sleep(5 * time.Millisecond) // who waits for the last to join may kill the server before it answers
					}
				})
				mu.Lock()
				starts = append(starts, now.UnixMicro())
				failures = append(failures, err)
				mu.Unlock()
				if counts {
					left--
				}
			}
		})
	}
	wg.Wait()
	return history{Reserved: witness.times(), Starts: starts, Failures: p.Stats().Shared.Failures}, errors.Join(failures...)
}

// A witness keeps what the script answered, whatever the Pacer makes of it.
type witness struct {
	mu       sync.Mutex
	reserved map[reservation]int64 // when
}

type reservation struct{ epoch, at, serial int64 }

func (w *witness) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if c, ok := cmd.(*redis.Cmd); ok && err == nil {
			got, err := c.Int64Slice()
			if err != nil {
				return err
			}
			w.record(cmd.Args()[5:], got)
		}
		return err
	}
}

func (w *witness) record(args []any, got []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, rest := args[3].(int64), args[9:]
	rest = rest[1+rest[0].(int):] // the units
	limits := rest[0].(int)
	rest = rest[1+6*limits:]
	var back []reservation
	for i := range rest[0].(int) {
		if c := rest[1+5*i:]; c[0].(int) == giveBack {
			back = append(back, reservation{known, c[1].(int64), c[2].(int64)})
		}
	}
	if got[5] == int64(len(back)) { // else nobody knows which they were
		for _, r := range back {
			delete(w.reserved, r)
		}
	}
	for g := got[7+limits:]; len(g) > 0; g = g[2:] {
		w.reserved[reservation{got[0], g[0], g[1]}] = g[0]
	}
}

// times are those of the reservations, but for what a loss of the state made void: a state
// is named after the time when it began, and what an earlier one gave out for 100 ms after
// that or later does not start.
func (w *witness) times() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var epochs []int64
	for r := range w.reserved {
		epochs = append(epochs, r.epoch)
	}
	slices.Sort(epochs)
	var times []int64
	for r, at := range w.reserved {
		if i, _ := slices.BinarySearch(epochs, r.epoch+1); i == len(epochs) || at < epochs[i]+(100*ms).Microseconds() {
			times = append(times, at)
		}
	}
	slices.Sort(times)
	return times
}

func (w *witness) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *witness) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
