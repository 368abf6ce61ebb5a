package redispacer

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// What a failover may take from the promotion on, on the defaults of the client.
const (
	clusterFollowed      = 5 * time.Second
	sentinelFollowed     = 3 * time.Second
	sentinelGoneFollowed = 5 * time.Second
)

func TestAFailoverOfAClusterIsFollowed(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	fs := followers(t, burst(20, 500*ms), func() redis.UniversalClient { return c.client(t, &redis.ClusterOptions{}) })
	c.hurry(t)
	followed(t, fs, clusterFollowed, c.replica, c.master.kill)
}

func TestAFailoverOfAClusterFromAHostThatIsGoneIsFollowed(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	n := &network{over: t.Context()}
	fs := followers(t, burst(20, 500*ms), func() redis.UniversalClient { return c.client(t, &redis.ClusterOptions{Dialer: n.dial}) })
	c.hurry(t)
	followed(t, fs, clusterFollowed, c.replica, func() { n.lose(t, c.master) })
}

func TestAFailoverBySentinelIsFollowed(t *testing.T) {
	t.Parallel()
	s := startSentinels(t)
	fs := followers(t, burst(20, 500*ms), func() redis.UniversalClient { return s.client(t, &redis.FailoverOptions{}) })
	followed(t, fs, sentinelFollowed, s.replica, s.master.kill)
}

func TestAFailoverBySentinelFromAHostThatIsGoneIsFollowed(t *testing.T) {
	t.Parallel()
	s := startSentinels(t)
	n := &network{over: t.Context()}
	fs := followers(t, burst(20, 500*ms), func() redis.UniversalClient { return s.client(t, &redis.FailoverOptions{Dialer: n.dial}) })
	followed(t, fs, sentinelGoneFollowed, s.replica, func() { n.lose(t, s.master) })
}

// A network loses hosts. One that is gone refuses nothing: what is sent there gets no answer, nor does
// a connection that is begun. The client waits for 5 s each time, also when it asks such a
// node for the topology.
type network struct {
	over context.Context // the test
	gone sync.Map
}

func (n *network) lose(t *testing.T, s *server) {
	n.gone.Store(s.addr, true)
	s.freeze(t)
}

func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, gone := n.gone.Load(addr); gone {
		select {
		case <-ctx.Done():
		case <-n.over.Done():
		}
		return nil, context.DeadlineExceeded
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// A replica takes over from a master that lives, and then another master is given the slot.
func TestAPlannedFailoverAndAReshardingInterruptNobody(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	f := follow(t, "", drip(20, 500*ms), c.client(t, &redis.ClusterOptions{}), nil)
	heir := c.replica.client(t)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"failover", func() {
			run(t, heir, "CLUSTER", "FAILOVER")
			until(t, func() bool { return isMaster(t, heir) })
		}},
		{"resharding", func() { c.reshard(t) }},
	} {
		began := time.Now()
		step.do()
		f.await(t, f.limit.Calls)
		gap := f.longest(began)
		t.Logf("%s: %v without a start", step.name, gap.Round(ms))
		if gap > 2*time.Second {
			t.Errorf("%s: %v without a start, want at most 2s", step.name, gap)
		}
	}
	f.check(t)
}

// A follower is a process of four callers who wait without a break, whatever becomes of its Redis.
type follower struct {
	name  string
	p     *Pacer
	limit pacer.Limit
	saw   *witness
	stop  func()

	mu     sync.Mutex
	starts []time.Time
}

// followers are a process without a Fallback and one with it, each with a client of its own.
func followers(t *testing.T, limits []pacer.Limit, client func() redis.UniversalClient) []*follower {
	t.Helper()
	return []*follower{
		follow(t, "without a Fallback", limits, client(), nil),
		follow(t, "with a Fallback", limits, client(), pacer.Drip(10, time.Second)),
	}
}

