package redispacer

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// wait lets n callers start one after the other.
func wait(t *testing.T, p *Pacer, n int) {
	t.Helper()
	for range n {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// newPacer gives Redis a minute unless cfg says otherwise: a busy machine is no failure.
func newPacer(t testing.TB, rdb redis.UniversalClient, cfg Config) *Pacer {
	t.Helper()
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	p, err := New(rdb, "quota", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStateIsBoundedByTheLimitsAndExpires(t *testing.T) {
	t.Parallel()
	rdb := startServer(t).client(t)
	p := newPacer(t, rdb, Config{Limits: burst(100, 10*ms)})
	wait(t, p, 2000)
	var keys *redis.StringSliceCmd
	var size *redis.IntCmd
	var ttl *redis.DurationCmd
	for keys == nil || ttl.Val() == -2 { // expired already: the test was held up
		wait(t, p, 1)
		if _, err := rdb.TxPipelined(t.Context(), func(tx redis.Pipeliner) error {
			keys, size, ttl = tx.Keys(t.Context(), "*"), tx.StrLen(t.Context(), "pacedhttp:v2:{quota}"), tx.PTTL(t.Context(), "pacedhttp:v2:{quota}")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range keys.Val() {
		if !strings.HasPrefix(key, "pacedhttp:v2:{quota}") {
			t.Errorf("a key %q, want it to have version and quota in its name", key)
		}
	}
	if most := int64(8 * (40 + 2*(100+32))); size.Val() > most {
		t.Errorf("%d bytes of state, want at most %d", size.Val(), most)
	}
	if ttl.Val() < 0 || ttl.Val() > 4100*ms {
		t.Errorf("expires in %v, want within four seconds of the windows' end", ttl.Val())
	}
}

func TestScriptIsSentAgainAfterScriptFlush(t *testing.T) {
	t.Parallel()
	rdb := startServer(t).client(t)
	p := newPacer(t, rdb, Config{Limits: burst(100, time.Second)})
	wait(t, p, 1)
	if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	wait(t, p, 1)
	if stats := p.Stats(); stats.Shared.Failures != 0 || stats.Granted != 2 {
		t.Errorf("stats %+v", stats)
	}
}

func TestFlushAllIsNoticed(t *testing.T) {
	t.Parallel()
	rdb := startServer(t).client(t)
	p := newPacer(t, rdb, Config{Limits: burst(5, time.Hour)})
	wait(t, p, 5)
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(inFourSeconds{t.Context()}); !errors.Is(err, ErrDeadline) {
		t.Errorf("got %v right after the loss of a full window, want ErrDeadline", err)
	}
}

// inFourSeconds is always to end in four seconds, and never does.
type inFourSeconds struct{ context.Context }

func (inFourSeconds) Deadline() (time.Time, bool) { return time.Now().Add(4 * time.Second), true }

func TestCluster(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--cluster-enabled", "yes")
	if err := s.client(t).ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for rdb := s.client(t); !strings.Contains(rdb.ClusterInfo(t.Context()).Val(), "cluster_state:ok"); {
		time.Sleep(10 * ms) // until the cluster has noticed
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.addr}})
	defer rdb.Close()
	wait(t, newPacer(t, rdb, Config{Limits: burst(5, time.Second)}), 3)
}

// TestUnusableRedisIsAnErrorUntilItIsUsable breaks a server in every way it can be broken,
// and mends it.
func TestUnusableRedisIsAnErrorUntilItIsUsable(t *testing.T) {
	const secret = "correct-horse"
	admin := func(cmd ...any) func(*testing.T, *server, *redis.Client) {
		return func(t *testing.T, _ *server, rdb *redis.Client) {
			t.Helper()
			if err := rdb.Do(t.Context(), cmd...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name       string
		password   string // of the pacer's client
		timeout    time.Duration
		fail, mend func(*testing.T, *server, *redis.Client)
		want       string
	}{
		{
			name: "down",
			fail: func(_ *testing.T, s *server, _ *redis.Client) { s.kill() },
			mend: func(t *testing.T, s *server, _ *redis.Client) { s.start(t) },
			want: "refused",
		},
		{
			name:    "slow",
			timeout: 200 * ms,
			fail:    func(t *testing.T, s *server, _ *redis.Client) { s.freeze(t) },
			mend:    func(t *testing.T, s *server, _ *redis.Client) { s.thaw(t) },
			want:    "no answer within",
		},
		{
			name: "read-only replica",
			fail: admin("REPLICAOF", "127.0.0.1", "1"),
			mend: admin("REPLICAOF", "NO", "ONE"),
			want: "READONLY",
		},
		{
			name:     "wrong password",
			password: secret + "?",
			fail:     admin("CONFIG", "SET", "requirepass", secret),
			mend:     admin("CONFIG", "SET", "requirepass", secret+"?"),
			want:     "WRONGPASS",
		},
		{
			name: "out of memory",
			fail: admin("CONFIG", "SET", "maxmemory", "1"),
			mend: admin("CONFIG", "SET", "maxmemory", "0"),
			want: "OOM",
		},
		{
			name: "another script is running",
			fail: func(t *testing.T, s *server, rdb *redis.Client) {
				admin("CONFIG", "SET", "lua-time-limit", "1")(t, s, rdb)
				var running sync.WaitGroup
				running.Go(func() { s.client(t).Eval(context.Background(), "while true do end", nil) })
				t.Cleanup(running.Wait)
				for err := error(nil); err == nil || !strings.Contains(err.Error(), "BUSY"); err = rdb.Ping(t.Context()).Err() {
					time.Sleep(ms) // until it runs
				}
			},
			mend: admin("SCRIPT", "KILL"),
			want: "BUSY",
		},
		{
			name: "foreign state",
			fail: admin("SET", "pacedhttp:v2:{quota}", "something else"),
			mend: admin("DEL", "pacedhttp:v2:{quota}"),
			want: "something else than the record",
		},
		{
			name: "foreign type",
			fail: func(t *testing.T, s *server, rdb *redis.Client) {
				admin("DEL", "pacedhttp:v2:{quota}")(t, s, rdb)
				admin("LPUSH", "pacedhttp:v2:{quota}", "something else")(t, s, rdb)
			},
			mend: admin("DEL", "pacedhttp:v2:{quota}"),
			want: "WRONGTYPE",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, "--maxclients", "100")
			rdb := s.client(t)
			wait(t, newPacer(t, rdb, Config{Limits: burst(1, time.Millisecond)}), 1)
			tt.fail(t, s, rdb)

			mine := client(t, &redis.Options{Addr: s.addr, Password: tt.password, MaxRetries: -1, DialerRetries: 1})
			p := newPacer(t, mine, Config{Limits: burst(1000, time.Second), Timeout: tt.timeout})
			err := p.Wait(t.Context())
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrUnavailable with %q", err, tt.want)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v passes for the caller's own deadline", err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%v tells the password", err)
			}

			covered := newPacer(t, mine, Config{Limits: burst(1000, time.Second), Timeout: tt.timeout, Fallback: pacer.Burst(2, time.Hour)})
			wait(t, covered, 2)
			if stats := covered.Stats(); stats.Shared.Fallback != 2 {
				t.Errorf("with a Fallback: %+v, want both calls paced by it", stats)
			}

			tt.mend(t, s, rdb)
			for err != nil && t.Context().Err() == nil {
				time.Sleep(10 * ms) // until a probe is due
				if err = p.Wait(t.Context()); err != nil && !errors.Is(err, ErrUnavailable) {
					t.Fatal(err)
				}
			}
			if stats := p.Stats(); stats.Shared.Err != nil || stats.Granted != 1 {
				t.Errorf("after Redis came back: %+v", stats)
			}
		})
	}
}

func TestKilledScriptIsAnErrorAndReservesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--lua-time-limit", "1")
	rdb := client(t, &redis.Options{Addr: s.addr, MaxRetries: -1})
	p := newPacer(t, rdb, Config{Limits: burst(1, time.Hour)})
	whole := p.remote.script.lua
	p.remote.script.lua = redis.NewScript("while true do end " + source)
	result := make(chan error, 1)
	go func() { result <- p.Wait(t.Context()) }()
	for rdb.ScriptKill(t.Context()).Err() != nil {
		time.Sleep(ms) // until it runs
	}
	if err := <-result; !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v, want ErrUnavailable for a script that was killed", err)
	}
	p.remote.script.lua = whole
	time.Sleep(firstProbe)
	wait(t, p, 1)
}
