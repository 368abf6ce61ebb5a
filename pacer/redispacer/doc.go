// Package redispacer lets calls of any number of processes start only as fast as one
// quota allows. They share it through Redis or Valkey:
//
//	p, err := redispacer.New(rdb, "github-api", redispacer.Config{
//		Limits:   []pacer.Limit{{Calls: 5000, Period: time.Hour}},
//		Fallback: pacer.Burst(500, time.Hour), // this process's share, should Redis be down
//	})
//
// A [Pacer] is a pacer.Pacer whose limits are kept in Redis. The queue, its order, MaxInFlight,
// reports, outages and Stats are those of package pacer, and so are Wait, Acquire and Slot; hand
// it to pacedhttp.Pace, or make its embedded Pacer the Parent of others, as in
// pacer.Config{Parent: p.Pacer}: tenants and priorities work over Redis as they do in one process,
// but that TryAcquire and Allow of such a pacer do not ask Redis, and find only a start that is
// reserved already. A pacer.Keyed may hold redispacers, a quota for each tenant: what it forgets
// Redis remembers. Where one process has the quota for itself, package pacer needs no server and
// costs less.
//
// # What a Pacer guarantees
//
// Strict windows: for every limit, no window of length Period, wherever it begins on the
// server's clock, contains more than Calls starts on the record, or more than Cost, over all
// processes together; a bucket of starts or costs never gives more than it holds. A limit that is
// Even also spaces starts evenly. One script decides on the server, from the last starts
// themselves: nothing is approximate.
//
// Life: whenever a start is possible under the limits of a process in which somebody waits, and
// that process reaches Redis, somebody starts within a round trip and some 10 ms; within one
// second where those whose turn it was died or gave up, or something was given back. A process
// that dies takes with it only starts due within its horizon: they count for one Period, and
// where starts lie bunched that may be a whole window.
//
// The horizon of a process is two round trips, at least 10 ms and at most 2 s. Only starts that
// are due within it are reserved, as many as there are callers for. A process whose callers have to
// wait longer has a place in line and is told when to ask again, at most a second later. No start
// comes before the time that it was reserved for; by how much it comes later is the time that the
// answer took, or the machine was late. Windows of starts, as the API sees them, differ from
// those on the record by as much as that varies: Config.Margin is for that. Where an API is strict
// and machines are busy, 50 ms are not too many, and an Even limit has less to lose.
//
// What was reserved goes back when nobody is left for it, and whoever asks next has it while it
// lies ahead. Cancel gives a start back as well, and Settle what a start did not cost, both while
// it is among the last 8,192 starts of its process, and of all processes together. What a start
// was settled to beyond its cost counts from then on and cannot be given back. Who waits in the
// same process asks with the same round trip. If Redis cannot be reached just then, it is told as
// soon as it can be, within ten seconds by probes made for that, and later with the next call.
//
// Fairness: processes that wait have one start each in turn, however many callers they have. At
// like round trips they share equally, within 20 %, and so does one that is far away, as long as
// it has callers enough for its round trip: of four processes of 20 callers one 200 ms away had a
// quarter of 100 even starts a second. Of a burst it had 0.13 to 0.23, since its callers are on
// their way when that is taken. In the first Period after a pause that a report began the process
// that probed has most of the starts, since it is a step ahead. The line has room for 1,024
// processes; more are served as they come. In each process callers start in order of arrival.
//
// A caller whose deadline comes before any start could is refused at once, or when Redis has
// answered. What other processes reserve meanwhile is not foreseen: such a caller is refused
// later, but never wrongly.
//
// # What servers say
//
// A pause that one process was told, by a report or by PauseUntil, holds all: the others hear of
// it with their next round trip, which comes before each of their starts by no more than the
// horizon. Resume ends it for all, within a second. After a pause that a report began, one start
// of all processes is the probe: the others wait until it was reported, canceled or silent for a
// second. Then each goes on as a pacer.Pacer does.
//
// What an answer says is left of a quota counts for all as well, less what all have started since
// the start that was answered, until its reset. Of several answers that of the newest start
// counts. Others are told within 100 ms, and at once where nothing is left. How an answer's own
// process takes it is more exact: see [pacer.Slot.Report]. Outages, and flights, are each
// process's own.
//
// # Deployments that change limits
//
// While processes differ in their Limits, each holds its own starts to its own, counting the
// starts of all. The stricter gets what the looser leaves, which may be nothing: where callers wait
// for many Periods while those of another process start, look whether their Limits differ. A limit
// that nobody had before counts what is still on the record; a unit that is new begins empty.
//
// # When Redis fails
//
// Whatever goes wrong (no connection, no answer within Config.Timeout, a wrong password, a
// read-only replica, no memory, a script killed) is met alike: callers who have a start
// reserved keep it, all others are paced by Config.Fallback, or get an error that matches
// [ErrUnavailable] and the cause. The first failure delays those who waited for that answer
// by the timeout at most. From then on Redis is left alone but for probes, after 100 ms at first,
// then at intervals twice as long each time, up to 500 ms. Without a Fallback a probe is one
// caller's own round trip. The first that succeeds brings everyone back to the shared quota.
//
// While Redis is away, the quota holds only as far as the Fallbacks hold to their shares:
// n processes with Calls/n each. Its starts are not counted later, so the windows during
// which Redis goes and comes back may hold up to one share more of each process: where the API
// refuses that, give them less, evenly (pacer.Drip). What a start by a Fallback cost is not settled
// here: its slot's Settle is false. pacedhttp.Retry ends a call that got ErrUnavailable, as it does
// where any pacer refuses, with a pacedhttp.PaceError. The pacer's own queue, pauses and flights
// go on. A call that the Fallback let start says so, and why: its slot by [pacer.Slot.Fallback],
// pacedhttp.Observe in SlotAcquired, pacedhttp.Log in the slot's record and in one warning a minute,
// package otelpacedhttp on its spans.
//
// The first answer over a connection takes several round trips and may take 3 s; [Pacer.Warm] is
// there to have that behind one. A call that the client repeats may reserve
// twice, and what Redis said of the first is heard late. That breaks no limit, and loses a
// start: set MaxRetries to -1 and DialerRetries to 1 in its options. What it logs by itself of a
// server that is gone, redis/v9/logging.Disable ends.
// ContextTimeoutEnabled lets it drop a call as soon as nobody waits for it any more. A pool of
// ten connections is enough for a Pacer.
//
// A failover is followed. While a cluster cannot be used and probes are made, its topology is
// read every 250 ms: by itself its client would keep a lost master for a minute. With the default
// options of the client, and of Config.Timeout, the shared quota is in use again at most 5 s after
// a replica's promotion in a cluster, and at most 3 s after one by Sentinel, or 5 s where the old
// master's host is gone and does not even refuse connections. What comes before the promotion is up
// to the cluster's or Sentinel's own timeouts; where the replica lagged, what is said below about
// lost state holds. A promotion that is planned and a resharding interrupt nobody for longer than
// two seconds.
//
// # When state is lost
//
// A restart without persistence, FLUSHALL and an eviction lose all starts, a failover to a
// replica that lags behind the last. A process that took part knows what it was granted, so
// with its next round trip the loss is noticed by the script, for all. Nobody then starts
// for one of the longest Periods, counted from the newest start that is known of or from
// then (5 s at most), and for one Period more starts are evenly spaced: no stampede, and for
// Periods up to 4 s windows hold. What other processes have reserved is void as soon as
// they hear of it. For
// longer Periods a window across the loss may hold up to twice Calls: persist the state
// (appendonly yes) if that is too many. A process that took no part in the last windows
// notices nothing and begins as on a new quota, until another asks. A lag is noticed only if
// one that lost starts by it is the first to ask; otherwise as many starts as were lost
// may happen again in the same window.
//
// State needs no cleaning up: it expires some seconds and two of the longest Periods after the last
// start, where a bucket's Period is the time that it takes to fill. It should not be evicted
// before: set maxmemory-policy to noeviction, or leave room.
//
// # Clocks
//
// Only the server's clock decides, and processes only measure how much time has passed, on
// their monotonic clocks. It does not matter what time they think it is. A server's clock
// that is set back, or a new server's that is behind, goes on from where it was; one that is
// set forward lets pass what it leaps over, once.
//
// # Cost
//
// The record is one string: some 300 bytes, some 50 for each limit that is no plain window and each
// quota that servers spoke of, and 8 for each start that the limits look back on (and 8 for each
// unit that costs are counted in). It grows as starts happen. While somebody waits there is a
// second string, the line, of 14 bytes for each process. Both have the same hash tag, so a cluster
// needs nothing more.
//
// Each round trip is one call of the script, which reserves as many starts as are due within the
// horizon. On one core of a two-core virtual machine (Intel Xeon, Redis 7.0) a call took Redis
//
//	62 µs   for a start by a window, and 385 bytes of its append-only file
//	71 µs   by three windows, or by a bucket
//	81 µs   by an Even limit
//	103 µs  with a limit of tokens, 484 bytes
//	134 µs  for 8 starts, 118 bytes each
//	674 µs  for 64 starts, 86 bytes each
//	53 µs   for a process that is told to wait: nothing is written
//	111 µs  with a hundred others in line
//
// so that a core carries some ten thousand round trips a second. To measure that on a
// machine of one's own:
//
//	go test ./pacer/redispacer -run xxx -bench Script
//
// To shard a quota that is too much for one core of Redis, give each of k keys Calls/k and the
// same Period, and let each process go round them:
//
//	err := shards[next.Add(1)%uint64(len(shards))].Wait(ctx)
//
// Strictness is kept: what is at most Calls/k in any window of each key is at most Calls in
// any window of all. What is lost is that a caller waits for its own key though another
// might have a start left, and that order of arrival holds for each key only. As long as
// callers wait on all keys, and going round sees to that, nothing of the rate is lost; a
// quota that is mostly idle, with bursts of few calls, should have few keys. A pause has to
// be told to each of them.
//
// Regions cannot agree on windows faster than light goes between them. There are three
// choices, and no fourth:
//
//   - One Redis for all regions: strict, at a round trip for each start from afar, which the
//     horizon hides from all but the first caller. A region cut off falls back.
//   - A Redis for each region, with a share of Calls: strict, and what one does not use is no
//     use to another. If shares are moved, whoever gives has to shrink one Period before
//     whoever takes grows. Done at once, a window across the move holds up to Calls and what
//     was moved.
//   - A Redis for each region, each with all of Calls: with r regions, up to r·Calls.
package redispacer
