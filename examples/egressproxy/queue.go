package main

import (
	"context"
	"net/http"
	"reflect"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/debug"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

// A queue is where the requests to one upstream wait. It outlives every change of the
// configuration, with all that it knows of what has started.
type queue struct {
	name  string
	fixed Queue

	all     *pacer.Pacer
	tenants *pacer.Keyed      // under all; nil where there are none
	shared  *redispacer.Pacer // asked after all; nil where the quota is this process's own
	local   *pacer.Pacer      // paces while Redis is away; may be nil
	set     limits            // that hold now
	tenant  atomic.Pointer[[]pacer.Limit]
}

type limits struct{ all, tenant []pacer.Limit }

func (u *Upstream) limits() limits { return limits{u.Limits, u.TenantLimits} }

// newQueue makes the queue of an upstream that has been checked. rdb is nil where nothing is shared.
func newQueue(u *Upstream, rdb redis.UniversalClient) (*queue, error) {
	q := &queue{name: u.Name, fixed: u.Queue, set: u.limits()}
	q.tenant.Store(&u.TenantLimits)
	var err error
	if q.all, err = pacer.New(u.pacer()); err != nil {
		return nil, err
	}
	if u.Tenants != nil {
		q.tenants, err = pacer.NewKeyed(pacer.KeyedConfig{
			MaxKeys: u.Tenants.Max,
			New: func(name string) *pacer.Pacer {
				return pacer.Must(u.tenant(name, *q.tenant.Load(), q.all))
			},
		})
		if err != nil {
			return nil, err
		}
	}
	if u.Shared == nil {
		return q, nil
	}
	if u.Shared.Fallback != nil {
		q.local, err = pacer.New(pacer.Config{Limits: u.Shared.Fallback, Margin: u.Margin, MaxPause: u.MaxPause})
		if err != nil {
			return nil, err
		}
	}
	q.shared, err = redispacer.New(rdb, u.Shared.Key, u.shared(q.local))
	return q, err
}

// keep makes u have what the queue was made with, and returns what it says otherwise.
func (q *queue) keep(u *Upstream) (otherwise []string) {
	was, is := reflect.ValueOf(q.fixed), reflect.ValueOf(u.Queue)
	for i := range was.NumField() {
		if !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			otherwise = append(otherwise, was.Type().Field(i).Tag.Get("name"))
		}
	}
	if q.fixed.Tenants == nil || u.Tenants == nil {
		u.TenantLimits = q.set.tenant
	}
	u.Queue = q.fixed
	if q.shared != nil && !reflect.DeepEqual(u.Limits, q.set.all) {
		otherwise = append(otherwise, "limits")
		u.Limits = q.set.all
	}
	return otherwise
}

// setLimits makes l hold for those who wait and those who will come, or returns why it cannot;
// then all is as it was.
func (q *queue) setLimits(l limits) error {
	was := q.set
	if err := q.all.SetLimits(l.all...); err != nil {
		return err
	}
	if err := q.setTenants(l.tenant); err != nil {
		_ = q.setTenants(was.tenant) // they held before
		_ = q.all.SetLimits(was.all...)
		return err
	}
	q.set = l
	return nil
}

func (q *queue) setTenants(limits []pacer.Limit) error {
	if q.tenants == nil {
		return nil
	}
	q.tenant.Store(&limits) // first what New reads
	for _, p := range q.tenants.All() {
		if err := p.SetLimits(limits...); err != nil {
			return err
		}
	}
	return nil
}

// layers are where a request waits.
func (q *queue) layers() []pacedhttp.Middleware {
	layers := []pacedhttp.Middleware{pacedhttp.Pace(q.all)}
	if q.tenants != nil {
		layers[0] = pacedhttp.PaceBy(func(r *http.Request) pacedhttp.Waiter { return q.tenants.Get(tenantOf(r.Context())) })
	}
	if q.shared != nil {
		layers = append(layers, pacedhttp.Pace(q.shared))
	}
	return layers
}

// sources show the queue on the status page. Tenants may be tokens: they are shown as numbers.
func (q *queue) sources() []debug.Source {
	sources := []debug.Source{debug.Pacer(q.name, q.all.Stats)}
	if q.local != nil {
		sources = append(sources, debug.Pacer(q.name+" without Redis", q.local.Stats))
	}
	if q.tenants != nil {
		sources = append(sources, debug.Keyed(q.name+" tenants", q.tenants, nil))
	}
	return sources
}

// stats are those of the queue in which a request of ctx waits.
func (q *queue) stats(ctx context.Context) pacer.Stats {
	if q.tenants != nil {
		if p, ok := q.tenants.Peek(tenantOf(ctx)); ok {
			return p.Stats()
		}
	}
	return q.all.Stats()
}

type tenantKey struct{}

func withTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}
