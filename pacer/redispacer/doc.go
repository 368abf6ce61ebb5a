// Package redispacer lets calls of any number of processes start only as fast as one
// quota allows. They share it through a key in Redis or Valkey:
//
//	p, err := redispacer.New(rdb, "github-api", redispacer.Config{
//		Limits:   []pacer.Limit{{Calls: 5000, Period: time.Hour}},
//		Fallback: pacer.Burst(500, time.Hour), // this process's share, should Redis be down
//	})
//
// A [Pacer] is used like one of package pacer: call [Pacer.Wait] before every start, or
// hand it to pacedhttp.Pace. Where one process has the quota for itself, package pacer
// needs no server and costs less.
//
// # What a Pacer guarantees
//
// Strict windows: for every limit, no window of length Period, wherever it begins on the
// server's clock, contains more than Calls reservations, over all processes together. A
// limit that is Even also spaces them evenly. One script decides on the server, from the
// last starts themselves: nothing is approximate and nobody has to ask twice.
//
// One round trip reserves a start and says how long to wait for it. The wait itself needs
// none, save that a start reserved more than 100 ms ago is preceded by one which asks for a
// pause; the whole process shares it. No start comes before its reservation; by how much it
// comes later is the time that the answer took, or the machine was late. Windows of starts,
// as the API sees them, differ from those of reservations by as much as that varies.
//
// One queue in each process: callers are served in order of arrival there. Between
// processes it is who asks first. A caller whose deadline comes before its start is refused
// at once and reserves nothing. When one is canceled, those behind it in this process move
// up, and the last of their reservations goes back to Redis in the background. If another
// process has reserved behind it meanwhile, that one start is lost (Stats.Lost). Starts are
// reserved for the first 1,000 waiting callers of a process, so that all can go back.
//
// # When Redis fails
//
// Whatever goes wrong (no connection, no answer within Config.Timeout, a wrong password, a
// read-only replica, no memory, a script killed) is met alike: callers who have a start
// reserved keep it, all others go to Config.Fallback, or get an error that matches
// [ErrUnavailable] and the cause. The first failure delays those who waited for that answer
// by Config.Timeout at most. From then on nobody is delayed, but for one caller at a time,
// new or about to start, whose own round trip is a probe: after 100 ms at first, then at
// intervals twice as long each time, up to 5 s. The first that succeeds brings everyone back
// to the shared quota.
//
// While Redis is away, the quota holds only as far as the Fallbacks hold to their shares:
// n processes with Calls/n each. Its starts are not counted later, so the windows during
// which Redis goes and comes back may hold up to one share more of each process.
//
// A caller whom the Fallback holds up stays there though Redis is back: one of few starts in
// a long Period may hold some for long.
//
// The client's own retries do not delay callers, but a call that is repeated may reserve
// twice, and what Redis said of the first is heard late. That breaks no limit, and loses a
// start: set MaxRetries to -1 and DialerRetries to 1 in its options.
// ContextTimeoutEnabled lets it drop a call as soon as nobody waits for it any more. A pool of
// ten connections is enough for a Pacer.
//
// # When state is lost
//
// A restart without persistence, FLUSHALL and an eviction lose all starts, a failover to a
// replica that lags behind the last. A process that took part knows what it was granted, so
// with its next round trip the loss is noticed by the script, for all. Nobody then starts
// for one of the longest Periods, counted from the newest start that is known of or from
// then (5 s at most), and for one Period more starts are evenly spaced: no stampede, and for
// Periods up to 4 s windows hold. What other processes have reserved is void as soon as
// they hear of it: if they reach Redis, before any start more than 100 ms after the loss. For
// longer Periods a window across the loss may hold up to twice Calls: persist the state
// (appendonly yes) if that is too many. A process that took no part in the last windows
// notices nothing and begins as on a new quota, until another asks. A lag is noticed only if
// one that lost starts by it is the first to ask; otherwise as many starts as were lost
// may happen again in the same window.
//
// State needs no cleaning up: its key expires two of the longest Periods after the last
// start. It should not be evicted before: set maxmemory-policy to noeviction, or leave room.
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
// The state of a quota is one string, "pacedhttp:{key}": 448 bytes, and 22 for each start
// that the limits look back on (the largest Calls) and 1,024 more. That is 130 KB for 5,000
// calls an hour, 22 MB for 1,000,000, filled as starts happen. It is a single key with a
// hash tag, so a cluster needs nothing more. Time does not depend on the size: a start costs
// Redis one call of about 25 µs, whatever the limits are.
//
// [Config].Lease divides that by reserving for several waiting callers at once, and the more
// wait the better. Round trips for each start, measured at 1,000 starts a second:
//
//	waiting goroutines     1      8     64
//	Lease 1             1.00   1.00   1.00
//	Lease 8             1.00   0.25   0.13
//	Lease 64            1.00   0.25   0.04
//
// A process has at most eight calls on their way, which is what bounds it when Redis is far:
// 8·Lease starts in a round trip's time.
//
// # Planning past one Redis
//
// A script runs alone: one key, and one node of a cluster, has one core. BenchmarkScript
// counts what a call costs it, BenchmarkOneKey what one process gets from it. On two shared
// cores of a 2020s Xeon, with Redis 7 on the same machine, that is
//
//	Lease      Redis's core, a call    its limit       one process with 256 goroutines
//	    1                     22 µs     45,000 /s       30,000 /s
//	    8                     36 µs    220,000 /s      155,000 /s
//	   64                    146 µs    440,000 /s      344,000 /s
//	1,000                  2,060 µs    487,000 /s      (longer than others should be held up)
//
// and, calculated from it, for a quota whose callers always wait:
//
//	quota           what it takes
//	   10,000 /s    one key; at Lease 1 it is a core's 22 %, at Lease 8 5 %
//	  100,000 /s    one key; Lease 1 does not suffice, Lease 8 is 46 %, Lease 64 23 %
//	1,000,000 /s    Lease 64 and 2.3 cores: four keys on four nodes, 57 % each
//
// To shard a quota, give each of k keys Calls/k and the same Period, and let each process
// go round them:
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
//   - One Redis for all regions: strict, at a round trip for each start from afar, which a
//     Lease hides from all but the first caller. A region cut off falls back.
//   - A Redis for each region, with a share of Calls: strict, and what one does not use is no
//     use to another. If shares are moved, whoever gives has to shrink one Period before
//     whoever takes grows. Done at once, a window across the move holds up to Calls and what
//     was moved.
//   - A Redis for each region, each with all of Calls: with r regions, up to r·Calls.
package redispacer
