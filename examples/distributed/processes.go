package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// names are the processes' names: the first letters, which are their marks in the picture, all differ.
var names = strings.Fields("alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu")

// A process is a worker as its parent sees it.
type process struct {
	name    string
	cmd     *exec.Cmd
	orders  io.WriteCloser // the worker ends with it
	reports *json.Decoder
	stderr  bytes.Buffer // complete only after an end
}

// startProcess starts a worker, which then gets everything ready to begin. It is killed when ctx is done.
func startProcess(ctx context.Context, name string, j job) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.CommandContext(ctx, exe)}
	p.cmd.Env = append(os.Environ(), workerEnv+"="+name)
	p.cmd.Stderr = &p.stderr
	if p.orders, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.reports = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start process %s: %w", name, err)
	}
	p.order(j)
	return p, nil
}

// order tells the worker something. One that died before it could listen is noticed by the reports that do not come.
func (p *process) order(v any) { json.NewEncoder(p.orders).Encode(v) }

// follow hands the worker's reports to note, up to the last of the given event.
func (p *process) follow(last string, note func(report)) error {
	for {
		var r report
		if err := p.reports.Decode(&r); err != nil {
			return p.failure(err)
		}
		note(r)
		if r.Event == last {
			return nil
		}
	}
}

// failure says why a worker's reports ended too early.
func (p *process) failure(err error) error {
	if exit := p.close(); exit != nil {
		err = exit
	}
	return fmt.Errorf("process %s: %w: %s", p.name, err, bytes.TrimSpace(p.stderr.Bytes()))
}

// close lets the worker end, and returns what it ended with. Only the first call matters.
func (p *process) close() error {
	p.orders.Close()
	return p.cmd.Wait()
}

// makeCalls makes all calls and reports every one that is done, one report at a time.
func makeCalls(ctx context.Context, cfg config, redis, url string, api *demo.API, show func(demo.Step)) (result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	key := "examples/distributed/" + rand.Text() // no other run's quota is this run's

	var processes []*process
	defer func() {
		cancel(nil) // who is not done by now never will be
		for _, p := range processes {
			p.close()
		}
	}()
	for i, name := range names[:cfg.procs] {
		p, err := startProcess(ctx, name, job{
			Redis: redis, Key: key, Quota: cfg.Quota, Period: cfg.Period,
			URL: url, First: i + 1, Step: cfg.procs, Calls: cfg.Calls, Goroutines: cfg.Goroutines,
		})
		if err != nil {
			return result{}, err
		}
		processes = append(processes, p)
	}
	for _, p := range processes { // so that the time it takes to start them is not counted
		if err := p.follow(ready, func(report) {}); err != nil {
			return result{}, err
		}
	}

	r := result{began: time.Now(), calls: make([]call, cfg.Calls), roundTrips: make([]uint64, cfg.procs)}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		answered int
	)
	for i, p := range processes {
		p.order(true)
		wg.Go(func() {
			err := p.follow(done, func(rep report) {
				mu.Lock()
				defer mu.Unlock()
				switch rep.Event {
				case begin:
					r.calls[rep.Call-1].begin = time.Since(r.began)
				case end:
					c := &r.calls[rep.Call-1]
					c.end, c.status, c.err = time.Since(r.began), rep.Status, rep.Error
					r.took = c.end
					answered++
					show(demo.Step{Record: api.Record(), Done: answered, Calls: cfg.Calls, Took: r.took})
				case done:
					r.roundTrips[i] = rep.RoundTrips
				}
			})
			if err != nil {
				cancel(err) // what the others do is of no use without it
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return result{}, context.Cause(ctx)
	}
	r.Record = api.Record()
	return r, nil
}