// follow returns when the process has had starts. Each has a quota of its own: what is lost in a
// failover is noticed only by who took part.
func follow(t *testing.T, name string, limits []pacer.Limit, rdb redis.UniversalClient, fallback pacedhttp.Waiter) *follower {
	t.Helper()
	f := &follower{name: name, limit: limits[0], saw: &witness{reserved: make(map[reservation]int64)}}
	rdb.AddHook(f.saw)
	var err error
	if f.p, err = New(rdb, "quota", Config{Limits: limits, Fallback: fallback, Prefix: name}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				switch err := f.p.Wait(ctx); {
				case err == nil:
					f.mu.Lock()
					f.starts = append(f.starts, time.Now())
					f.mu.Unlock()
				case errors.Is(err, ErrUnavailable):
					time.Sleep(5 * ms) // a caller that tries again, and does nothing else
				}
			}
		})
	}
	f.stop = func() { cancel(); callers.Wait() }
	t.Cleanup(f.stop)
	f.await(t, 2*f.limit.Calls)
	return f
}

// shared is how many starts there were of the shared quota.
func (f *follower) shared() uint64 {
	s := f.p.Stats()
	return s.Granted - s.Shared.Fallback
}

// await waits for n more of them.
func (f *follower) await(t *testing.T, n int) {
	t.Helper()
	enough := f.shared() + uint64(n)
	until(t, func() bool { return f.shared() >= enough })
}

// longest is the longest time without a start since then.
func (f *follower) longest(since time.Time) (gap time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.starts {
		if at.After(since) {
			gap = max(gap, at.Sub(since))
			since = at
		}
	}
	return gap
}

// check ends the process, and checks that no window held too much when the last answers are there.
func (f *follower) check(t *testing.T) {
	t.Helper()
	f.stop()
	until(t, func() bool {
		f.p.remote.queue.Lock()
		defer f.p.remote.queue.Unlock()
		return f.p.remote.trips.running == 0 && !f.p.remote.trips.looking
	})
	checkWindows(t, f.saw.times(), f.limit)
}

// followed loses the master, and checks how long after its replica's promotion each process's
// next start of the shared quota is.
func followed(t *testing.T, fs []*follower, within time.Duration, replica *server, lose func()) {
	t.Helper()
	rdb := replica.client(t)
	noticed := make([]func() bool, len(fs))
	for i, f := range fs {
		before := f.p.Stats().Shared.Failures
		noticed[i] = func() bool { s := f.p.Stats().Shared; return s.Failures > before && s.Reserved == 0 }
	}
	began := time.Now()
	lose()
	before := make([]uint64, len(fs))
	for i, f := range fs {
		until(t, noticed[i])
		before[i] = f.shared()
	}
	var promoted time.Time
	next := make([]time.Time, len(fs))
	until(t, func() bool {
		done := true
		if now := time.Now(); promoted.IsZero() && isMaster(t, rdb) {
			promoted = now
		}
		for i, f := range fs {
			if next[i].IsZero() && f.shared() > before[i] {
				next[i] = time.Now()
			}
			done = done && !next[i].IsZero()
		}
		return done && !promoted.IsZero()
	})
	for i, f := range fs {
		took := next[i].Sub(promoted)
		t.Logf("%s: promoted after %v, next shared start %v later", f.name, promoted.Sub(began).Round(ms), took.Round(ms))
		if took > within {
			t.Errorf("%s: the next shared start came %v after the promotion, want at most %v", f.name, took, within)
		}
		f.await(t, 2*f.limit.Calls)
		f.check(t)
	}
}

