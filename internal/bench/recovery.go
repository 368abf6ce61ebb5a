package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A simResult is what came of a simulation: of one chain, called by many.
type simResult struct {
	Chain             string
	Succeeded, Failed int
	Sent              int
	Into, AtStart     int // the outage, and what was under way when it began
	Throttled         int
	Last, Ideal       time.Duration // success, and that of a client that knows all
	P50, P99          time.Duration
}

// recovery is the simulation of a server that is down for five seconds. Virtual time is the testing
// package's, so a test plays it.
func recovery(effort) (table, error) {
	t := table{
		About: "In virtual time: a server of 100 calls a second is down for 5 seconds, and 200 callers make 3,000 calls, with 8 " +
			"attempts each and a round trip of 20 ms. Sent into the outage, refused with 429, calls that failed, and the time " +
			"until the last success as a multiple of what a client needs that knows all. More servers and clients, and where " +
			"others do better: [simulation.md](simulation.md).",
		Columns: []string{"into the outage", "429", "failed", "of the ideal time", "p99 (s)"},
		Chart:   chart{Name: "recovery", Title: "Requests sent into an outage of 5 s"},
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "results.json")
	cmd := exec.Command("go", "test", "-count=1", "-run", "^TestSimulation$", "github.com/pacedhttp/pacedhttp/internal/bench", "-results", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return t, fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	read, err := os.ReadFile(file)
	if err != nil {
		return t, err
	}
	var results []simResult
	if err := json.Unmarshal(read, &results); err != nil {
		return t, err
	}
	for _, r := range results {
		t.add(r.Chain, float64(r.Into), float64(r.Throttled), float64(r.Failed), float64(r.Last)/float64(r.Ideal), r.P99.Seconds())
	}
	return t, nil
}
