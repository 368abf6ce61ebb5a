package bench

import (
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

var whole = flag.Bool("whole", false, "simulate every server, with all clients and chains, and print the tables")

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

// A simResult is what came of a simulation.
type simResult struct {
	sent, into, throttled, atStart int
	succeeded, failed              int
	last                           time.Duration // success
	ideal                          time.Duration
	p50, p99                       time.Duration
}

// simulate has so many processes of so many callers each, who share the quota that they know of, make
// calls one after another.
func simulate(t *testing.T, s simServer, c simChain, processes, callers, calls, known int) (r simResult) {
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
							r.succeeded++
							r.last = time.Since(n.began)
						} else {
							r.failed++
						}
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		slices.Sort(took)
		r.sent, r.into, r.throttled, r.atStart = n.sent, n.into, n.throttled, n.atStart
		r.p50, r.p99 = took[len(took)/2], took[len(took)*99/100]
		r.ideal = ideal(s, calls, min(known, s.quota), 2*oneWay+s.answer()(0).late, processes*callers)
	})
	return r
}

// ideal is when the last call would end of a client that knows all: as fast as the quota and as so
// many callers can be, but for the time that the server is down.
func ideal(s simServer, calls, quota int, trip time.Duration, callers int) time.Duration {
	at, each := time.Duration(0), max(time.Second/time.Duration(quota), trip/time.Duration(callers))
	for range calls {
		at += each
		for s.down != nil && s.down(at) {
			at += time.Millisecond
		}
	}
	return at + trip
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
		"ours, burst, Outage": func(r simResult) int { return r.atStart + 30 },
	} {
		r := simulate(t, s, chainNamed(name), 1, 200, 3000, 100)
		t.Logf("%s: %+v", name, r)
		if r.into > most(r) || r.throttled > 0 || r.failed > 0 || r.last > r.ideal*103/100 || r.p99 > 8*time.Second {
			t.Errorf("%s: %+v, want at most %d into the outage, no 429, none failed, 1.03 of the ideal time, p99 of 8 s", name, r, most(r))
		}
	}
}

func TestAQuotaThatNobodyKnowsIsFound(t *testing.T) {
	for _, quota := range []string{"5", "10", "20"} {
		for _, name := range []string{"ours, burst", "ours, drip", "ours, burst, Outage"} {
			r := simulate(t, serverNamed("mute, "+quota+"/s"), chainNamed(name), 1, 100, 100, 100)
			t.Logf("%s of %s: %+v", name, quota, r)
			if r.succeeded < 95 || r.sent > 3*r.succeeded {
				t.Errorf("%s of %s a second: %+v, want 95 of 100 to succeed with at most 3 sends each", name, quota, r)
			}
		}
	}
}

// The tables of all servers, clients and chains; they assert nothing. So they are printed:
//
//	go test -run TestSimulation -v ./internal/bench -whole
func TestSimulation(t *testing.T) {
	if !*whole {
		t.Skip("it asserts nothing: ask for its tables by -v and -whole")
	}
	for _, s := range simServers {
		for _, clients := range []struct{ processes, callers, calls int }{{1, 1, 300}, {1, 200, 3000}, {10, 20, 3000}} {
			if s.quota < 100 {
				clients.calls = 100
			}
			fmt.Printf("\n%s, %d × %d callers, %d calls\n\n", strings.ToUpper(s.name), clients.processes, clients.callers, clients.calls)
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(w, "chain\tsucceeded\tsent\tinto outage\t429\tlast\tof ideal\tp50\tp99\t")
			for _, c := range simChains {
				r := simulate(t, s, c, clients.processes, clients.callers, clients.calls, 100)
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.2fs\t%.3f\t%.2fs\t%.2fs\t\n", c.name, r.succeeded, r.sent, r.into, r.throttled,
					r.last.Seconds(), float64(r.last)/float64(r.ideal), r.p50.Seconds(), r.p99.Seconds())
			}
			w.Flush()
		}
	}
}
