package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

// check finds what is wrong between fields, each of which may be right.
func (d *document) check(cfg *Config) {
	names, places := make(map[string]bool), make(map[string]bool)
	for i, u := range cfg.Upstreams {
		field := fmt.Sprintf("upstreams[%d]", i)
		fault := func(format string, args ...any) { d.fault(u.line, field, format, args...) }
		switch place := u.Prefix + " " + u.Host; {
		case d.spoke(field + ".prefix"), d.spoke(field + ".host"):
		case (u.Prefix == "") == (u.Host == ""):
			fault("must have one of prefix and host, which tell whose requests are meant")
		case places[place]:
			fault("has the prefix or host of another upstream")
		default:
			places[place] = true
		}
		switch {
		case d.spoke(field + ".name"):
		case u.Name == "":
			fault("name is missing, must be one that metrics and answers may show")
		case names[u.Name]:
			fault("name is %q, must be one that no other upstream has", u.Name)
		}
		names[u.Name] = true
		if u.URL == nil && !d.spoke(field+".url") {
			fault("url is missing, must say where requests go")
		}
		d.checkQueue(cfg, u, field)
	}
}

// spoke reports whether a fault of the field is known.
func (d *document) spoke(field string) bool {
	return slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Field == field })
}

// checkQueue asks the packages that pace, which know best what they can do.
func (d *document) checkQueue(cfg *Config, u *Upstream, field string) {
	fault := func(format string, args ...any) { d.fault(u.line, field, format, args...) }
	if u.Shared != nil && cfg.Redis == nil {
		fault("has redis, so the file must have redis at its top")
	}
	if d.spoke(field+".limits") || d.spoke(field+".flights") || d.spoke(field+".tenants.limits") {
		return // what depends on them is not known
	}
	if len(u.Limits) == 0 && u.Flights == 0 {
		fault("must have limits or flights")
		return
	}
	parent, err := pacer.New(u.pacer())
	if err != nil {
		d.faultsOf(u.line, field, err)
		return
	}
	if u.Tenants != nil {
		if _, err := pacer.New(u.tenant("", u.TenantLimits, parent)); err != nil {
			d.faultsOf(u.line, field+".tenants", err)
		}
		for _, name := range slices.Sorted(maps.Keys(u.Tenants.Weights)) {
			if weight := u.Tenants.Weights[name]; weight > maxWeight {
				d.fault(u.line, field+".tenants.weights."+name, "is %d, must be at most %d", weight, maxWeight)
			}
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(u.Costs)) {
		counts := func(l pacer.Limit) bool { return l.Unit == unit }
		if !slices.ContainsFunc(u.Limits, counts) && !slices.ContainsFunc(u.TenantLimits, counts) {
			fault("costs names %q, must be a unit that a limit counts in", unit)
		}
	}
	if u.Shared != nil {
		d.checkShared(u, field)
	}
}

func (d *document) checkShared(u *Upstream, field string) {
	if u.Flights == 0 {
		d.fault(u.line, field, "flights is missing, must be set where redis is: it bounds who waits there")
	}
	var rdb *redis.Client // New does not call it
	if _, err := redispacer.New(rdb, "check", u.shared(nil)); err != nil {
		d.faultsOf(u.line, field+".redis", err)
	}
}
