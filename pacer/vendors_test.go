package pacer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// A vendor is a server that counts requests at the moment at which they reach it, and says
// what is left as that vendor does. It knows nothing of pacers.
type vendor interface {
	// answer takes in a request of some kind, at a time since the server's start, and reports
	// whether it serves it.
	answer(at time.Duration, kind string, cost int) (ok bool, said []quota.State)

	// offered returns how much the server would have served until then to those who ask for
	// all of it.
	offered(until time.Duration) int
}

// fixed starts to count anew every period. (GitHub, and most X-RateLimit headers.)
type fixed struct {
	name, unit string
	limit      int
	period     time.Duration
	window     int64
	used       int
}

func (f *fixed) answer(at time.Duration, _ string, cost int) (bool, []quota.State) {
	if w := int64(at / f.period); w != f.window {
		f.window, f.used = w, 0
	}
	ok := f.used+cost <= f.limit
	if ok {
		f.used += cost
	}
	return ok, []quota.State{{Name: f.name, Unit: f.unit, Remaining: f.limit - f.used, Limit: f.limit, Reset: f.period - at%f.period}}
}

func (f *fixed) offered(until time.Duration) int { return f.limit * int(until/f.period) }

// sliding serves so much in any window, and says when none of it is used.
type sliding struct {
	limit  int
	period time.Duration
	starts []time.Duration
}

func (s *sliding) answer(at time.Duration, _ string, _ int) (bool, []quota.State) {
	for len(s.starts) > 0 && s.starts[0] <= at-s.period {
		s.starts = s.starts[1:]
	}
	ok := len(s.starts) < s.limit
	if ok {
		s.starts = append(s.starts, at)
	}
	return ok, []quota.State{{Remaining: s.limit - len(s.starts), Limit: s.limit, Reset: s.starts[len(s.starts)-1] + s.period - at, Window: s.period}}
}

func (s *sliding) offered(until time.Duration) int { return s.limit * int(until/s.period) }

// leaky is a bucket. OpenAI says when it is full again, Shopify does not.
type leaky struct {
	unit  string
	size  int
	every time.Duration // one flows back
	used  time.Duration // in what it takes to flow back
	last  time.Duration
	mute  bool
}

func (l *leaky) room(at time.Duration, cost int) bool {
	l.used, l.last = max(0, l.used-(at-l.last)), at
	return l.used+time.Duration(cost)*l.every <= time.Duration(l.size)*l.every
}

func (l *leaky) answer(at time.Duration, _ string, cost int) (bool, []quota.State) {
	ok := l.room(at, cost)
	if ok {
		l.used += time.Duration(cost) * l.every
	}
	return ok, []quota.State{l.says()}
}

func (l *leaky) says() quota.State {
	s := quota.State{Unit: l.unit, Remaining: int((time.Duration(l.size)*l.every - l.used) / l.every), Limit: l.size}
	if !l.mute {
		s.Reset = l.used
	}
	return s
}

func (l *leaky) offered(until time.Duration) int { return l.size + int(until/l.every) }

// openAI limits requests and tokens, and serves what both have room for.
type openAI struct{ requests, tokens leaky }

func (o *openAI) answer(at time.Duration, _ string, cost int) (bool, []quota.State) {
	both := o.requests.room(at, 1)
	if both = o.tokens.room(at, cost) && both; both {
		o.requests.answer(at, "", 1)
		o.tokens.answer(at, "", cost)
	}
	return both, []quota.State{o.requests.says(), o.tokens.says()}
}

func (o *openAI) offered(until time.Duration) int { return o.requests.offered(until) }

// resources have quotas of their own. (GitHub's core and search, Discord's buckets.)
type resources map[string]*fixed

func (r resources) answer(at time.Duration, kind string, cost int) (bool, []quota.State) {
	return r[kind].answer(at, kind, cost)
}

func (r resources) offered(until time.Duration) int { return r["core"].offered(until) }

// A load is what clients ask of a vendor.
type load struct {
	rand    *rand.Rand
	vendor  vendor
	cost    int
	latency time.Duration // to the vendor, and on average back
	began   time.Time
	until   time.Duration

	mu       sync.Mutex
	first    time.Duration // when the first answer came
	served   int           // of ours
	refused  int           // of ours, of those that started after the first answer
	puzzling int           // of those, while nobody else was served since what we were told last
	others   int           // served of another client
	told     int           // of others, when the server gave the last answer that has come
}

func (l *load) since() time.Duration { return time.Since(l.began) }

// ask sends one request and tells the pacer what comes back. It reports whether there was
// time for it.
func (l *load) ask(ctx context.Context, p *pacer.Pacer, kind string) bool {
	slot, err := p.Acquire(pacer.WithCost(ctx, tokens, l.cost))
	if err != nil {
		return false
	}
	defer slot.Done()
	l.mu.Lock()
	started, told := l.since(), l.told
	l.mu.Unlock()
	time.Sleep(l.latency)
	l.mu.Lock()
	ok, said := l.vendor.answer(l.since(), kind, l.cost)
	switch {
	case ok && kind == "core":
		l.served++
	case !ok && l.first != 0 && started >= l.first:
		l.refused++
		if told == l.others {
			l.puzzling++
		}
	}
	others := l.others
	back := l.latency/2 + time.Duration(l.rand.Int64N(int64(l.latency)))
	l.mu.Unlock()
	time.Sleep(back)
	l.mu.Lock()
	l.told = max(l.told, others)
	if l.first == 0 {
		l.first = l.since()
	}
	l.mu.Unlock()
	slot.Report(pacer.Outcome{Throttled: !ok, Quotas: said})
	return true
}

