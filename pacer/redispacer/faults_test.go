package redispacer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

var faultSeeds = flag.Int("faultseeds", 0, "how many minutes of faults to go through; 0 = the beginning of one")

// TestWhateverProcessesDoAQuotaThatSomebodyWaitsForIsUsed lets processes come, die, stand still,
// lose their network, give up and ask by a wrong limit, all at once for a minute, beside one in
// which somebody always waits and which reaches Redis. At no moment is a start possible by its
// limits and nobody starts for more than a second, a round trip and the horizon of what was given
// back or died with its process.
func TestWhateverProcessesDoAQuotaThatSomebodyWaitsForIsUsed(t *testing.T) {
	span := time.Minute
	if *faultSeeds == 0 {
		span = 10 * time.Second
	}
	for seed := range max(1, uint64(*faultSeeds)) {
		limit := pacer.Limit{Calls: 10, Period: 500 * ms, Even: seed%2 == 1}
		t.Run(fmt.Sprintf("seed %d even %v", seed, limit.Even), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newHavoc(t, seed, limit).last(span) })
		})
	}
}

// A havoc is processes with faults, by seed.
type havoc struct {
	t *testing.T
	ledger
	redis  *fakeRedis
	mu     sync.Mutex // of random
	random *rand.Rand
	all    []*harmed
	wg     sync.WaitGroup
}

func newHavoc(t *testing.T, seed uint64, limit pacer.Limit) *havoc {
	h := &havoc{t: t, ledger: newLedger(limit, seed%3 == 2), redis: newFakeRedis(t), random: rand.New(rand.NewPCG(seed, 1))}
	h.redis.ran = func() { h.look(h.redis.entries()) }
	return h
}

// upTo returns a random duration below d.
func (h *havoc) upTo(d time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Duration(h.random.Int64N(int64(d)))
}

func (h *havoc) oneIn(n int) bool { return h.upTo(time.Duration(n)) == 0 }

const farthest = 100 * ms // each way

// last lets it all happen for so long and checks what came of it.
func (h *havoc) last(span time.Duration) {
	ctx, cancel := context.WithCancel(h.t.Context())
	began := time.Now()
	h.join(ctx, sharer{callers: 2}, h.limit, 0)
	for time.Since(began) < span {
		time.Sleep(h.upTo(time.Second))
		switch victim := h.anybody(); h.upTo(8) {
		case 0, 1, 2:
			h.joinAny(ctx)
		case 3:
			victim.die()
		case 4:
			victim.standStill(h.upTo(3 * time.Second))
		case 5:
			victim.cutOff(h.upTo(3 * time.Second))
		case 6:
			victim.leave()
		case 7:
			if h.loses && h.oneIn(3) {
				h.redis.flush()
				h.lost()
			}
		}
	}
	end := time.Now()
	cancel()
	h.wg.Wait()
	time.Sleep(time.Minute) // until the last round trips have ended
	h.redis.mu.Lock()
	defer h.redis.mu.Unlock()
	h.check(h.t, began, end, bound)
	h.t.Logf("by %d processes", len(h.all))
}

func (h *havoc) joinAny(ctx context.Context) {
	limit, stays := h.limit, time.Duration(0)
	if h.oneIn(4) {
		limit = pacer.Limit{Calls: 1 + int(h.upTo(5)), Period: []time.Duration{time.Second, 24 * time.Hour}[h.upTo(2)], Even: h.oneIn(2)}
	}
	if h.oneIn(3) {
		stays = 10*ms + h.upTo(500*ms)
	}
	h.join(ctx, sharer{callers: 1 + int(h.upTo(30)), away: h.upTo(farthest)}, limit, stays)
}

// join starts a process whose callers each give up after up to so long, and wait anew; 0 = never.
func (h *havoc) join(ctx context.Context, s sharer, limit pacer.Limit, stays time.Duration) {
	life, end := context.WithCancel(ctx)
	p := &harmed{UniversalClient: distant{h.redis, s.away}, end: end}
	h.all = append(h.all, p)
	shared, err := New(p, "quota", Config{Limits: []pacer.Limit{limit}})
	if err != nil {
		h.t.Fatal(err)
	}
	for range s.callers {
		h.wg.Go(func() {
			for life.Err() == nil {
				p.waitToGoOn()
				ctx, cancel := life, context.CancelFunc(func() {})
				if stays > 0 {
					ctx, cancel = context.WithTimeout(life, h.upTo(stays))
				}
				if err := shared.Wait(ctx); err != nil {
					time.Sleep(10 * ms) // a caller that tries again
				}
				cancel()
			}
		})
	}
}

// anybody is a process that may be harmed.
func (h *havoc) anybody() *harmed {
	if len(h.all) == 1 {
		return &harmed{end: func() {}}
	}
	return h.all[1+h.upTo(time.Duration(len(h.all)-1))]
}

// bound is the second, the farthest round trip, and the horizon of two of them.
const bound = time.Second + 3*2*farthest

// A harmed is the client of a process that comes to harm.
type harmed struct {
	redis.UniversalClient
	end context.CancelFunc

	mu    sync.Mutex
	dead  bool
	still time.Time // until then it does nothing
	cut   time.Time // until then it does not reach Redis
}

func (p *harmed) die() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.end()
}

// leave has all callers give up for good.
func (p *harmed) leave() { p.end() }

func (p *harmed) standStill(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = time.Now().Add(d)
}

func (p *harmed) cutOff(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = time.Now().Add(d)
}

func (p *harmed) waitToGoOn() {
	p.mu.Lock()
	still := p.still
	p.mu.Unlock()
	time.Sleep(time.Until(still))
}

// unreachable reports whether Redis cannot be reached.
func (p *harmed) unreachable() bool {
	p.waitToGoOn()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead || time.Now().Before(p.cut)
}

func (p *harmed) call(ctx context.Context, call func() *redis.Cmd) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(errors.New("i/o timeout"))
	if p.unreachable() {
		time.Sleep(time.Second)
		return cmd
	}
	got := call()
	if p.unreachable() { // by now
		return cmd
	}
	return got
}

func (p *harmed) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return p.call(ctx, func() *redis.Cmd { return p.UniversalClient.EvalSha(ctx, sha, keys, args...) })
}

func (p *harmed) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return p.call(ctx, func() *redis.Cmd { return p.UniversalClient.Eval(ctx, script, keys, args...) })
}
