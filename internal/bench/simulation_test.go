package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"
)

var (
	whole   = flag.Bool("whole", false, "simulate every server, with all clients and chains")
	results = flag.String("results", "", "write what came of the last server and clients to this file, as JSON")
)

const oneWay = 10 * time.Millisecond

// A network carries requests to a server and counts what becomes of them.
type network struct {
	simServer
	began  time.Time
	answer func(time.Duration) simAnswer

	mu        sync.Mutex
	sent      int
	into      int // the outage
	throttled int
	flying    int  // under way
	atStart   int  // of the outage: what was under way
	begun     bool // the outage
}

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.flying++
	n.mu.Unlock()
	time.Sleep(oneWay)
	n.mu.Lock()
	at := time.Since(n.began)
	n.sent++
	a := simAnswer{status: 503}
	if n.down == nil || !n.down(at) {
		a = n.answer(at)
	} else {
		if !n.begun {
			n.begun, n.atStart = true, n.flying
		}
		n.into++
	}
	if a.status == 429 {
		n.throttled++
	}
	n.mu.Unlock()
	time.Sleep(oneWay + a.late)
	n.mu.Lock()
	n.flying--
	n.mu.Unlock()
	if a.header == nil {
		a.header = http.Header{}
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: http.NoBody, Request: req}, nil
}

// known is the quota a second that clients know of, as a server has it or not.
const known = 100

// simClients are processes of so many callers each, who make calls one after another, so many in all.
type simClients struct{ processes, callers, calls int }

// simulate has clients, who share the quota that they know of, call a server.
func simulate(t *testing.T, s simServer, c simChain, clients simClients) simResult {
	r := simResult{Chain: c.name}
	processes, callers, calls := clients.processes, clients.callers, clients.calls
	synctest.Test(t, func(t *testing.T) {
		n := &network{simServer: s, began: time.Now(), answer: s.answer()}
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			next int
			took []time.Duration
		)
		for range processes {
			client := &http.Client{Transport: c.make(n, known/processes)}
			for range callers {
				wg.Go(func() {
					for {
						mu.Lock()
						next++
						call := next
						mu.Unlock()
						if call > calls {
							return
						}
						began := time.Now()
						resp, err := client.Get("http://api.test/" + strconv.Itoa(call))
						ok := err == nil && resp.StatusCode == 200
						if err == nil {
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
						mu.Lock()
						if took = append(took, time.Since(began)); ok {
							r.Succeeded++
							r.Last = time.Since(n.began)
						} else {
							r.Failed++
						}
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		slices.Sort(took)
		r.Sent, r.Into, r.Throttled, r.AtStart = n.sent, n.into, n.throttled, n.atStart
		r.P50, r.P99 = took[len(took)/2], took[len(took)*99/100]
		r.Ideal = ideal(s, calls, min(known, s.quota), processes*callers, c.even)
	})
	return r
}

// ideal is when the last call would end of a client that knows all: that sends as many at once as the
// quota and its callers allow, or one by one, and nothing while the server is down.
func ideal(s simServer, calls, quota, callers int, even bool) time.Duration {
	late := s.answer()(0).late
	sent := make([]time.Duration, calls) // when it reaches the server
	for i := range sent {
		at := oneWay
		if even && i > 0 {
			at = sent[i-1] + time.Second/time.Duration(quota)
		}
		if i >= quota {
			at = max(at, sent[i-quota]+time.Second)
		}
		if i >= callers {
			at = max(at, sent[i-callers]+2*oneWay+late)
		}
		for s.down != nil && s.down(at) {
			at += time.Millisecond
		}
		sent[i] = at
	}
	return sent[calls-1] + oneWay + late
}

func chainNamed(name string) simChain {
	return simChains[slices.IndexFunc(simChains, func(c simChain) bool { return c.name == name })]
}

func serverNamed(name string) simServer {
	return simServers[slices.IndexFunc(simServers, func(s simServer) bool { return s.name == name })]
}

func TestAnOutageIsNotFed(t *testing.T) {
	s := serverNamed("down 5 s")
	for name, most := range map[string]func(simResult) int{
		"ours, drip, Outage":  func(simResult) int { return 40 },
		"ours, burst, Outage": func(r simResult) int { return r.AtStart + 30 },
	} {
		r := simulate(t, s, chainNamed(name), simClients{1, 200, 3000})
		t.Logf("%s: %+v", name, r)
		if r.Into > most(r) || r.Throttled > 0 || r.Failed > 0 || r.Last > r.Ideal*103/100 || r.P99 > 8*time.Second {
			t.Errorf("%s: %+v, want at most %d into the outage, no 429, none failed, 1.03 of the ideal time, p99 of 8 s", name, r, most(r))
		}
	}
}

func TestAQuotaThatNobodyKnowsIsFound(t *testing.T) {
	for _, quota := range []string{"5", "10", "20"} {
		for _, name := range []string{"ours, burst", "ours, drip", "ours, burst, Outage"} {
			r := simulate(t, serverNamed("mute, "+quota+"/s"), chainNamed(name), simClients{1, 100, 100})
			t.Logf("%s of %s: %+v", name, quota, r)
			if r.Succeeded < 95 || r.Sent > 3*r.Succeeded {
				t.Errorf("%s of %s a second: %+v, want 95 of 100 to succeed with at most 3 sends each", name, quota, r)
			}
		}
	}
}

// The tables of all servers, clients and chains are printed by
//
//	go test -run TestSimulation -v ./internal/bench -whole
//
// and that of one outage without -whole. On whatever server, ours are not refused where they know the
// quota, and many callers send little more than half as much into an outage with Outage as without.
func TestSimulation(t *testing.T) {
	servers, clients := simServers, []simClients{{1, 1, 300}, {1, 200, 3000}, {10, 20, 3000}}
	if !*whole {
		servers, clients = []simServer{serverNamed("down 5 s")}, clients[1:2]
	}
	for _, s := range servers {
		for _, c := range clients {
			if s.quota < known {
				c.calls = 100
			}
			var table strings.Builder
			fmt.Fprintf(&table, "%s, %d × %d callers, %d calls\n\n", s.name, c.processes, c.callers, c.calls)
			w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(w, "chain\tsucceeded\tsent\tinto outage\t429\tlast\tof ideal\tp50\tp99\t")
			into, all := map[string]int{}, []simResult(nil)
			for _, chain := range simChains {
				r := simulate(t, s, chain, c)
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.2fs\t%.3f\t%.2fs\t%.2fs\t\n", chain.name, r.Succeeded, r.Sent, r.Into, r.Throttled,
					r.Last.Seconds(), float64(r.Last)/float64(r.Ideal), r.P50.Seconds(), r.P99.Seconds())
				into[chain.name], all = r.Into, append(all, r)
				if strings.HasPrefix(chain.name, "ours") && s.quota >= known && r.Throttled > 0 {
					t.Errorf("%s, %v, %s: %d were refused, want none", s.name, c, chain.name, r.Throttled)
				}
			}
			w.Flush()
			t.Logf("%s", table.String())
			if *results != "" {
				if err := writeJSON(*results, all); err != nil {
					t.Error(err)
				}
			}
			if c.callers > 1 && strings.HasPrefix(s.name, "down") { // one caller feeds nothing: it backs off
				for _, name := range []string{"ours, burst", "ours, drip"} {
					if into[name+", Outage"] > into[name]*6/10 {
						t.Errorf("%s, %v, %s: %d into the outage, and %d with Outage", s.name, c, name, into[name], into[name+", Outage"])
					}
				}
			}
		}
	}
}

func writeJSON(file string, v any) error {
	out, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, 0o644)
}
