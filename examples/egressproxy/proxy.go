package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/debug"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

// A Proxy hands requests to the upstreams of its configuration, and to nothing else.
type Proxy struct {
	log       *slog.Logger
	telemetry *otelpacedhttp.Instrumentation
	base      http.RoundTripper
	rdb       redis.UniversalClient // nil where no quota is shared
	buffers   buffers

	leaving atomic.Bool
	table   atomic.Pointer[table]

	cfg    *Config           // the last that was applied
	queues map[string]*queue // by the name of their upstream, also of those that were taken out
}

// A table is one state of the configuration. Who has begun by an earlier one ends by that.
type table struct {
	upstreams []*upstream // those of a host first, then the longest prefix
	status    http.Handler
}

// apply makes cfg hold for all requests to come, and for those that wait. It returns what it says
// otherwise than before that cannot be changed without a restart, and so has not been; on an error
// all is as it was. One call at a time.
func (p *Proxy) apply(cfg *Config) (restarts []string, err error) {
	if p.cfg != nil {
		restarts = p.keep(cfg)
	}
	next := new(table)
	var sources []debug.Source
	fresh := make(map[string]*queue)
	for _, u := range cfg.Upstreams {
		q := p.queues[u.Name]
		if q == nil {
			if u.Shared != nil && p.rdb == nil {
				return nil, fmt.Errorf("upstream %s: redis takes a restart to be added", u.Name)
			}
			if q, err = newQueue(u, p.rdb); err != nil {
				return nil, err
			}
			fresh[u.Name] = q
		}
		up, err := p.newUpstream(u, q)
		if err != nil {
			return nil, err
		}
		next.upstreams = append(next.upstreams, up)
		sources = append(sources, q.sources()...)
	}
	if err := p.setLimits(next.upstreams); err != nil {
		return nil, err
	}
	slices.SortStableFunc(next.upstreams, func(a, b *upstream) int { return b.rank() - a.rank() })
	next.status = debug.Handler(sources...)
	for name, q := range fresh {
		p.queues[name] = q
		p.telemetry.ObservePacer(name, q.all.Stats)
	}
	p.cfg = cfg
	p.table.Store(next)
	return restarts, nil
}

// keep makes cfg have what cannot be changed while the process runs.
func (p *Proxy) keep(cfg *Config) (restarts []string) {
	for field, changed := range map[string]bool{
		"listen": cfg.Listen != p.cfg.Listen,
		"admin":  cfg.Admin != p.cfg.Admin,
		"redis":  !reflect.DeepEqual(cfg.Redis, p.cfg.Redis),
	} {
		if changed {
			restarts = append(restarts, field)
		}
	}
	slices.Sort(restarts)
	cfg.Listen, cfg.Admin, cfg.Redis = p.cfg.Listen, p.cfg.Admin, p.cfg.Redis
	for _, u := range cfg.Upstreams {
		if q := p.queues[u.Name]; q != nil {
			for _, field := range q.keep(u) {
				restarts = append(restarts, "upstream "+u.Name+": "+field)
			}
		}
	}
	return restarts
}

// setLimits changes the limits of all upstreams or, with an error, of none.
func (p *Proxy) setLimits(upstreams []*upstream) error {
	var was []limits
	for i, u := range upstreams {
		was = append(was, u.queue.set)
		if err := u.queue.setLimits(u.limits()); err != nil {
			for j, u := range upstreams[:i] {
				_ = u.queue.setLimits(was[j]) // they held before
			}
			return fmt.Errorf("upstream %s: %s", u.Name, withoutPackage(err.Error()))
		}
	}
	return nil
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u, kind, detail := p.table.Load().find(r)
	if u == nil {
		if kind == "no-tunnel" {
			w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		}
		if p.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		newProblem(kind, detail).write(w)
		return
	}
	u.ServeHTTP(w, r)
}

// find returns the upstream that r is for, or the problem that there is none.
func (t *table) find(r *http.Request) (u *upstream, kind, detail string) {
	if r.Method == http.MethodConnect {
		return nil, "no-tunnel", ""
	}
	path := r.URL.EscapedPath()
	if climbs(path) {
		return nil, "bad-request", `the path has a segment "." or ".."`
	}
	host := strings.ToLower(r.Host)
	for _, u := range t.upstreams {
		if u.names(host) || u.leads(path) && r.URL.Host == "" {
			return u, "", ""
		}
	}
	return nil, "no-upstream", ""
}

// rank says which of two upstreams is asked first.
func (u *Upstream) rank() int {
	if u.Host != "" {
		return math.MaxInt
	}
	return len(u.Prefix)
}

// names reports whether a request for host is for u.
func (u *Upstream) names(host string) bool {
	if u.Host == "" {
		return false
	}
	bare := (&url.URL{Host: host}).Hostname()
	return host == u.Host || bare == u.Host
}

// leads reports whether u's prefix is the path's, by whole segments.
func (u *Upstream) leads(path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(u.Prefix, "/"))
	return u.Prefix != "" && ok && (rest == "" || rest[0] == '/')
}

var errShutdown = errors.New("the proxy is shutting down")