// run lets so many callers ask as fast as the pacer lets them, and one of them for something
// else now and then.
func (l *load) run(t *testing.T, p *pacer.Pacer, callers int, side string) {
	ctx, cancel := context.WithTimeout(t.Context(), l.until)
	defer cancel()
	l.ask(ctx, p, "core") // before the first answer nobody can know
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for l.ask(ctx, p, "core") {
			}
		})
	}
	if side != "" {
		wg.Go(func() {
			for l.ask(ctx, p, side) {
				time.Sleep(13 * time.Second)
			}
		})
	}
	wg.Wait()
}

// another client asks evenly for half of what the server offers.
func (l *load) another() {
	every := 2 * l.until / time.Duration(l.vendor.offered(l.until))
	for at := every / 3; at < l.until; at += every {
		time.Sleep(at - l.since())
		l.mu.Lock()
		if ok, _ := l.vendor.answer(l.since(), "core", l.cost); ok {
			l.others++
		}
		l.mu.Unlock()
	}
}

// A client whose pacer allows far more than six vendors do is not refused after its first
// answer, and loses at most 2 % of the quota.
//
// Where another client uses half of it, it is refused only what the other took since the last
// answer that it can know: of two that see one remaining, one is refused. That is rare, but
// where many wait for a bucket to be full: it is not, if another draws from it meanwhile, and
// only an answer could tell.
//
// Two more things no client can know. A quota that says when all of it is free, and not when a
// part is, is used up only by those who use it up faster than it comes back. And if some 100
// requests reach a bucket at one moment, of which the answers of the last are old news, some
// in 1,000 may be refused.
func TestALearningClientIsNotRefusedAndLosesNothing(t *testing.T) {
	calls := pacer.Limit{Calls: 100_000, Period: time.Second}
	resource := func(name string, limit int, period time.Duration) *fixed {
		return &fixed{name: name, limit: limit, period: period}
	}
	for _, test := range []struct {
		name    string
		vendor  func() vendor
		limits  []pacer.Limit
		until   time.Duration
		side    string // asked for now and then
		few     bool   // callers lose more
		refuses int    // one in so many, to those who come in hundreds
		drained bool   // by another until the reset, so that it is not whole then
	}{
		{name: "fixed window", vendor: func() vendor { return resource("", 100, time.Minute) }, until: 10 * time.Minute},
		{name: "sliding window", vendor: func() vendor { return &sliding{limit: 100, period: time.Minute} }, until: 10 * time.Minute, few: true, drained: true},
		{name: "GitHub", vendor: func() vendor {
			return resources{"core": resource("core", 5000, time.Hour), "search": resource("search", 30, time.Minute)}
		}, until: 2 * time.Hour, side: "search"},
		{name: "OpenAI", vendor: func() vendor {
			return &openAI{leaky{size: 100, every: 600 * time.Millisecond}, leaky{unit: tokens, size: 20_000, every: 3 * time.Millisecond}}
		}, limits: []pacer.Limit{{Cost: 1e9, Unit: tokens, Period: time.Second}}, until: time.Hour, refuses: 100, drained: true},
		{name: "Shopify", vendor: func() vendor { return &leaky{size: 40, every: 500 * time.Millisecond, mute: true} },
			limits: []pacer.Limit{{Calls: 2, Period: time.Second, Bucket: 4000}}, until: 30 * time.Minute},
		{name: "Discord", vendor: func() vendor {
			return resources{"core": resource("core", 50, 20*time.Second), "other": resource("other", 5, 5*time.Second)}
		}, until: 10 * time.Minute, side: "other"},
	} {
		for _, callers := range []int{1, 5, 30, 300} {
			for _, shared := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d callers, shared %t", test.name, callers, shared), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := &load{rand: rand.New(rand.NewPCG(1, 2)), vendor: test.vendor(), cost: 1, latency: 50 * time.Millisecond, began: time.Now(), until: test.until}
						if test.name == "OpenAI" {
							l.cost = 100
						}
						var wg sync.WaitGroup
						if shared {
							wg.Go(l.another)
						}
						l.run(t, pacerWith(t, pacer.Config{Limits: append(test.limits, calls), MaxPause: time.Hour}), callers, test.side)
						wg.Wait()
						all := l.vendor.offered(l.until)
						t.Logf("served %d and %d of %d, refused %d", l.served, l.others, all, l.refused)
						few, many := test.few && callers == 1, callers > 100
						if (l.served+l.others)*100 < all*98 && !few {
							t.Errorf("served %d and %d, want 98 %% of %d", l.served, l.others, all)
						}
						switch {
						case !shared && many && test.refuses > 0:
							if l.refused*test.refuses > all {
								t.Errorf("refused %d, want at most 1 in %d", l.refused, test.refuses)
							}
						case !shared && l.refused > 0, l.puzzling > 0 && !test.drained:
							t.Errorf("refused %d, of which nobody else took %d", l.refused, l.puzzling)
						case l.refused*50 > all && !test.drained:
							t.Errorf("refused %d because of another client, want at most 2 %%", l.refused)
						}
					})
				})
			}
		}
	}
}
