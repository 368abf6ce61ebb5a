package main

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// readConfig reads the file of that name. What is wrong with it is a [*Faults] that has all of it.
func readConfig(name string) (*Config, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseConfig(name, text)
}

func parseConfig(name string, text []byte) (*Config, error) {
	d := new(document)
	root, err := d.parse(text)
	switch {
	case err == io.EOF:
		return nil, &Faults{name, []Fault{{Text: "is empty, must have upstreams"}}}
	case err != nil:
		return nil, &Faults{name, []Fault{syntaxFault(err)}}
	}
	cfg := root.config(filepath.Dir(name))
	if len(d.faults) > 0 {
		return nil, &Faults{name, d.inOrder()}
	}
	return cfg, nil
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntaxFault takes the line out of the YAML library's text.
func syntaxFault(err error) Fault {
	text := err.Error()
	found := syntaxLine.FindStringSubmatch(text)
	if found == nil {
		return Fault{Text: text}
	}
	line, _ := strconv.Atoi(found[1])
	return Fault{Line: line, Text: strings.TrimPrefix(text, found[0])}
}

// config reads the whole; paths in it are relative to dir.
func (v value) config(dir string) *Config {
	cfg := defaultConfig()
	upstreams := false
	v.mapping(map[string]func(value){
		"listen":   func(v value) { cfg.Listen = v.address() },
		"admin":    func(v value) { cfg.Admin = v.address() },
		"shutdown": func(v value) { v.shutdown(&cfg.Shutdown) },
		"redis":    func(v value) { cfg.Redis = v.redis(dir) },
		"upstreams": func(v value) {
			upstreams = true
			v.sequence(func(_ int, v value) { cfg.Upstreams = append(cfg.Upstreams, v.upstream(dir)) })
		},
	})
	if v.node.Kind == yaml.MappingNode && !upstreams || len(cfg.Upstreams) == 0 && len(v.d.faults) == 0 {
		v.fault("upstreams is missing, must have at least one")
	}
	v.d.check(cfg)
	return cfg
}

func (v value) address() string {
	s, ok := v.text()
	if ok && !isAddress(s) {
		v.fault("is %q, must be host:port", s)
	}
	return s
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	return err == nil
}

func (v value) shutdown(s *Shutdown) {
	v.mapping(map[string]func(value){
		"delay":   func(v value) { s.Delay = v.duration(0) },
		"timeout": func(v value) { s.Timeout = v.duration(time.Millisecond) },
	})
}

func (v value) redis(dir string) *RedisServer {
	s := new(RedisServer)
	v.mapping(map[string]func(value){
		"address":  func(v value) { s.Address = v.address() },
		"username": func(v value) { s.Username, _ = v.text() },
		"password_file": func(v value) {
			s.PasswordFile = v.path(dir)
			if _, err := os.ReadFile(s.PasswordFile); err != nil {
				v.fault("%s", errors.Unwrap(err))
			}
		},
		"db":  func(v value) { s.DB = v.integer(0) },
		"tls": func(v value) { s.TLS = v.boolean() },
	})
	if s.Address == "" {
		v.fault("address is missing, must be host:port")
	}
	return s
}

func (v value) upstream(dir string) *Upstream {
	u := &Upstream{Buffer: defaultBuffer, line: v.node.Line}
	v.mapping(map[string]func(value){
		"name":        func(v value) { u.Name, _ = v.text() },
		"prefix":      func(v value) { u.Prefix = v.prefix() },
		"host":        func(v value) { u.Host = v.host() },
		"url":         func(v value) { u.URL = v.url() },
		"limits":      func(v value) { u.Limits = v.limits() },
		"flights":     func(v value) { u.Flights = v.integer(1) },
		"max_waiting": func(v value) { u.MaxWaiting = v.integer(1) },
		"max_wait":    func(v value) { u.MaxWait = v.duration(time.Millisecond) },
		"max_pause":   func(v value) { u.MaxPause = v.duration(time.Millisecond) },
		"margin":      func(v value) { u.Margin = v.duration(0) },
		"outage":      func(v value) { u.Outage = v.outage() },
		"tenants":     func(v value) { u.Tenants, u.TenantLimits = v.tenants() },
		"redis":       func(v value) { u.Shared = v.shared() },
		"timeout":     func(v value) { u.Timeout = v.duration(time.Millisecond) },
		"buffer":      func(v value) { u.Buffer = v.buffer() },
		"x_forwarded": func(v value) { u.Forwarded = v.boolean() },
		"costs":       func(v value) { u.Costs = v.costs() },
		"retries":     func(v value) { u.Retries = v.retries() },
		"fallback":    func(v value) { u.Fallback = v.fallback(dir) },
	})
	return u
}

// Of these no character is ever written otherwise in a URL.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/_~-]*$`)

// prefix returns a path without a slash at its end, "/" excepted.
func (v value) prefix() string {
	s, ok := v.text()
	if !ok {
		return ""
	}
	if !plainPath.MatchString(s) || strings.Contains(s, "//") {
		v.fault(`is %q, must be a path such as /github, of letters, digits, "-", "_" and "~"`, s)
		return ""
	}
	return cmp.Or(strings.TrimSuffix(s, "/"), "/")
}

func (v value) host() string {
	s, ok := v.text()
	if !ok {
		return ""
	}
	if s = strings.ToLower(s); s == "" || !httpguts.ValidHostHeader(s) || strings.ContainsAny(s, "/@") {
		v.fault("is %q, must be a host or host:port, as requests name it", s)
		return ""
	}
	return s
}

func (v value) url() *url.URL {
	s, ok := v.text()
	u, err := url.Parse(s)
	switch {
	case !ok:
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		v.fault("must be an http or https URL")
	case u.User != nil:
		v.fault("holds a user or password, must be without: requests bring their own credentials")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		v.fault("holds a query or fragment, must be without")
	default:
		return u
	}
	return nil
}

func (v value) limits() []pacer.Limit {
	s, ok := v.text()
	if !ok {
		return nil
	}
	limits, err := pacer.ParseLimits(s)
	if err != nil {
		v.d.faultsOf(v.node.Line, v.field, err)
	}
	return limits
}

func (v value) outage() *Outage {
	o := new(Outage)
	v.mapping(map[string]func(value){
		"after":  func(v value) { o.After = v.integer(1) },
		"refuse": func(v value) { o.Refuse = v.boolean() },
	})
	return o
}

func (v value) tenants() (*Tenants, []pacer.Limit) {
	t := new(Tenants)
	var limits []pacer.Limit
	v.mapping(map[string]func(value){
		"header":  func(v value) { t.Header = v.headerName() },
		"strip":   func(v value) { t.Strip = v.boolean() },
		"max":     func(v value) { t.Max = v.integer(1) },
		"limits":  func(v value) { limits = v.limits() },
		"flights": func(v value) { t.Flights = v.integer(1) },
		"weights": func(v value) {
			t.Weights = make(map[string]int)
			v.entries(func(name string, v value) { t.Weights[name] = v.integer(1) })
		},
	})
	if t.Header == "" {
		v.fault("header is missing, must name the header that tells tenants apart")
	}
	return t, limits
}

func (v value) shared() *Shared {
	s := new(Shared)
	v.mapping(map[string]func(value){
		"key":      func(v value) { s.Key, _ = v.text() },
		"timeout":  func(v value) { s.Timeout = v.duration(time.Millisecond) },
		"fallback": func(v value) { s.Fallback = v.limits() },
	})
	if s.Key == "" {
		v.fault("key is missing, must name the quota that processes share")
	}
	return s
}

func (v value) buffer() int64 {
	n := v.integer(0)
	if n > maxBuffer {
		v.fault("is %d, must be at most %d bytes", n, maxBuffer)
	}
	return int64(n)
}

func (v value) costs() map[string]string {
	costs := make(map[string]string)
	v.entries(func(unit string, v value) { costs[unit] = v.headerName() })
	return costs
}

func (v value) retries() Retries {
	var r Retries
	v.mapping(map[string]func(value){
		"attempts":        func(v value) { r.Attempts = v.integer(1) },
		"attempt_timeout": func(v value) { r.AttemptTimeout = v.duration(time.Millisecond) },
		"max_elapsed":     func(v value) { r.MaxElapsed = v.duration(time.Millisecond) },
		"max_retry_after": func(v value) { r.MaxRetryAfter = v.duration(time.Millisecond) },
	})
	return r
}

func (v value) fallback(dir string) *Fallback {
	f := &Fallback{Status: http.StatusOK, Header: make(http.Header)}
	body, file := false, false
	v.mapping(map[string]func(value){
		"status": func(v value) {
			if f.Status = v.integer(200); f.Status > 599 {
				v.fault("is %d, must be from 200 to 599", f.Status)
			}
		},
		"headers": func(v value) {
			v.entries(func(name string, v value) { f.Header.Set(name, v.headerValue(name)) })
		},
		"body": func(v value) {
			s, _ := v.text()
			body, f.Body = true, []byte(s)
		},
		"body_file": func(v value) {
			file = true
			var err error
			if f.Body, err = os.ReadFile(v.path(dir)); err != nil {
				v.fault("%s", errors.Unwrap(err))
			}
		},
	})
	if body && file {
		v.fault("has body and body_file, must have one of them")
	}
	return f
}

func (v value) headerName() string {
	s, ok := v.text()
	switch {
	case ok && !httpguts.ValidHeaderFieldName(s):
		v.fault("is %q, must be the name of a header", s)
	case strings.EqualFold(s, "Host"):
		v.fault("is %q, must be another header: by host, upstreams are told apart", s)
	}
	return http.CanonicalHeaderKey(s)
}

func (v value) headerValue(name string) string {
	s, ok := v.text()
	if ok && (!httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(s)) {
		v.fault("is no header")
	}
	return s
}

func (v value) path(dir string) string {
	s, _ := v.text()
	if s != "" && !filepath.IsAbs(s) {
		s = filepath.Join(dir, s)
	}
	return s
}
