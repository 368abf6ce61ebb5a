package main

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

// A Config is what the file says, or the flags where there is none. README.md describes each field.
type Config struct {
	Listen   string // address of the proxy
	Admin    string // address of metrics, health and status
	Shutdown Shutdown
	Redis    *RedisServer // nil: no quota is shared

	Upstreams []*Upstream
}

// Shutdown is how the process ends.
type Shutdown struct {
	Delay   time.Duration // not ready any more, but serving: others are to notice
	Timeout time.Duration // from then on, for what is still under way
}

// A RedisServer is where shared quotas are kept.
type RedisServer struct {
	Address      string
	Username     string
	PasswordFile string
	DB           int
	TLS          bool
}

// An Upstream is an API, and what it allows.
type Upstream struct {
	Name   string
	Prefix string   // of the path; "/" takes everything, "" where Host is set
	Host   string   // that requests name; "" where Prefix is set
	URL    *url.URL // where they go

	Limits       []pacer.Limit
	TenantLimits []pacer.Limit // of each tenant
	Queue

	Timeout   time.Duration // from the request to the answer's headers; 0 = none
	Buffer    int64         // request bodies up to this are read before they wait
	Forwarded bool          // tell the upstream who asks, in X-Forwarded-*
	Costs     map[string]string
	Retries   Retries
	Fallback  *Fallback // nil: failures are answered as they are

	line int // of the file
}

// A Queue is that of an Upstream which cannot be changed while callers stand in it. Its fields
// bear the names that they have in the file.
type Queue struct {
	Flights    int           `name:"flights"`
	MaxWaiting int           `name:"max_waiting"`
	MaxWait    time.Duration `name:"max_wait"`
	MaxPause   time.Duration `name:"max_pause"`
	Margin     time.Duration `name:"margin"`
	Outage     *Outage       `name:"outage"`
	Tenants    *Tenants      `name:"tenants"`
	Shared     *Shared       `name:"redis"`
}

// Outage is [pacer.Outage], as the file says it.
type Outage struct {
	After  int
	Refuse bool
}

// Tenants are told apart by a header of their requests, and share the upstream by weight.
type Tenants struct {
	Header  string // in canonical form
	Strip   bool   // the upstream does not see it
	Max     int    // with a queue of their own at once
	Flights int    // of each
	Weights map[string]int
}

// Shared says that Limits hold over all processes that use the same key.
type Shared struct {
	Key      string
	Timeout  time.Duration
	Fallback []pacer.Limit // while Redis is away; none: requests are refused then
}

// Retries are those of one request.
type Retries struct {
	Attempts       int
	AttemptTimeout time.Duration
	MaxElapsed     time.Duration
	MaxRetryAfter  time.Duration
}

// A Fallback answers in place of an upstream that has failed for good.
type Fallback struct {
	Status int
	Header http.Header
	Body   []byte
}

const (
	defaultListen  = "127.0.0.1:8080"
	defaultAdmin   = "127.0.0.1:8081"
	defaultDelay   = time.Second
	defaultTimeout = 30 * time.Second // of the shutdown
	defaultBuffer  = 64 << 10
	maxBuffer      = 16 << 20
	maxWeight      = 1_000_000 // as package pacer has it
)

func defaultConfig() *Config {
	return &Config{
		Listen:   defaultListen,
		Admin:    defaultAdmin,
		Shutdown: Shutdown{Delay: defaultDelay, Timeout: defaultTimeout},
	}
}

// pacer returns the Config of the queue that all of the upstream's requests pass.
func (u *Upstream) pacer() pacer.Config {
	cfg := pacer.Config{
		Limits:      u.Limits,
		MaxInFlight: u.Flights,
		MaxWaiting:  u.MaxWaiting,
		MaxWait:     u.MaxWait,
		MaxPause:    u.MaxPause,
		Margin:      u.Margin,
	}
	if u.Outage != nil {
		cfg.Outage = &pacer.Outage{After: u.Outage.After, Refuse: u.Outage.Refuse}
	}
	return cfg
}

// tenant returns the Config of the queue of one tenant under parent. What upstreams say is about
// the program as a whole, so it is the parent's business.
func (u *Upstream) tenant(name string, limits []pacer.Limit, parent *pacer.Pacer) pacer.Config {
	return pacer.Config{
		Limits:      limits,
		MaxInFlight: u.Tenants.Flights,
		Parent:      parent,
		Weight:      u.Tenants.Weights[name],
		PassUp:      true,
		MaxWaiting:  u.MaxWaiting,
		MaxWait:     u.MaxWait,
		MaxPause:    u.MaxPause,
		Margin:      u.Margin,
		Coarse:      true,
	}
}

// shared returns the Config of the quota that the upstream's processes share.
func (u *Upstream) shared(fallback *pacer.Pacer) redispacer.Config {
	cfg := redispacer.Config{Limits: slices.Clone(u.Limits), Timeout: u.Shared.Timeout}
	for i := range cfg.Limits {
		cfg.Limits[i].Period += u.Margin
	}
	if fallback != nil {
		cfg.Fallback = fallback
	}
	return cfg
}