// A cluster is of three masters, and a replica of the one that has the quota's slot.
type cluster struct {
	nodes           []*server
	master, replica *server
	other           *server // a master that does not have it
	slot            int
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	var admin []*redis.Client
	for range 4 {
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
		c.nodes, admin = append(c.nodes, s), append(admin, s.client(t))
	}
	c.slot = int(admin[0].ClusterKeySlot(t.Context(), "{quota}").Val())
	c.replica = c.nodes[3]
	for i, s := range c.nodes[:3] {
		from, to := i*16384/3, (i+1)*16384/3-1
		run(t, admin[i], "CLUSTER", "ADDSLOTSRANGE", from, to)
		if from <= c.slot && c.slot <= to {
			c.master, c.other = s, c.nodes[(i+1)%3]
		}
	}
	for _, s := range c.nodes[1:] {
		run(t, admin[0], "CLUSTER", "MEET", "127.0.0.1", portOf(s.addr), s.bus)
	}
	master := nodeID(t, c.master)
	until(t, func() bool { return admin[3].ClusterReplicate(t.Context(), master).Err() == nil }) // once it has heard of it
	for _, rdb := range admin {
		until(t, func() bool {
			nodes := rdb.ClusterNodes(t.Context()).Val()
			return strings.Count(nodes, " connected") == len(admin) && strings.Contains(nodes, "slave "+master) &&
				strings.Contains(rdb.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
		})
	}
	awaitSync(t, admin[3])
	return c
}

// hurry has the members take one for lost after a second, instead of the usual 15.
func (c *cluster) hurry(t *testing.T) {
	t.Helper()
	for _, s := range c.nodes {
		run(t, s.client(t), "CONFIG", "SET", "cluster-node-timeout", 1000)
	}
}

// client returns a client that knows all nodes.
func (c *cluster) client(t *testing.T, opt *redis.ClusterOptions) redis.UniversalClient {
	for _, s := range c.nodes {
		opt.Addrs = append(opt.Addrs, s.addr)
	}
	rdb := redis.NewClusterClient(opt)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// reshard moves the quota's slot from the promoted replica to another master.
func (c *cluster) reshard(t *testing.T) {
	t.Helper()
	from, to := c.replica.client(t), c.other.client(t)
	run(t, to, "CLUSTER", "SETSLOT", c.slot, "IMPORTING", nodeID(t, c.replica))
	run(t, from, "CLUSTER", "SETSLOT", c.slot, "MIGRATING", nodeID(t, c.other))
	for {
		keys := from.ClusterGetKeysInSlot(t.Context(), c.slot, 100).Val()
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", "127.0.0.1", portOf(c.other.addr), "", 0, 60_000, "KEYS"}
		for _, key := range keys {
			args = append(args, key)
		}
		run(t, from, args...)
	}
	run(t, to, "CLUSTER", "SETSLOT", c.slot, "NODE", nodeID(t, c.other))
	run(t, from, "CLUSTER", "SETSLOT", c.slot, "NODE", nodeID(t, c.other))
}

func nodeID(t *testing.T, s *server) string { return s.client(t).ClusterMyID(t.Context()).Val() }

// sentinels are three that watch a master with a replica.
type sentinels struct {
	addrs           []string
	master, replica *server
}

func startSentinels(t *testing.T) *sentinels {
	t.Helper()
	s := &sentinels{master: startServer(t, "--repl-diskless-sync-delay", "0"), replica: startServer(t, "--repl-diskless-sync-delay", "0")}
	run(t, s.replica.client(t), "REPLICAOF", "127.0.0.1", portOf(s.master.addr))
	awaitSync(t, s.replica.client(t))
	var admin []*redis.Client
	for range 3 {
		sentinel := startSentinel(t, "sentinel monitor m 127.0.0.1 "+portOf(s.master.addr)+" 2\n"+
			"sentinel down-after-milliseconds m 500\nsentinel failover-timeout m 3000\n")
		s.addrs, admin = append(s.addrs, sentinel.addr), append(admin, sentinel.client(t))
	}
	for _, rdb := range admin {
		until(t, func() bool {
			m, _ := rdb.Do(t.Context(), "SENTINEL", "MASTER", "m").Result()
			known, _ := m.(map[any]any)
			return known["num-slaves"] == "1" && known["num-other-sentinels"] == "2" && known["flags"] == "master"
		})
	}
	return s
}

func (s *sentinels) client(t *testing.T, opt *redis.FailoverOptions) redis.UniversalClient {
	opt.MasterName, opt.SentinelAddrs = "m", s.addrs
	rdb := redis.NewFailoverClient(opt)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func awaitSync(t *testing.T, replica *redis.Client) {
	t.Helper()
	until(t, func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
}

func isMaster(t *testing.T, rdb *redis.Client) bool {
	return strings.Contains(rdb.Info(t.Context(), "replication").Val(), "role:master")
}

func run(t *testing.T, rdb *redis.Client, args ...any) {
	t.Helper()
	if err := rdb.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// until polls until it is done, which a busy machine has two minutes for.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(2 * ms) {
		if time.Since(began) > 2*time.Minute {
			t.Fatal("no end")
		}
	}
}
